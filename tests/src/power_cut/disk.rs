//! The disk of the machine: bytes in memory, served to QEMU by the NBD protocol over a local socket.
//!
//! Like a real one it has a cache: what was written is durable when a flush after it was answered. A cut takes away what is
//! in the cache, or leaves some of it, sector by sector and in no order. It is slow like a spinning disk, so that an update
//! takes its time where it waits for the disk.
//!
//! Protocol: `doc/proto.md` of the NBD project; fixed newstyle handshake, simple replies; reads, writes and flushes only.

use crate::random::Random;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A disk that can lose its power.
#[derive(Debug)]
pub struct Disk(Mutex<State>);

#[derive(Debug)]
struct State {
    /// What is durable.
    durable: Vec<u8>,
    /// What is read: the durable bytes and the cache.
    current: Vec<u8>,
    /// Writes since the last flush, in order.
    cache: Vec<(usize, Vec<u8>)>,
    /// Writes and flushes since [`Disk::arm`].
    requests: usize,
    /// Before which request the power is cut.
    cut_before: Option<usize>,
    /// The power is off: nothing is answered any more.
    is_off: bool,
}

/// What a cut does to what is in the disk's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheLoss {
    /// It is lost.
    All,
    /// Each sector is lost or not.
    Some,
    /// It had reached the medium.
    None,
}

impl CacheLoss {
    /// Returns what is done for the n-th cut: one after the other.
    #[must_use]
    pub fn of(number: usize) -> Self {
        [Self::All, Self::Some, Self::None][number % 3]
    }
}

impl Disk {
    /// Makes a disk that holds these bytes.
    #[must_use]
    pub fn new(image: &[u8]) -> Self {
        Self(Mutex::new(State {
            durable: image.to_vec(),
            current: image.to_vec(),
            cache: Vec::new(),
            requests: 0,
            cut_before: None,
            is_off: false,
        }))
    }

    /// Begins to count writes and flushes, and cuts the power before the n-th, from 0, if said.
    pub fn arm(&self, cut_before: Option<usize>) {
        let mut state = self.state();
        state.requests = 0;
        state.cut_before = cut_before;
    }

    /// Returns how many writes and flushes there were since [`Disk::arm`].
    #[must_use]
    pub fn requests(&self) -> usize {
        self.state().requests
    }

    /// Tells whether the power went off at the request that was asked for.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.state().is_off
    }

    /// Cuts the power, unless it is off.
    pub fn cut(&self) {
        self.state().is_off = true;
    }

    /// Brings the power back. Of the cache there is what the cut has left.
    pub fn restore(&self, loss: CacheLoss, random: &mut Random) {
        let mut state = self.state();
        for (offset, bytes) in std::mem::take(&mut state.cache) {
            for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                let is_kept = match loss {
                    CacheLoss::All => false,
                    CacheLoss::Some => random.below(2) == 0,
                    CacheLoss::None => true,
                };
                if is_kept {
                    let at = offset + number * SECTOR;
                    state.durable[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
        let State { durable, current, .. } = &mut *state;
        current.copy_from_slice(durable);
        state.cut_before = None;
        state.is_off = false;
    }

    /// Serves one machine until it goes away or the power is cut.
    /// # Errors
    /// When the other side does not speak the protocol, or the connection breaks.
    pub fn serve(&self, mut stream: UnixStream) -> io::Result<()> {
        if !self.shake_hands(&mut stream)? {
            return Ok(());
        }
        loop {
            let mut request = [0; 28];
            match stream.read_exact(&mut request) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                other => other?,
            }
            let [magic, length] = [&request[..4], &request[24..]].map(|bytes| number(bytes) as u32);
            let (kind, offset) = (number(&request[6..8]), number(&request[16..24]));
            if magic != REQUEST {
                return Err(io::Error::other("not a request"));
            }
            let (offset, length) = (usize::try_from(offset).unwrap_or(usize::MAX), length as usize);
            let mut data = Vec::new();
            if kind == WRITE {
                data = vec![0; length];
                stream.read_exact(&mut data)?;
            }
            let answer = match kind {
                DISCONNECT => return Ok(()),
                READ => self.read(offset, length),
                WRITE => self.write(offset, data),
                FLUSH => self.flush(),
                _ => Answer::Error(EINVAL),
            };
            let (error, data) = match answer {
                Answer::Data(data) => (0, data),
                Answer::Error(error) => (error, Vec::new()),
                // Whoever waits for an answer waits until the machine is killed.
                Answer::Never => return io::copy(&mut stream, &mut io::sink()).map(|_| ()).or(Ok(())),
            };
            let head = [&REPLY.to_be_bytes()[..], &error.to_be_bytes(), &request[8..16]].concat();
            stream.write_all(&[head, data].concat())?;
        }
    }

    fn read(&self, offset: usize, length: usize) -> Answer {
        let state = self.state();
        match state.current.get(offset..offset.saturating_add(length)) {
            _ if state.is_off => Answer::Never,
            Some(bytes) => Answer::Data(bytes.to_vec()),
            None => Answer::Error(EINVAL),
        }
    }

    fn write(&self, offset: usize, data: Vec<u8>) -> Answer {
        std::thread::sleep(WRITE_TIME);
        let mut state = self.state();
        if !state.goes_on() {
            return Answer::Never;
        }
        let Some(place) = state.current.get_mut(offset..offset.saturating_add(data.len())) else {
            return Answer::Error(EINVAL);
        };
        place.copy_from_slice(&data);
        state.cache.push((offset, data));
        Answer::Data(Vec::new())
    }

    fn flush(&self) -> Answer {
        std::thread::sleep(FLUSH_TIME);
        let mut state = self.state();
        if !state.goes_on() {
            return Answer::Never;
        }
        for (offset, data) in std::mem::take(&mut state.cache) {
            state.durable[offset..offset + data.len()].copy_from_slice(&data);
        }
        Answer::Data(Vec::new())
    }

    /// Answers options until one begins the transmission; false when the other side gives up.
    fn shake_hands(&self, stream: &mut UnixStream) -> io::Result<bool> {
        let size = self.state().durable.len() as u64;
        let flags = HAS_FLAGS | SEND_FLUSH;
        stream.write_all(b"NBDMAGICIHAVEOPT")?;
        stream.write_all(&(FIXED_NEWSTYLE | NO_ZEROES).to_be_bytes())?;
        let mut client_flags = [0; 4];
        stream.read_exact(&mut client_flags)?;
        loop {
            let mut head = [0; 16];
            stream.read_exact(&mut head)?;
            if head[..8] != *b"IHAVEOPT" {
                return Err(io::Error::other("not an option"));
            }
            let (option, length) = (number(&head[8..12]) as u32, number(&head[12..]));
            if length > MAX_OPTION {
                return Err(io::Error::other("an option that is too long"));
            }
            io::copy(&mut stream.take(length), &mut io::sink())?;
            let mut reply = |kind: u32, data: &[u8]| {
                let length = u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes();
                stream.write_all(
                    &[&OPTION_REPLY.to_be_bytes(), &head[8..12], &kind.to_be_bytes(), &length, data].concat(),
                )
            };
            match option {
                OPTION_GO => {
                    // Information 0: the size and the flags.
                    reply(REPLY_INFO, &[&[0, 0], &size.to_be_bytes()[..], &flags.to_be_bytes()].concat())?;
                    reply(REPLY_ACK, &[])?;
                    return Ok(true);
                }
                OPTION_ABORT => {
                    reply(REPLY_ACK, &[])?;
                    return Ok(false);
                }
                _ => reply(REPLY_UNSUPPORTED, &[])?,
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a write or flush and tells whether it is answered.
    fn goes_on(&mut self) -> bool {
        if self.cut_before == Some(self.requests) {
            self.is_off = true;
        }
        if !self.is_off {
            self.requests += 1;
        }
        !self.is_off
    }
}

enum Answer {
    Data(Vec<u8>),
    Error(u32),
    Never,
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// What a sector is that is written as a whole or not at all, in bytes.
const SECTOR: usize = 512;
/// How long a write takes.
const WRITE_TIME: Duration = Duration::from_millis(1);
/// How long a flush takes: that of a fast spinning disk.
const FLUSH_TIME: Duration = Duration::from_millis(5);
/// The longest option that is skipped, in bytes; QEMU's have about 50.
const MAX_OPTION: u64 = 4096;

const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 2;
const HAS_FLAGS: u16 = 1;
const SEND_FLUSH: u16 = 4;
const OPTION_ABORT: u32 = 2;
const OPTION_GO: u32 = 7;
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const REPLY_ACK: u32 = 1;
const REPLY_INFO: u32 = 3;
const REPLY_UNSUPPORTED: u32 = 0x8000_0001;
const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;
const READ: u64 = 0;
const WRITE: u64 = 1;
const DISCONNECT: u64 = 2;
const FLUSH: u64 = 3;
const EINVAL: u32 = 22;

#[cfg(test)]
mod tests {
    use super::*;

    fn byte_at(disk: &Disk, at: usize) -> u8 {
        match disk.read(at, 1) {
            Answer::Data(data) => data[0],
            _ => panic!("no answer"),
        }
    }

    #[test]
    fn a_cut_takes_away_what_was_not_flushed() {
        let lost = |loss| {
            let disk = Disk::new(&[0; 8 * SECTOR]);
            disk.write(0, vec![1; SECTOR]);
            disk.flush();
            disk.write(0, vec![2; 8 * SECTOR]);
            assert_eq!(byte_at(&disk, 0), 2);
            disk.cut();
            assert!(matches!(disk.read(0, 1), Answer::Never));
            assert!(matches!(disk.write(0, vec![3; 1]), Answer::Never));
            disk.restore(loss, &mut Random::new(1));
            (0..8).map(|sector| byte_at(&disk, sector * SECTOR)).collect::<Vec<_>>()
        };
        assert_eq!(lost(CacheLoss::All), [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(lost(CacheLoss::None), [2; 8]);
        let some = lost(CacheLoss::Some);
        assert!(some.contains(&2) && some.contains(&0), "{some:?}");
    }

    #[test]
    fn the_power_goes_off_before_the_request_that_was_named() {
        let disk = Disk::new(&[0; SECTOR]);
        disk.arm(Some(2));
        assert!(matches!(disk.write(0, vec![1]), Answer::Data(_)));
        assert!(matches!(disk.flush(), Answer::Data(_)));
        assert!(!disk.is_off());
        assert!(matches!(disk.flush(), Answer::Never));
        assert!(disk.is_off());
        assert_eq!(disk.requests(), 2);
    }

    #[test]
    fn what_lies_outside_is_refused() {
        let disk = Disk::new(&[0; SECTOR]);
        assert!(matches!(disk.read(SECTOR, 1), Answer::Error(EINVAL)));
        assert!(matches!(disk.read(usize::MAX, 1), Answer::Error(EINVAL)));
        assert!(matches!(disk.write(SECTOR - 1, vec![0; 2]), Answer::Error(EINVAL)));
    }
}
