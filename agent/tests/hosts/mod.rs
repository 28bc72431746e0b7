//! Hosts and containers made of network namespaces, for tests of the data plane without an engine.
//!
//! Everything has the process's number in its name, lives in namespaces of its own, and goes when
//! the value is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use agent::net::process::Program;
use agent::net::{Config, DataPlane};
use agent_core::net::overlay::{bridge_name, mac_of};
use model::lifecycle::Desired;
use model::object::{Attachment, Revision, Slot, Subnet};
use model::spec::{Labels, PortConfig, Protocol, PublishMode, TaskSpec};
use model::wire::orders::{
    Backend, NetworkOrder, Orders, PeerOrder, ServiceNetwork, ServiceOrder, TaskOrder,
};
use model::{Id, NetworkId, NodeId, ServiceId, TaskId};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub const NET: NetworkId = NetworkId(Id(0xfeed_0001));
pub const WEB: ServiceId = ServiceId(Id(1));
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 5);
/// Port of the servers inside the containers, and where ingress publishes it.
pub const PORT: u16 = 8000;
pub const PUBLISHED: u16 = 8080;
const PATIENCE: Duration = Duration::from_secs(20);

static TESTS: AtomicU32 = AtomicU32::new(0);

/// True where namespaces can be made: root, and the programs are there.
pub fn possible() -> bool {
    let root = nix::unistd::geteuid().is_root();
    let tools = ["ip", "nft"].iter().all(|tool| {
        Command::new(tool).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    });
    if !(root && tools) {
        eprintln!("not run: needs root, ip and nft");
    }
    root && tools
}

/// A switch with hosts 1..=n at 192.0.2.n, a client outside at 192.0.2.100, and their containers.
pub struct World {
    prefix: String,
    directory: tempfile::TempDir,
    pub hosts: BTreeMap<u8, Host>,
    namespaces: Vec<String>,
    mounts: Vec<PathBuf>,
    pub orders: Orders,
}

pub struct Host {
    pub plane: DataPlane,
    pub process: Child,
}

impl World {
    pub fn new(hosts: u8) -> World {
        let number = TESTS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("t{}x{number}", std::process::id());
        let directory = tempfile::tempdir().expect("a directory");
        let mut world = World {
            prefix,
            directory,
            hosts: BTreeMap::new(),
            namespaces: Vec::new(),
            mounts: Vec::new(),
            orders: Orders::default(),
        };
        world.namespace("sw");
        world.ip("sw", "link add br0 type bridge");
        world.ip("sw", "link set br0 up");
        world.plug("client", 100);
        let mut network = NetworkOrder {
            id: NET,
            name: "demo_default".into(),
            vni: 7001,
            subnet: Subnet { address: Ipv4Addr::new(10, 77, 0, 0), prefix: 24 },
            gateway: Ipv4Addr::UNSPECIFIED,
            internal: false,
            attachable: false,
            encrypted: false,
            options: Labels::new(),
            labels: Labels::new(),
            members: Arc::default(),
        };
        for host in 1..=hosts {
            let members = Arc::make_mut(&mut network.members);
            members.gateways.insert(gateway(host), node(host));
        }
        let mut service = ServiceOrder {
            id: WEB,
            name: "demo_web".into(),
            stack: Some("demo".into()),
            dnsrr: false,
            networks: BTreeMap::new(),
            ports: Vec::new(),
            backends: BTreeMap::new(),
        };
        let aliases = BTreeSet::from(["web".to_owned()]);
        service.networks.insert(NET, ServiceNetwork { vip: Some(VIP), aliases });
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            service.ports.push(PortConfig {
                protocol,
                target_port: PORT,
                published_port: PUBLISHED,
                publish_mode: PublishMode::Ingress,
                ..PortConfig::default()
            });
        }
        world.orders.networks.insert(NET, network);
        world.orders.services.insert(WEB, service.into());
        world.orders.cluster.data_path_port = 4789;
        world.orders.cluster.relay_key = "a key of this test".into();
        world.orders.fence.revision = Revision(1);
        for host in 1..=hosts {
            world.plug(&format!("h{host}"), host);
            std::fs::create_dir(world.netns_directory(host)).expect("a directory");
            let socket = world.directory.path().join(format!("h{host}.sock"));
            let process = world.start_process(host, &[]);
            let program = Program {
                path: program(),
                launcher: world.launcher(host),
                socket: socket.clone(),
                log_format: Default::default(),
            };
            wait_until("the data plane listens", || socket.exists());
            let plane = DataPlane::attach(world.config(host), program);
            world.hosts.insert(host, Host { plane, process });
        }
        world
    }

    pub fn config(&self, host: u8) -> Config {
        Config {
            advertise: address(host),
            netns_directories: vec![self.netns_directory(host)],
            resolv_conf: self.directory.path().join("resolv.conf"),
        }
    }

    /// Not `ip netns exec`: in a mount namespace of its own it would not see containers come.
    fn launcher(&self, host: u8) -> Vec<String> {
        let namespace = self.name(&format!("h{host}"));
        vec!["nsenter".into(), format!("--net=/run/netns/{namespace}")]
    }

    /// Starts `agent dataplane` on a host.
    pub fn start_process(&self, host: u8, more: &[&str]) -> Child {
        let socket = self.directory.path().join(format!("h{host}.sock"));
        let config = serde_json::to_string(&self.config(host)).expect("JSON");
        let launcher = self.launcher(host);
        Command::new(&launcher[0])
            .args(&launcher[1..])
            .arg(program())
            .args(["dataplane", "--config", &config, "--socket"])
            .arg(socket)
            .args(more)
            .env("SWARMCTL_LOG", std::env::var("SWARMCTL_LOG").unwrap_or_else(|_| "warn".into()))
            .stdin(Stdio::null())
            .spawn()
            .expect("the data plane started")
    }

    /// A container with a task on a host, whose address ends in `last`.
    pub fn container(&mut self, host: u8, last: u8) -> Ipv4Addr {
        let address = Ipv4Addr::new(10, 77, 0, last);
        let name = format!("c{last}");
        let id = TaskId(Id(u128::from(last)));
        self.orders.tasks.insert(id, task(id, address));
        let network = self.orders.networks.get_mut(&NET).expect("the network");
        Arc::make_mut(&mut network.members).tasks.insert(address, node(host));
        self.publish_orders();
        let settled = self.orders.fence.revision;
        self.wait_applied(settled);
        self.namespace(&name);
        self.ip(&name, "link set lo up");
        // As the engine does it: the name appears, the link comes, then its address.
        let file = self.netns_directory(host).join(&name);
        File::create(&file).expect("a file");
        let named = Path::new("/run/netns").join(self.name(&name));
        run("mount", &["--bind", named.to_str().expect("text"), file.to_str().expect("text")]);
        self.mounts.push(file);
        let host_name = format!("h{host}");
        self.ip(
            &host_name,
            &format!("link add v{last} type veth peer name eth0 netns {}", self.name(&name)),
        );
        self.ip(&host_name, &format!("link set v{last} master {} up", bridge_name(NET)));
        let mac = mac_of(address).map(|octet| format!("{octet:02x}")).join(":");
        self.ip(&name, &format!("link set eth0 mtu 1450 address {mac} up"));
        self.ip(&name, &format!("addr add {address}/24 dev eth0"));
        self.ip(&name, &format!("route add default via {}", gateway(host)));
        wait_until("the container is wired", || {
            self.output(&name, "nft", &["list", "tables"]).contains("swarmctl")
        });
        address
    }

    /// Puts tasks behind the service, as `(host, last)`, and waits until every host follows.
    pub fn set_backends(&mut self, backends: &[(u8, u8)]) {
        let service = self.orders.services.get_mut(&WEB).expect("the service");
        let service = std::sync::Arc::make_mut(service);
        service.backends = backends
            .iter()
            .map(|(host, last)| {
                let backend = Backend {
                    node: node(*host),
                    slot: Slot::Replica(u64::from(*last)),
                    addresses: BTreeMap::from([(NET, Ipv4Addr::new(10, 77, 0, *last))]),
                };
                (TaskId(Id(u128::from(*last))), backend)
            })
            .collect();
        self.publish_orders();
        self.wait_applied(self.orders.fence.revision);
    }

    /// Sends every host its part of the orders.
    pub fn publish_orders(&mut self) {
        self.orders.fence.revision.0 += 1;
        for (host, it) in &self.hosts {
            it.plane.apply(Arc::new(self.orders_of(*host)));
        }
    }

    pub fn orders_of(&self, host: u8) -> Orders {
        let mut orders = self.orders.clone();
        orders.node.id = node(host);
        let me = node(host);
        let network = orders.networks.get_mut(&NET).expect("the network");
        let here: BTreeSet<Ipv4Addr> =
            network.members.tasks.iter().filter(|(_, n)| **n == me).map(|(a, _)| *a).collect();
        network.gateway = gateway(host);
        orders.tasks.retain(|_, task| here.contains(&task.attachments[0].address));
        for other in self.hosts.keys().filter(|other| **other != host) {
            let peer = PeerOrder {
                hostname: format!("h{other}"),
                address: address(*other).to_string(),
                alive: true,
            };
            orders.peers.insert(node(*other), peer);
        }
        orders
    }

    pub fn wait_applied(&self, revision: Revision) {
        for (host, it) in &self.hosts {
            let applied = it.plane.applied();
            wait_until(&format!("host {host} follows {revision:?}"), || {
                *applied.borrow() >= revision
            });
        }
    }

    /// Serves `PORT` in a container over TCP and UDP: each answer is "name client-address".
    pub fn serve(&self, last: u8) {
        let name = format!("c{last}");
        let (listener, socket) = self.inside(&name, || {
            let address = (Ipv4Addr::UNSPECIFIED, PORT);
            (TcpListener::bind(address).expect("a port"), UdpSocket::bind(address).expect("a port"))
        });
        let greeting = name.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Ok(client) = stream.peer_addr() else { continue };
                let text = format!("{greeting} {}", client.ip());
                std::thread::spawn(move || {
                    let mut byte = [0; 1];
                    // One answer for each octet, until the other side ends.
                    while let Ok(1) = stream.read(&mut byte) {
                        if stream.write_all(text.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((_, client)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(format!("{name} {}", client.ip()).as_bytes(), client);
            }
        });
    }

    /// Does something inside a namespace.
    pub fn inside<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(Path::new("/run/netns").join(self.name(name))).expect("a namespace");
        std::thread::scope(|scope| {
            scope
                .spawn(move || {
                    setns(&file, CloneFlags::CLONE_NEWNET).expect("inside");
                    work()
                })
                .join()
                .expect("no panic inside")
        })
    }

    /// A namespace for a thread to enter for good.
    pub fn open(&self, name: &str) -> Namespace {
        Namespace(File::open(Path::new("/run/netns").join(self.name(name))).expect("a namespace"))
    }

    /// Takes a host's containers off their bridge, as an engine does before its network goes.
    pub fn unplug_containers(&mut self, host: u8) {
        let links = self.output(&format!("h{host}"), "ip", &["-o", "link", "show", "type", "veth"]);
        for line in links.lines() {
            let name = line.split([' ', '@']).nth(1).unwrap_or_default().to_owned();
            if name.starts_with('v') {
                self.ip(&format!("h{host}"), &format!("link del {name}"));
            }
        }
    }

    /// Asks a server once; gives its answer.
    pub fn ask(&self, from: &str, to: SocketAddr) -> std::io::Result<String> {
        self.inside(from, || ask(to))
    }

    pub fn output(&self, name: &str, program: &str, arguments: &[&str]) -> String {
        let output = Command::new("ip")
            .args(["netns", "exec", &self.name(name), program])
            .args(arguments)
            .output()
            .expect("a program");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Everything that the data plane could leave behind on a host.
    pub fn traces(&self, host: u8) -> String {
        let name = format!("h{host}");
        let links = self.output(&name, "ip", &["-o", "link"]);
        let links: Vec<&str> = links.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        format!(
            "{links:?}\n{}\n{}\n{}\n{}",
            self.output(&name, "nft", &["list", "ruleset"]),
            self.output(&name, "ip", &["rule"]),
            self.output(&name, "ip", &["-4", "route", "show", "table", "all"]),
            self.output(&name, "bridge", &["fdb"]),
        )
    }

    fn plug(&mut self, name: &str, last: u8) {
        self.namespace(name);
        self.ip(name, "link set lo up");
        self.ip(
            name,
            &format!("link add eth0 type veth peer name p{last} netns {}", self.name("sw")),
        );
        self.ip("sw", &format!("link set p{last} master br0 up"));
        self.ip(name, &format!("addr add {}/24 dev eth0", address(last)));
        self.ip(name, "link set eth0 up");
    }

    fn namespace(&mut self, name: &str) {
        let full = self.name(name);
        run("ip", &["netns", "add", &full]);
        self.namespaces.push(full);
    }

    fn ip(&self, name: &str, command: &str) {
        let mut arguments = vec!["-n".to_owned(), self.name(name)];
        arguments.extend(command.split(' ').map(str::to_owned));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run("ip", &arguments);
    }

    fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    pub fn netns_directory(&self, host: u8) -> PathBuf {
        self.directory.path().join(format!("h{host}-netns"))
    }
}

/// A namespace held open.
pub struct Namespace(File);

impl Namespace {
    /// The calling thread is inside from now on.
    pub fn enter(&self) {
        setns(&self.0, CloneFlags::CLONE_NEWNET).expect("inside");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for mut host in std::mem::take(&mut self.hosts).into_values() {
            // First, or it would start another process in the place of this one.
            drop(host.plane);
            let _ = host.process.kill();
            let _ = host.process.wait();
        }
        for mount in &self.mounts {
            // Lazily: whoever still looks at the namespace must not keep the mount.
            let _ = Command::new("umount").arg("--lazy").arg(mount).status();
        }
        for namespace in self.namespaces.iter().rev() {
            // Those that a handle started itself.
            let pids = Command::new("ip").args(["netns", "pids", namespace]).output();
            for pid in pids.map(|it| it.stdout).unwrap_or_default().split(|b| *b == b'\n') {
                let pid = std::str::from_utf8(pid).unwrap_or_default().trim();
                if let Ok(pid) = pid.parse() {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
            }
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

/// One octet out, one answer back.
pub fn ask(to: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(8))?;
    ask_again(&mut stream)
}

pub fn ask_again(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.set_read_timeout(Some(Duration::from_secs(8)))?;
    stream.write_all(b"?")?;
    let mut buffer = [0; 256];
    let length = stream.read(&mut buffer)?;
    if length == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

pub fn published(host: u8) -> SocketAddr {
    (address(host), PUBLISHED).into()
}

fn gateway(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 200 + host)
}

fn node(host: u8) -> NodeId {
    NodeId(Id(u128::from(host)))
}

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_agent"))
}

fn task(id: TaskId, address: Ipv4Addr) -> TaskOrder {
    TaskOrder {
        id,
        service: WEB,
        service_name: "demo_web".into(),
        stack: Some("demo".into()),
        slot: Slot::Replica(1),
        name: format!("demo_web.1.{id}"),
        desired: Desired::Running,
        not_before: None,
        spec: Arc::new(TaskSpec::default()),
        attachments: vec![Attachment { network: NET, address }],
        host_ports: Vec::new(),
        labels: Labels::new(),
        registry_auth: None,
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("a program");
    assert!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}
