//! Inserted bytes of plain data: what followed the last time the same bytes came by, in the old file or in an earlier insertion.

use super::coder::Coder;
use super::mix::Mixer;
use super::model::hash;

/// A model of plain data that remembers what it saw.
pub(crate) struct Recall {
    model: Mixer<7>,
    /// The start of the old file, then all insertions.
    history: Vec<u8>,
    /// Where in `history` the bytes behind each hash of a few bytes are.
    table: Vec<u32>,
    /// What is being followed: place in `history` of the next byte, 0 for nothing, and for how many bytes it has held.
    follow: usize,
    held: u32,
    /// Bytes since it last held.
    missed: u32,
    /// Bytes of `history` that are the old file's.
    known: usize,
    /// The letters and digits since anything else.
    word: u32,
}

impl Recall {
    /// Starts with the first bytes of the old file: all are remembered, and as many of the last as are worth it for `inserted` bytes
    /// train the model, too.
    pub(crate) fn new(mut dictionary: Vec<u8>, inserted: u32) -> Self {
        let lines = lines(inserted);
        let training = inserted.saturating_mul(4).clamp(MIN_TRAINING, MAX_TRAINING) as usize;
        let training = dictionary.split_off(dictionary.len().saturating_sub(training));
        let mut recall = Self {
            model: Mixer::new(lines, SELECTORS),
            word: 0,
            known: dictionary.len() + training.len(),
            history: dictionary,
            table: vec![0; 1 << PLACES],
            follow: 0,
            held: 0,
            missed: 0,
        };
        for end in SEED..=recall.history.len() {
            let slot = recall.slot(end);
            recall.table[slot] = end as u32;
        }
        for byte in training {
            recall.byte(&mut Silent, byte);
        }
        recall
    }

    /// Returns the memory that grew with the input, in bytes.
    pub(crate) const fn grown_memory(&self) -> u64 {
        self.history.capacity() as u64
    }

    /// Follows the old file from `old` on: what replaces a few bytes is mostly as long as they were.
    pub(crate) fn align(&mut self, old: usize) {
        self.follow = if old < self.known { old } else { 0 };
        (self.held, self.missed) = (0, 0);
    }

    /// Codes one byte.
    pub(crate) fn byte(&mut self, coder: &mut impl Coder, value: u8) -> u8 {
        let end = self.history.len();
        let last = |count: usize| {
            self.history[end.saturating_sub(count)..]
                .iter()
                .fold(count as u32, |known, &byte| known.wrapping_mul(0x2545_f491) ^ u32::from(byte))
        };
        let expected = if self.follow == 0 { 0 } else { 1 + u32::from(self.history[self.follow]) };
        let (held, missed) = (self.held.min(15), self.missed.min(7));
        let contexts = [
            hash(110, expected, held << 3 | missed),
            hash(111, last(1), expected),
            hash(112, last(2), 0),
            hash(113, last(3), 0),
            hash(114, last(4), expected),
            hash(115, last(6), 0),
            hash(116, self.word, last(1)),
        ];
        let selector = if expected == 0 { 0 } else { 1 + (held << 1 | missed.min(1)) as usize };
        let byte = self.model.byte(coder, &contexts, selector, u32::from(value)) as u8;
        let letter = byte.is_ascii_alphanumeric() || byte >= 0x80;
        self.word = if letter { self.word.wrapping_mul(0x2f0b_4f53) ^ (u32::from(byte) + 1) } else { 0 };
        if end >= MOST {
            // What is known by then is enough; memory is not.
            self.follow = 0;
            return byte;
        }
        self.history.push(byte);
        if self.follow != 0 && expected == 1 + u32::from(byte) {
            self.follow += 1;
            self.held += 1;
            self.missed = 0;
        } else if self.follow != 0 {
            // A byte that differs need not be the end.
            self.follow += 1;
            self.held = 0;
            self.missed += 1;
            if self.missed > PATIENCE {
                self.follow = 0;
            }
        }
        let end = end + 1;
        if end >= SEED {
            let slot = self.slot(end);
            let place = self.table[slot] as usize;
            if (self.follow == 0 || self.held < SEED as u32) && place != 0 {
                let agree = self.history[..place]
                    .iter()
                    .rev()
                    .zip(self.history.iter().rev())
                    .take(32)
                    .take_while(|(a, b)| a == b);
                let agree = agree.count() as u32;
                if agree >= SEED as u32 {
                    (self.follow, self.held, self.missed) = (place, agree, 0);
                }
            }
            self.table[slot] = end as u32;
        }
        byte
    }

    fn slot(&self, end: usize) -> usize {
        let seed = self.history[end - SEED..end].iter().fold(0_u64, |seed, &byte| seed << 8 | u64::from(byte));
        (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PLACES)) as usize
    }
}

/// Codes nothing: what it is given is what it answers.
struct Silent;

impl Coder for Silent {
    fn bit(&mut self, _: u32, bit: bool) -> bool {
        bit
    }

    fn flat(&mut self, _: u32, value: u32) -> u32 {
        value
    }

    fn symbol(&mut self, _: &[i16; 16], symbol: u32) -> (u32, u32) {
        (symbol, 0)
    }
}

/// Returns the lines of the model, as a power of two: about two for each byte that goes through it.
fn lines(inserted: u32) -> u32 {
    (u32::BITS - inserted.leading_zeros() + 2).clamp(MIN_LINES, MAX_LINES)
}

/// Returns the memory of the model and the table for so many inserted bytes, in bytes.
pub(crate) fn memory(inserted: u32) -> u64 {
    Mixer::<7>::memory(lines(inserted)) + (4 << PLACES)
}

/// Bytes of the old file that are remembered: 16 MiB.
pub(crate) const DICTIONARY: u32 = 16 << 20;
/// Bytes of them that train the model: four for each that is inserted, within 16 KiB and 1 MiB, half a second.
const MIN_TRAINING: u32 = 16 << 10;
const MAX_TRAINING: u32 = 1 << 20;
/// Bytes remembered in all: 24 MiB.
const MOST: usize = 24 << 20;
/// Ways in which what is followed has held and missed, by each of which the contexts weigh differently.
const SELECTORS: usize = 33;
/// Bytes in a row that may differ from what is followed.
const PATIENCE: u32 = 16;
/// Bytes that must agree to be followed.
const SEED: usize = 5;
/// Lines of the model: 2^14 to 2^18, which are 16 MiB.
const MIN_LINES: u32 = 14;
const MAX_LINES: u32 = 18;
/// Places in the table: 2^20.
const PLACES: u32 = 20;
