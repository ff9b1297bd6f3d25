//! An entropy coder (range asymmetric numeral systems): bits and symbols of sixteen values, each with its own probabilities.
//!
//! Encoder and decoder answer to one trait, so that every syntax above them is written once: `bit` takes the bit to write, and
//! returns the bit that was written or read. Decoding a symbol takes one multiplication and no division, which is why this coder
//! was chosen; in exchange the encoder works backwards, block by block.

use crate::limits::CHUNK;
use std::hint::select_unpredictable;
use std::io::{self, Read};

/// Codes what has a probability.
pub(crate) trait Coder {
    /// Codes one bit. `one` is the probability of a 1 in 1/32768, from 1 to 32767. A decoder ignores `bit`.
    fn bit(&mut self, one: u32, bit: bool) -> bool;

    /// Codes one symbol of four bits; also returns its share of the scale. `ends` are the probabilities of each symbol or a lower one, in
    /// 1/32768: steps of at least 1, of which the last leads to 32767. The rest is for nobody. A decoder ignores `symbol`.
    fn symbol(&mut self, ends: &[i16; 16], symbol: u32) -> (u32, u32);

    /// Codes up to 14 bits that nothing is known about. A decoder ignores `value`.
    fn flat(&mut self, count: u32, value: u32) -> u32;

    /// Tells what is coded from here on; only a measuring coder cares.
    #[inline]
    fn stream(&mut self, _: Stream) {}

    /// Tells whether a reference was as predicted; only a measuring coder cares.
    #[inline]
    fn reference(&mut self, _: bool) {}

    /// Codes `count` bits that nothing is known about, highest first.
    fn raw(&mut self, count: u32, value: u32) -> u32 {
        let mut known = 0;
        let mut left = count;
        while left > 0 {
            let now = left.min(14);
            left -= now;
            known = known << now | self.flat(now, value >> left & ((1 << now) - 1));
        }
        known
    }
}

/// Sixteen rising numbers, before which there is a zero: for each symbol what it and all lower ones have of the scale.
///
/// What is indexed has to be in memory. They lie there as they are written from two registers, so that nothing waits for a load.
#[repr(align(32))]
struct Rising([i16; 32]);

/// Returns the number of the symbol before, and of this one.
#[inline(always)]
pub(crate) fn around(rising: &[i16; 16], symbol: u32) -> (i32, i32) {
    let mut all = Rising([0; 32]);
    all.0[16..].copy_from_slice(rising);
    let symbol = symbol as usize & 15;
    (i32::from(all.0[symbol + 15]), i32::from(all.0[symbol + 16]))
}

/// What is coded.
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
    /// The shares of this block: start in the low half, size in the high one.
    block: Vec<u32>,
    stream: Stream,
    /// Bits by stream.
    costs: [f64; Stream::NAMES.len()],
}

#[cfg(feature = "encode")]
impl Encoder {
    pub(crate) const fn new() -> Self {
        Self { bytes: Vec::new(), block: Vec::new(), stream: Stream::Plan, costs: [0.0; Stream::NAMES.len()] }
    }

    /// Ends the stream; a decoder reads exactly these bytes.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.flush();
        self.bytes
    }

    /// Returns the bytes that each stream takes.
    pub(crate) fn costs(&self) -> [u64; Stream::NAMES.len()] {
        self.costs.map(|bits| (bits / 8.0) as u64)
    }

    fn put(&mut self, start: u32, size: u32) {
        if self.block.len() == BLOCK as usize {
            self.flush();
        }
        self.block.push(start | size << 16);
        self.costs[self.stream as usize] += f64::from(SCALE_BITS) - f64::from(size).log2();
    }

    /// Codes a block from its last share to its first, so that a decoder goes forwards.
    fn flush(&mut self) {
        if self.block.is_empty() {
            return;
        }
        let mut words = Vec::new();
        let mut states = [LOW; 2];
        for (index, share) in self.block.drain(..).enumerate().rev() {
            let (start, size) = (u64::from(share & 0xffff), u64::from(share >> 16));
            let state = &mut states[index % 2];
            if *state >= (LOW >> SCALE_BITS << 32) * size {
                words.push(*state as u32);
                *state >>= 32;
            }
            *state = (*state / size) << SCALE_BITS | (*state % size + start);
        }
        for state in states.into_iter().rev() {
            words.extend([state as u32, (state >> 32) as u32]);
        }
        self.bytes.extend(words.into_iter().rev().flat_map(u32::to_le_bytes));
    }
}

#[cfg(feature = "encode")]
impl Coder for Encoder {
    fn stream(&mut self, stream: Stream) {
        self.stream = stream;
    }

    fn bit(&mut self, one: u32, bit: bool) -> bool {
        if bit {
            self.put(0, one);
        } else {
            self.put(one, SCALE - one);
        }
        bit
    }

    fn flat(&mut self, count: u32, value: u32) -> u32 {
        self.put(value << (SCALE_BITS - count), 1 << (SCALE_BITS - count));
        value
    }

    fn symbol(&mut self, ends: &[i16; 16], symbol: u32) -> (u32, u32) {
        let (start, end) = around(ends, symbol);
        self.put(start as u32, (end - start) as u32);
        (symbol, (end - start) as u32)
    }
}

/// Reads a coded stream. Behind its end it goes on with zeros; [`Decoder::check`] tells.
pub(crate) struct Decoder<R> {
    input: R,
    buffer: Vec<u8>,
    next: usize,
    /// The state that the next share comes from, and the other one: they take turns, so that neither is waited for.
    states: [u64; 2],
    /// Shares that are left of this block.
    left: u32,
    /// Whether every block ended as an encoder ends it.
    exact: bool,
    /// Whether words were missing.
    ended: bool,
    failed: Option<io::Error>,
}

impl<R: Read> Decoder<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), next: 0, states: [LOW; 2], left: 0, exact: true, ended: false, failed: None }
    }

    /// Returns whether everything so far came from the input: `Ok(false)` if it ended too early.
    pub(crate) fn check(&mut self) -> io::Result<bool> {
        self.failed.take().map_or(Ok(!self.ended), Err)
    }

    /// Returns whether the stream ends as an encoder ends it: no other bytes mean the same.
    pub(crate) const fn is_exact(&self) -> bool {
        self.exact && self.states[0] == LOW && self.states[1] == LOW
    }

    /// Returns whether the input ends where the stream does.
    pub(crate) fn at_end(mut self) -> io::Result<bool> {
        self.fill();
        self.failed.map_or(Ok(self.next == self.buffer.len()), Err)
    }

    #[inline]
    fn word(&mut self) -> u64 {
        if self.buffer.len() - self.next < 4 {
            self.fill();
        }
        let word = self.buffer.get(self.next..).and_then(|rest| rest.first_chunk::<4>());
        let Some(word) = word else {
            self.ended = true;
            return 0;
        };
        self.next += 4;
        u64::from(u32::from_le_bytes(*word))
    }

    /// Reads on until four bytes are there, or the input ends.
    #[cold]
    fn fill(&mut self) {
        self.buffer.drain(..self.next);
        self.next = 0;
        while self.buffer.len() < 4 && self.failed.is_none() {
            let known = self.buffer.len();
            self.buffer.resize(CHUNK, 0);
            let read = self.input.read(&mut self.buffer[known..]);
            self.buffer.truncate(known + read.as_ref().map_or(0, |&length| length));
            match read {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.failed = Some(error),
            }
        }
    }

    #[cold]
    fn start(&mut self) {
        self.exact = self.is_exact();
        self.left = BLOCK;
        for state in 0..2 {
            self.states[state] = self.word() << 32;
            self.states[state] |= self.word();
        }
    }

    /// Returns where in the scale the next share lies.
    #[inline]
    fn slot(&mut self) -> u32 {
        if self.left == 0 {
            self.start();
        }
        self.left -= 1;
        self.states[0] as u32 & (SCALE - 1)
    }

    #[inline]
    fn take(&mut self, slot: u32, start: u32, size: u32) {
        let within = u64::from(slot.wrapping_sub(start));
        let [state, other] = self.states;
        let mut state = u64::from(size).wrapping_mul(state >> SCALE_BITS).wrapping_add(within);
        if state < LOW {
            state = state << 32 | self.word();
        }
        self.states = [other, state];
    }
}

impl<R: Read> Coder for Decoder<R> {
    #[inline]
    fn bit(&mut self, one: u32, _: bool) -> bool {
        let slot = self.slot();
        // What is worth coding is hard to guess for a processor, too: no jump depends on it.
        let bit = slot < one;
        let (start, size) = select_unpredictable(bit, (0, one), (one, SCALE - one));
        self.take(slot, start, size);
        bit
    }

    #[inline]
    fn flat(&mut self, count: u32, _: u32) -> u32 {
        let slot = self.slot();
        let shift = SCALE_BITS - count;
        self.take(slot, slot >> shift << shift, 1 << shift);
        slot >> shift
    }

    #[inline(always)]
    fn symbol(&mut self, ends: &[i16; 16], _: u32) -> (u32, u32) {
        let slot = self.slot();
        // All sixteen at once: each that lies above the slot gives -1.
        let above: i16 = ends.iter().map(|&end| (slot as i16).wrapping_sub(end) >> 15).sum();
        let symbol = (16 + i32::from(above)).min(15) as u32 & 15;
        let (start, end) = around(ends, symbol);
        let share = (end - start) as u32;
        self.take(slot, start as u32, share);
        (symbol, share)
    }
}

/// Bits of a probability.
const SCALE_BITS: u32 = 15;
/// A probability of one.
const SCALE: u32 = 1 << SCALE_BITS;
/// The least state between two shares, and the one at which a block begins and ends.
const LOW: u64 = 1 << 31;
/// Shares that are coded together: 2^20, for which the encoder needs 4 MiB and the stream 16 bytes.
const BLOCK: u32 = 1 << 20;

#[cfg(all(test, feature = "encode"))]
mod tests {
    use super::{Coder, Decoder, Encoder};

    #[test]
    fn reads_what_was_written_and_nothing_more() {
        for (seed, count) in (0..40_u32).map(|seed| (seed, seed * 50)).chain([(77, 2_200_000)]) {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state >> 8
            };
            let bits: Vec<(u32, u32)> = (0..count)
                .map(|_| {
                    let one = match next() % 4 {
                        0 => 1,
                        1 => 32_767,
                        _ => next() % 32_767 + 1,
                    };
                    (one, next() & 15)
                })
                .collect();
            let table = |one: u32| {
                let skew = (one & 1023) as i16;
                std::array::from_fn(|i| if i > 14 { 32_767 } else { (i as i16 + 1) * (2 + skew) })
            };
            let mut encoder = Encoder::new();
            for &(one, symbol) in &bits {
                encoder.bit(one, symbol & 1 == 1);
                encoder.symbol(&table(one), symbol);
            }
            encoder.raw(20, 0xabcde);
            let mut bytes = encoder.finish();
            bytes.push(7);
            for length in [bytes.len(), bytes.len() - 1] {
                let mut decoder = Decoder::new(&bytes[..length]);
                for &(one, symbol) in &bits {
                    assert_eq!(decoder.bit(one, false), symbol & 1 == 1);
                    assert_eq!(decoder.symbol(&table(one), 0).0, symbol);
                }
                assert_eq!(decoder.raw(20, 0), 0xabcde);
                assert!(decoder.check().unwrap() && decoder.is_exact());
                assert_eq!(decoder.at_end().unwrap(), length < bytes.len(), "{seed}");
            }
            let mut decoder = Decoder::new(&bytes[..bytes.len() - 2]);
            for &(one, _) in &bits {
                decoder.bit(one, false);
                decoder.symbol(&table(one), 0);
            }
            decoder.raw(20, 0);
            assert!(!decoder.check().unwrap());
        }
    }
}
