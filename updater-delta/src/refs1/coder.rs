//! A binary range coder: one bit at a time, each with its own probability.
//!
//! Encoder and decoder answer to one trait, so that every syntax above them is written once: `code` takes the bit to write, and
//! returns the bit that was written or read.

use crate::limits::CHUNK;
use std::io::{self, Read};

/// Codes bits that have a probability.
pub(crate) trait BitCoder {
    /// Codes one bit. `one` is the probability of a 1 in 1/65536, from 1 to 65535. A decoder ignores `bit`.
    fn code(&mut self, one: u32, bit: bool) -> bool;

    /// Tells what the bits from here on are for; only a measuring coder cares.
    #[inline]
    fn stream(&mut self, _: Stream) {}

    /// Codes `count` bits that nothing is known about, highest first.
    fn raw(&mut self, count: u32, value: u32) -> u32 {
        (0..count).rev().fold(0, |known, shift| known << 1 | u32::from(self.code(1 << 15, value >> shift & 1 == 1)))
    }
}

/// What bits are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Plan,
    Matches,
    Hits,
    Corrections,
    Fresh,
    Gaps,
    Differences,
    Code,
    Data,
}

impl Stream {
    /// What each stream is called, in the order of the variants.
    #[cfg(feature = "encode")]
    pub(crate) const NAMES: [&str; 9] = [
        "plan",
        "matches",
        "references hit or missed",
        "corrections of references",
        "references in inserted bytes",
        "distances between differing bytes",
        "differing bytes",
        "inserted code",
        "inserted data",
    ];
}

/// Writes a coded stream.
#[cfg(feature = "encode")]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
    low: u64,
    range: u64,
    /// The last byte, held back because a carry may still change it, and the count of 0xff bytes behind it.
    cache: u8,
    pending: u64,
    first: bool,
    stream: Stream,
    /// Bits by stream.
    costs: [f64; Stream::NAMES.len()],
}

#[cfg(feature = "encode")]
impl Encoder {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            low: 0,
            range: TOP - 1,
            cache: 0,
            pending: 0,
            first: true,
            stream: Stream::Plan,
            costs: [0.0; Stream::NAMES.len()],
        }
    }

    /// Ends the stream; a decoder reads exactly these bytes.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        for _ in 0..=WINDOW {
            self.shift();
        }
        self.bytes
    }

    /// Returns the bytes that each stream takes.
    pub(crate) fn costs(&self) -> [u64; Stream::NAMES.len()] {
        self.costs.map(|bits| (bits / 8.0) as u64)
    }

    fn shift(&mut self) {
        let carry = self.low >= TOP;
        if carry || self.low < TOP - (1 << (TOP_BITS - 8)) {
            if !self.first {
                self.bytes.push(self.cache.wrapping_add(u8::from(carry)));
            }
            self.first = false;
            for _ in 0..self.pending {
                self.bytes.push(if carry { 0 } else { 0xff });
            }
            self.pending = 0;
            self.cache = (self.low >> (TOP_BITS - 8)) as u8;
        } else {
            self.pending += 1;
        }
        self.low = (self.low << 8) & (TOP - 1);
    }
}

#[cfg(feature = "encode")]
impl BitCoder for Encoder {
    fn stream(&mut self, stream: Stream) {
        self.stream = stream;
    }

    fn code(&mut self, one: u32, bit: bool) -> bool {
        let bound = (self.range >> 16) * u64::from(one);
        let probability = f64::from(if bit { one } else { 65_536 - one }) / 65_536.0;
        self.costs[self.stream as usize] -= probability.log2();
        if bit {
            self.range = bound;
        } else {
            self.low += bound;
            self.range -= bound;
        }
        while self.range < BOTTOM {
            self.range <<= 8;
            self.shift();
        }
        bit
    }
}

/// Reads a coded stream. Behind its end it goes on with zeros; [`Decoder::check`] tells.
pub(crate) struct Decoder<R> {
    input: R,
    buffer: Vec<u8>,
    next: usize,
    code: u64,
    range: u64,
    ended: bool,
    failed: Option<io::Error>,
}

impl<R: Read> Decoder<R> {
    pub(crate) fn new(input: R) -> Self {
        let mut decoder =
            Self { input, buffer: Vec::new(), next: 0, code: 0, range: TOP - 1, ended: false, failed: None };
        for _ in 0..WINDOW {
            decoder.code = decoder.code << 8 | u64::from(decoder.byte());
        }
        decoder
    }

    /// Returns whether all bits so far came from the input: `Ok(false)` if it ended too early.
    pub(crate) fn check(&mut self) -> io::Result<bool> {
        self.failed.take().map_or(Ok(!self.ended), Err)
    }

    /// Returns whether the stream ends as an encoder ends it: no other bytes mean the same.
    pub(crate) const fn is_exact(&self) -> bool {
        self.code == 0
    }

    /// Returns whether the input ends where the stream does.
    pub(crate) fn at_end(mut self) -> io::Result<bool> {
        if self.next == self.buffer.len() && !self.ended {
            self.fill();
        }
        self.failed.map_or(Ok(self.ended), Err)
    }

    #[inline]
    fn byte(&mut self) -> u8 {
        if self.next == self.buffer.len() {
            self.fill();
        }
        let byte = self.buffer.get(self.next).copied().unwrap_or(0);
        self.next += usize::from(self.next < self.buffer.len());
        byte
    }

    #[cold]
    fn fill(&mut self) {
        if self.ended {
            return;
        }
        self.buffer.resize(CHUNK, 0);
        self.next = 0;
        let read = loop {
            match self.input.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let length = read.unwrap_or_else(|error| {
            self.failed = Some(error);
            0
        });
        self.ended = length == 0;
        self.buffer.truncate(length);
    }
}

impl<R: Read> BitCoder for Decoder<R> {
    #[inline]
    fn code(&mut self, one: u32, _: bool) -> bool {
        let bound = (self.range >> 16) * u64::from(one);
        let bit = self.code < bound;
        if bit {
            self.range = bound;
        } else {
            self.code -= bound;
            self.range -= bound;
        }
        while self.range < BOTTOM {
            self.range <<= 8;
            self.code = self.code << 8 | u64::from(self.byte());
        }
        bit
    }
}

/// Bits of the window that the coder looks at: 56, so that a carry fits into 64.
const TOP_BITS: u32 = 56;
const TOP: u64 = 1 << TOP_BITS;
/// The window in bytes.
const WINDOW: usize = TOP_BITS as usize / 8;
/// The least range: 48 bits, so that a probability of 16 bits is used exactly.
const BOTTOM: u64 = 1 << (TOP_BITS - 8);

#[cfg(all(test, feature = "encode"))]
mod tests {
    use super::{BitCoder, Decoder, Encoder};

    #[test]
    fn reads_what_was_written_and_nothing_more() {
        for seed in 0..40_u32 {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state >> 8
            };
            let bits: Vec<(u32, bool)> = (0..seed * 50)
                .map(|_| {
                    let one = match next() % 4 {
                        0 => 1,
                        1 => 65_535,
                        _ => next() % 65_535 + 1,
                    };
                    (one, next() & 0xffff < one || next() % 50 == 0)
                })
                .collect();
            let mut encoder = Encoder::new();
            for &(one, bit) in &bits {
                encoder.code(one, bit);
            }
            encoder.raw(20, 0xabcde);
            let mut bytes = encoder.finish();
            bytes.push(7);
            let mut decoder = Decoder::new(&bytes[..]);
            for &(one, bit) in &bits {
                assert_eq!(decoder.code(one, false), bit);
            }
            assert_eq!(decoder.raw(20, 0), 0xabcde);
            assert!(decoder.check().unwrap() && decoder.is_exact());
            assert!(!decoder.at_end().unwrap(), "{seed}");
            let mut decoder = Decoder::new(&bytes[..bytes.len() - 1]);
            for &(one, bit) in &bits {
                assert_eq!(decoder.code(one, false), bit);
            }
            decoder.raw(20, 0);
            assert!(decoder.check().unwrap());
            assert!(decoder.at_end().unwrap());
        }
    }
}
