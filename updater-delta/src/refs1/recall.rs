//! Inserted bytes of plain data: what followed the last time the same bytes came by, in the old file or in an earlier insertion.

use super::coder::Coder;
use super::model::{Model, hash};

/// A model of plain data that remembers what it saw.
pub(crate) struct Recall {
    model: Model<6, LINES>,
    /// The start of the old file, then all insertions.
    history: Vec<u8>,
    /// Where in `history` the bytes behind each hash of a few bytes are.
    table: Vec<u32>,
    /// What is being followed: place in `history` of the next byte, 0 for nothing, and for how many bytes it has held.
    follow: usize,
    held: u32,
}

impl Recall {
    /// Starts with the first bytes of the old file: all are remembered, the last of them train the model, too.
    pub(crate) fn new(mut dictionary: Vec<u8>) -> Self {
        let training = dictionary.split_off(dictionary.len().saturating_sub(TRAINING));
        let mut recall =
            Self { model: Model::new(32, 120), history: dictionary, table: vec![0; 1 << PLACES], follow: 0, held: 0 };
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

    /// Codes one byte.
    pub(crate) fn byte(&mut self, coder: &mut impl Coder, value: u8) -> u8 {
        let end = self.history.len();
        let last = |count: usize| {
            self.history[end.saturating_sub(count)..]
                .iter()
                .fold(count as u32, |known, &byte| known.wrapping_mul(0x2545_f491) ^ u32::from(byte))
        };
        let expected = if self.follow == 0 { 0 } else { 1 + u32::from(self.history[self.follow]) };
        let held = self.held.min(15);
        let contexts = [
            hash(110, expected, held),
            hash(111, last(1), 0),
            hash(112, last(2), 0),
            hash(113, last(3), 0),
            hash(114, last(4), expected),
            hash(115, last(6), 0),
        ];
        let selector = if expected == 0 { 0 } else { 1 + held as usize };
        let byte = self.model.byte(coder, &contexts, selector, u32::from(value)) as u8;
        if end >= MOST {
            // What is known by then is enough; memory is not.
            self.follow = 0;
            return byte;
        }
        self.history.push(byte);
        if self.follow != 0 && expected == 1 + u32::from(byte) {
            self.follow += 1;
            self.held += 1;
        } else {
            self.follow = 0;
            self.held = 0;
        }
        let end = end + 1;
        if end >= SEED {
            let slot = self.slot(end);
            let place = self.table[slot] as usize;
            if self.follow == 0 && place != 0 {
                let agree = self.history[..place]
                    .iter()
                    .rev()
                    .zip(self.history.iter().rev())
                    .take(32)
                    .take_while(|(a, b)| a == b);
                self.held = agree.count() as u32;
                self.follow = if self.held >= SEED as u32 { place } else { 0 };
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

    fn symbol(&mut self, _: &[i16; 16], symbol: u32) -> u32 {
        symbol
    }
}

/// Memory of the model and the table, in bytes.
pub(crate) const MEMORY: u64 = Model::<6, LINES>::memory(32) + (4 << PLACES);
/// Bytes of the old file that are remembered: 16 MiB.
pub(crate) const DICTIONARY: u32 = 16 << 20;
/// Bytes of them that train the model: 256 KiB, a tenth of a second.
const TRAINING: usize = 256 << 10;
/// Bytes remembered in all: 24 MiB.
const MOST: usize = 24 << 20;
/// Bytes that must agree to be followed.
const SEED: usize = 5;
/// Lines of the model: 2^16.
const LINES: usize = 1 << 16;
/// Places in the table: 2^20.
const PLACES: u32 = 20;
