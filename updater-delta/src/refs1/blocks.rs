//! Makes a body in parts: blocks of a long new file, each against the window of the old one that has most in common with it.
//!
//! Both files are sampled by what they contain: a place counts where the bytes before it have a rare hash. Where most of a block's samples come
//! from, there the window lies, however far the contents have moved.

use super::encode::{Reading, Report, encode_memory_of, stream};
use super::parts::{Head, MIN_PART, PARTS};
use crate::DiffError;
use std::collections::HashMap;
use std::num::NonZeroUsize;

/// Makes the codec's own bytes within `memory` bytes, in parts. `done` is told how many bytes of the new file are.
pub(crate) fn encode(
    old: &[u8],
    new: &[u8],
    memory: u64,
    threads: NonZeroUsize,
    mut done: impl FnMut(u64),
) -> Result<(Vec<u8>, Report), DiffError> {
    let block = block(memory)?;
    let samples = Samples::new(old);
    let mut body = vec![PARTS];
    let mut report = Report::empty();
    for (index, ours) in new.chunks(block).enumerate() {
        let expected = (index * block).min(old.len());
        let window = samples.window(ours, expected, (WINDOW * block).min(old.len()));
        let theirs = &old[window.clone()];
        let (bytes, part) = stream(theirs, ours, Reading::Data, threads);
        let head = Head {
            bytes: bytes.len() as u64,
            old_offset: window.start as u64,
            old_length: theirs.len() as u32,
            new_length: ours.len() as u32,
        };
        body.extend(head.to_bytes());
        body.extend(bytes);
        report.add(&part);
        done((index * block + ours.len()) as u64);
    }
    Ok((body, report))
}

/// Returns the bytes of a block with which the work takes at most `memory` bytes.
fn block(memory: u64) -> Result<usize, DiffError> {
    let needed = |block: u64| encode_memory_of(WINDOW as u64 * block, block) + SAMPLES_MEMORY;
    let mut block = MAX_BLOCK;
    while block >= MIN_PART && needed(block) > memory {
        block /= 2;
    }
    // The last block takes what is left, so that only this is too short to be a part.
    if block < MIN_PART {
        Err(DiffError::Memory { needed: needed(MIN_PART), limit: memory })
    } else {
        Ok(block as usize)
    }
}

/// Where in the old file rare hashes come up.
struct Samples {
    /// Which grain; [`NOWHERE`] if there are several.
    grains: HashMap<u64, u32>,
    /// Bits of a hash that must be zero for a place to count.
    mask: u64,
    length: usize,
}

impl Samples {
    fn new(old: &[u8]) -> Self {
        // About 2^18 of them, whatever the length, but none closer than a few dozen bytes on average.
        let bits = (usize::BITS - old.len().leading_zeros()).saturating_sub(18).max(6);
        let mut samples = Self { grains: HashMap::new(), mask: !(u64::MAX >> bits), length: old.len() };
        let (mask, mut grains) = (samples.mask, HashMap::new());
        sample(old, mask, |at, hash| {
            // Contents of few different bytes could make more of them.
            if grains.len() < MOST_SAMPLES {
                let grain = (at / GRAIN) as u32;
                grains
                    .entry(hash)
                    .and_modify(|known| {
                        if *known != grain {
                            *known = NOWHERE
                        }
                    })
                    .or_insert(grain);
            }
        });
        samples.grains = grains;
        samples
    }

    /// Returns the range of the old file of `length` bytes that has most samples of `block`, the nearest to `expected` of several.
    fn window(&self, block: &[u8], expected: usize, length: usize) -> std::ops::Range<usize> {
        let grains = self.length.div_ceil(GRAIN);
        let mut votes = vec![0_u32; grains + 1];
        sample(block, self.mask, |_, hash| {
            if let Some(&grain) = self.grains.get(&hash).filter(|&&grain| grain != NOWHERE) {
                votes[grain as usize] += 1;
            }
        });
        let last = (self.length - length).div_ceil(GRAIN);
        let wide = length / GRAIN;
        // Half of the window may lie in front of what is expected: contents move in both directions.
        let expected = (expected.saturating_sub(length / 4) / GRAIN).min(last);
        let mut count: u32 = votes[..wide.min(grains)].iter().sum();
        let (mut best, mut best_count) = (0_usize, count);
        for start in 1..=last {
            count = count - votes[start - 1] + votes.get(start + wide - 1).copied().unwrap_or(0);
            if count > best_count || count == best_count && start.abs_diff(expected) < best.abs_diff(expected) {
                (best, best_count) = (start, count);
            }
        }
        let start = (best * GRAIN).min(self.length - length);
        start..start + length
    }
}

/// Calls `visit` with the place and the hash of every run of [`RUN`] bytes whose hash is zero under `mask`.
fn sample(bytes: &[u8], mask: u64, mut visit: impl FnMut(usize, u64)) {
    let outgoing = (0..RUN).fold(1_u64, |power, _| power.wrapping_mul(MULTIPLIER));
    let mut hash = 0_u64;
    for (at, &byte) in bytes.iter().enumerate() {
        hash = hash.wrapping_mul(MULTIPLIER).wrapping_add(u64::from(byte) + 1);
        if at >= RUN {
            hash = hash.wrapping_sub((u64::from(bytes[at - RUN]) + 1).wrapping_mul(outgoing));
        }
        // The high bits are the mixed ones.
        let mixed = (hash ^ hash >> 29).wrapping_mul(MULTIPLIER);
        if at + 1 >= RUN && mixed & mask == 0 {
            visit(at, mixed);
        }
    }
}

/// Bytes of a window per byte of a block.
const WINDOW: usize = 2;
/// The longest block: 512 MiB.
const MAX_BLOCK: u64 = 512 << 20;
/// Bytes of the old file that votes are counted by: 256 KiB.
const GRAIN: usize = 256 << 10;
/// Bytes that a hash is made of.
const RUN: usize = 48;
/// An odd number whose bits are as good as random.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
/// Samples that are kept at most, and the memory that they take with room to grow, in bytes.
const MOST_SAMPLES: usize = 1 << 19;
const SAMPLES_MEMORY: u64 = 48 << 20;
/// The grain of what comes up in several.
const NOWHERE: u32 = u32::MAX;
