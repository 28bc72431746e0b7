//! A disk for simulations: when the power goes, what was not synced is there, gone or torn.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use redb::StorageBackend;

use super::super::seal::Seal;
use super::super::time::sleep;
use super::writer::{Progress, Writer, end, write};
use super::{Shared, Store};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// One disk. Clones are the same one.
#[derive(Clone, Debug)]
pub(in crate::log) struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug)]
struct Platter {
    /// What survives for sure.
    synced: Vec<u8>,
    /// What reads back.
    now: Vec<u8>,
    /// The difference, in order.
    unsynced: Vec<Write>,
    /// Counts power cuts: who opened it before one reaches it no more.
    life: u64,
    /// The power goes after so many more writes and syncs.
    cut_in: Option<u32>,
    slow: bool,
    random: SmallRng,
}

#[derive(Debug)]
enum Write {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

impl Write {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Write::Length(length) => bytes.resize(*length, 0),
            Write::Bytes(at, new) => {
                let end = at + new.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at..end].copy_from_slice(new);
            }
        }
    }
}

impl Platter {
    /// Of what was not synced, some is there, some is gone, some is torn.
    fn cut_power(&mut self) {
        let Platter { synced, now, unsynced, life, cut_in, random, .. } = self;
        *life += 1;
        *cut_in = None;
        let kept_of_all = [0.0, 0.5, 0.9, 1.0][random.random_range(0..4)];
        for write in unsynced.drain(..) {
            if !random.random_bool(kept_of_all) {
                continue;
            }
            match write {
                Write::Bytes(at, mut bytes) if random.random_bool(0.3) => {
                    bytes.truncate(random.random_range(0..=bytes.len() / SECTOR) * SECTOR);
                    Write::Bytes(at, bytes).apply(synced);
                }
                whole => whole.apply(synced),
            }
        }
        now.clone_from(synced);
    }
}

impl Disk {
    pub(in crate::log) fn new(seed: u64) -> Disk {
        Disk(Arc::new(Mutex::new(Platter {
            synced: Vec::new(),
            now: Vec::new(),
            unsynced: Vec::new(),
            life: 0,
            cut_in: None,
            slow: false,
            random: SmallRng::seed_from_u64(seed),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs take long from now on, or no longer.
    pub(in crate::log) fn set_slow(&self, slow: bool) {
        self.lock().slow = slow;
    }

    /// The power goes.
    pub(in crate::log) fn cut_power(&self) {
        self.lock().cut_power();
    }

    /// The power goes in the middle of what is being written: after so many more writes and syncs.
    /// Or it does not.
    pub(in crate::log) fn cut_power_in(&self, writes: Option<u32>) {
        self.lock().cut_in = writes;
    }

    /// How often the power has gone.
    pub(in crate::log) fn power_cuts(&self) -> u64 {
        self.lock().life
    }

    /// How long the next sync takes.
    fn sync_time(&self) -> Duration {
        let mut disk = self.lock();
        let slow = disk.slow;
        let range = if slow { 20_000..300_000 } else { 100..3_000 };
        Duration::from_micros(disk.random.random_range(range))
    }

    /// The log on this disk.
    pub(in crate::log) fn open(&self, seal: Arc<Seal>) -> io::Result<Store> {
        let life = self.lock().life;
        let backend = Backend { disk: self.clone(), life };
        let disk = self.clone();
        let start = move |shared: Arc<Shared>| {
            let (writer, mut waiting) = Writer::new();
            tokio::spawn(async move {
                let mut progress = Progress::default();
                while let Some(first) = waiting.recv().await {
                    sleep(disk.sync_time()).await;
                    if write(&shared, first, &mut waiting, &mut progress).is_break() {
                        break;
                    }
                }
                end(&shared, &mut progress);
            });
            Ok(writer)
        };
        Store::of(|builder| builder.create_with_backend(backend), seal, start)
    }
}

/// The disk as somebody has opened it.
#[derive(Debug)]
struct Backend {
    disk: Disk,
    life: u64,
}

impl Backend {
    fn reach(&self) -> io::Result<MutexGuard<'_, Platter>> {
        let disk = self.disk.lock();
        if disk.life == self.life { Ok(disk) } else { Err(power_is_gone()) }
    }

    /// As [`Backend::reach`], for one more write or sync.
    fn reach_to_change(&self) -> io::Result<MutexGuard<'_, Platter>> {
        let mut disk = self.reach()?;
        match disk.cut_in {
            Some(0) => {
                disk.cut_power();
                return Err(power_is_gone());
            }
            Some(left) => disk.cut_in = Some(left - 1),
            None => {}
        }
        Ok(disk)
    }
}

fn power_is_gone() -> io::Error {
    io::Error::other("the power is gone")
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.reach()?.now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.reach()?;
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = disk.now.get(at..at + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let length = usize::try_from(len).map_err(io::Error::other)?;
        self.change(Write::Length(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.reach_to_change()?;
        let Platter { synced, unsynced, .. } = &mut *disk;
        for write in unsynced.drain(..) {
            write.apply(synced);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        self.change(Write::Bytes(at, data.to_vec()))
    }
}

impl Backend {
    fn change(&self, write: Write) -> io::Result<()> {
        let mut disk = self.reach_to_change()?;
        write.apply(&mut disk.now);
        disk.unsynced.push(write);
        Ok(())
    }
}
