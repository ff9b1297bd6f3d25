//! The slower, finer model of plain data: every bit is predicted by several counters, mixed by how well each has done.
//!
//! Programs are modelled four bits at a time because that is several times faster; inserted text is little and worth the effort.

use super::coder::Coder;
use super::model::{UNKNOWN, adapt};

/// The counters of one context and symbol, in one cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u32; 16]);

/// A model whose bits are predicted from `N` contexts each.
pub(crate) struct Mixer<const N: usize> {
    /// Counters as [`adapt`] keeps them, one for each node of a symbol of four bits.
    lines: Vec<Line>,
    shift: u32,
    /// Weights in 1/16384 per selector.
    weights: Vec<[i32; N]>,
}

impl<const N: usize> Mixer<N> {
    /// Makes a model of 2^`bits` lines with `selectors` sets of weights.
    pub(crate) fn new(bits: u32, selectors: usize) -> Self {
        let weights = vec![[(1 << 16) / (3 * N as i32); N]; selectors];
        Self { lines: vec![Line([UNKNOWN; 16]); 1 << bits], shift: 32 - bits, weights }
    }

    /// Returns the memory that a model of this size takes, in bytes.
    pub(crate) const fn memory(bits: u32) -> u64 {
        (size_of::<Line>() as u64) << bits
    }

    /// Codes a byte.
    pub(crate) fn byte(&mut self, coder: &mut impl Coder, contexts: &[u32; N], selector: usize, value: u32) -> u32 {
        let high = self.nibble(coder, contexts, selector, value >> 4);
        let contexts = contexts.map(|context| (context ^ (high + 1).wrapping_mul(0x9e37_79b1)).rotate_left(5));
        high << 4 | self.nibble(coder, &contexts, selector, value & 15)
    }

    fn nibble(&mut self, coder: &mut impl Coder, contexts: &[u32; N], selector: usize, value: u32) -> u32 {
        let index: [usize; N] = contexts.map(|context| (context.wrapping_mul(0x85eb_ca6b) >> self.shift) as usize);
        let mut weights = self.weights[selector];
        let mut node = 1_usize;
        for shift in (0..4).rev() {
            let (mut stretched, mut counters, mut dot) = ([0_i32; N], [0_u32; N], 0_i32);
            for i in 0..N {
                counters[i] = self.lines[index[i]].0[node & 15];
                // What was never seen stands in the middle, and has nothing to say.
                stretched[i] = i32::from(STRETCH[(counters[i] >> 20) as usize]);
                dot += weights[i] * stretched[i];
            }
            let one = u32::from(SQUASH[((dot >> 14).clamp(-MAX_ODDS, MAX_ODDS) + MAX_ODDS) as usize]);
            let bit = coder.bit((one >> 1).clamp(1, 32_767), value >> shift & 1 == 1);
            let error = (((i32::from(bit) << 16) - one as i32) * RATE) >> 4;
            for i in 0..N {
                weights[i] = (weights[i] + ((stretched[i] * error) >> 16)).clamp(-(1 << 17), 1 << 17);
                self.lines[index[i]].0[node & 15] = adapt(counters[i], bit);
            }
            node = node << 1 | usize::from(bit);
        }
        self.weights[selector] = weights;
        node as u32 ^ 16
    }
}

/// How fast weights learn.
const RATE: i32 = 8;
/// The largest odds: e^11, about the finest probability that 16 bits can tell.
const MAX_ODDS: i32 = 11 * 256;

/// 65536 / (1 + e^-x) for x from -11 to 11 in steps of 1/8.
const CURVE: [u32; 177] = [
    1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 6, 7, 8, 9, 10, 12, 13, 15, 17, 19, 22, 25, 28, 32, 36, 41, 47, 53, 60,
    68, 77, 87, 98, 111, 126, 143, 162, 184, 208, 236, 267, 302, 342, 387, 439, 497, 562, 636, 720, 815, 922, 1042,
    1179, 1333, 1506, 1701, 1921, 2168, 2446, 2758, 3108, 3500, 3938, 4427, 4971, 5577, 6249, 6992, 7812, 8714, 9702,
    10_782, 11_955, 13_226, 14_595, 16_062, 17_625, 19_282, 21_025, 22_849, 24_743, 26_695, 28_693, 30_723, 32_768,
    34_813, 36_843, 38_841, 40_793, 42_687, 44_511, 46_254, 47_911, 49_474, 50_941, 52_310, 53_581, 54_754, 55_834,
    56_822, 57_724, 58_544, 59_287, 59_959, 60_565, 61_109, 61_598, 62_036, 62_428, 62_778, 63_090, 63_368, 63_615,
    63_835, 64_030, 64_203, 64_357, 64_494, 64_614, 64_721, 64_816, 64_900, 64_974, 65_039, 65_097, 65_149, 65_194,
    65_234, 65_269, 65_300, 65_328, 65_352, 65_374, 65_393, 65_410, 65_425, 65_438, 65_449, 65_459, 65_468, 65_476,
    65_483, 65_489, 65_495, 65_500, 65_504, 65_508, 65_511, 65_514, 65_517, 65_519, 65_521, 65_523, 65_524, 65_526,
    65_527, 65_528, 65_529, 65_530, 65_530, 65_531, 65_532, 65_532, 65_533, 65_533, 65_533, 65_534, 65_534, 65_534,
    65_534, 65_535, 65_535, 65_535,
];

/// Turns a logarithm of odds in 1/256, from -[`MAX_ODDS`] on, into a probability in 1/65536.
const SQUASH_TABLE: [u16; MAX_ODDS as usize * 2 + 1] = {
    let mut table = [0; MAX_ODDS as usize * 2 + 1];
    let mut at = 0;
    while at < table.len() {
        let (index, rest) = (at >> 5, at & 31);
        let low = CURVE[index];
        let high = if rest == 0 { low } else { CURVE[index + 1] };
        table[at] = (low + (((high - low) * rest as u32) >> 5)) as u16;
        at += 1;
    }
    table
};

/// The inverse of [`SQUASH`] for probabilities in 1/4096.
static STRETCH: [i16; 4096] = {
    let mut table = [0; 4096];
    let mut at = 0;
    let mut next = 0;
    while next < 4096 {
        while at + 1 < SQUASH_TABLE.len() && (SQUASH_TABLE[at] as usize) < next * 16 + 8 {
            at += 1;
        }
        table[next] = (at as i32 - MAX_ODDS) as i16;
        next += 1;
    }
    table
};

static SQUASH: [u16; MAX_ODDS as usize * 2 + 1] = SQUASH_TABLE;
