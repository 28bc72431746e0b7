//! What wakes the data plane by itself: new namespaces, damage to its links.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_core::net::overlay::{BRIDGE_PREFIX, VXLAN_PREFIX};
use futures_util::StreamExt;
use netlink_packet_core::NetlinkPayload;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use rtnetlink::MulticastGroup;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::LinkAttribute;
use tokio::sync::mpsc;
use tracing::{debug, warn};

/// How long the watching thread may take to notice that nobody listens any more, milliseconds.
const NOTICE_MS: u16 = 1_000;

/// Watches directories in which namespaces appear and disappear.
#[derive(Debug)]
pub struct Directories {
    inotify: Arc<Inotify>,
    /// Directory to its inode and watch; an engine that starts may have made it anew.
    watched: BTreeMap<PathBuf, Option<(u64, WatchDescriptor)>>,
    changes: mpsc::Receiver<()>,
}

impl Directories {
    /// Watches these; those that are not there yet are made, as the engine would.
    ///
    /// # Errors
    /// When the kernel gives no watch.
    pub fn new(directories: &[PathBuf]) -> io::Result<Directories> {
        let inotify = Arc::new(Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?);
        let (changed, changes) = mpsc::channel(1);
        let there = inotify.clone();
        std::thread::Builder::new()
            .name("netns-watch".into())
            .spawn(move || wait_for_events(&there, &changed))?;
        let mut watch = Directories {
            inotify,
            watched: directories.iter().map(|path| (path.clone(), None)).collect(),
            changes,
        };
        watch.refresh();
        Ok(watch)
    }

    /// Watches what is there now. Gives true when that is not what was watched before.
    pub fn refresh(&mut self) -> bool {
        let mut changed = false;
        let flags =
            AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_TO;
        for (path, watched) in &mut self.watched {
            let inode = inode(path);
            if inode.is_some() && inode == watched.map(|(inode, _)| inode) {
                continue;
            }
            if inode.is_none()
                && let Err(error) = std::fs::create_dir_all(path)
            {
                debug!(path = %path.display(), %error, "no directory for namespaces");
                continue;
            }
            changed = true;
            *watched = match self.inotify.add_watch(path, flags) {
                Ok(descriptor) => self::inode(path).map(|inode| (inode, descriptor)),
                Err(error) => {
                    warn!(path = %path.display(), %error, "namespaces are not watched");
                    None
                }
            };
        }
        changed
    }

    /// Waits until something has changed. `None`: the watch is broken.
    pub async fn changed(&mut self) -> Option<()> {
        self.changes.recv().await
    }
}

fn wait_for_events(inotify: &Inotify, changed: &mpsc::Sender<()>) {
    while !changed.is_closed() {
        let mut ready = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, PollTimeout::from(NOTICE_MS)) {
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(error) => {
                warn!(%error, "namespaces are not watched any more");
                return;
            }
        }
        // What it was is found by looking.
        while inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
        // Full: a wake-up is waiting already.
        let _ = changed.try_send(());
    }
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|metadata| metadata.ino())
}

/// Sends whenever a link of ours has changed, by whomever.
///
/// # Errors
/// When the kernel gives no socket.
pub fn links() -> io::Result<mpsc::Receiver<()>> {
    let (connection, _, mut messages) =
        rtnetlink::new_multicast_connection(&[MulticastGroup::Link])?;
    let (changed, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let running = tokio::spawn(connection);
        while let Some((message, _)) = messages.next().await {
            if changed.is_closed() {
                break;
            }
            let NetlinkPayload::InnerMessage(inner) = message.payload else { continue };
            let (RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link)) = inner
            else {
                continue;
            };
            let ours = link.attributes.iter().any(|attribute| match attribute {
                LinkAttribute::IfName(name) => {
                    name.starts_with(BRIDGE_PREFIX) || name.starts_with(VXLAN_PREFIX)
                }
                _ => false,
            });
            if ours {
                // Full: a wake-up is waiting already.
                let _ = changed.try_send(());
            }
        }
        running.abort();
    });
    Ok(receiver)
}
