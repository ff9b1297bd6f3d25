//! What is known about the next bit: adaptive counters, several per bit, mixed by how well each has done.
//!
//! Everything is integer arithmetic, because encoder and decoder must agree to the last bit on every machine.

use super::coder::BitCoder;

/// The counters of one context and symbol, in one cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u32; 16]);

/// A model whose bits are predicted from `N` contexts each.
///
/// A context leads to a line of 16 counters, one for each node of a symbol of four bits: one cache line per context and symbol.
pub(crate) struct Model<const N: usize> {
    /// A probability in 22 bits, and in 10 how often it was adapted.
    lines: Vec<Line>,
    shift: u32,
    /// Weights in 1/16384 per selector.
    weights: Vec<[i32; N]>,
    /// The low bits of numbers, by selector, length and place: nothing else is known about them.
    low: Vec<[u32; 32]>,
    rate: i32,
}

impl<const N: usize> Model<N> {
    /// Makes a model with 2^`bits` lines and `selectors` sets of weights.
    pub(crate) fn new(bits: u32, selectors: usize, rate: i32) -> Self {
        let start = (1 << 14) * 4 / (3 * N as i32).max(4);
        Self {
            lines: vec![Line([UNKNOWN; 16]); 1 << bits],
            shift: 32 - bits,
            weights: vec![[start; N]; selectors],
            low: vec![[1 << 31; 32]; selectors * 33],
            rate,
        }
    }

    /// Returns the memory that a model of this size takes, in bytes.
    pub(crate) const fn memory(bits: u32) -> u64 {
        64 << bits
    }

    /// Codes a symbol of `count` bits, at most four, highest first.
    #[inline]
    pub(crate) fn short(
        &mut self,
        coder: &mut impl BitCoder,
        contexts: &[u32; N],
        count: u32,
        selector: usize,
        value: u32,
    ) -> u32 {
        let index: [usize; N] = contexts.map(|context| (context.wrapping_mul(0x85eb_ca6b) >> self.shift) as usize);
        // Copies, so that nothing is checked or aliased in the loop; of equal lines the last one stays.
        let mut lines: [[u32; 16]; N] = index.map(|index| self.lines[index].0);
        let mut weights = self.weights[selector];
        let mut node = 1_usize;
        for shift in (0..count).rev() {
            let mut stretched = [0_i32; N];
            let mut dot = 0_i32;
            for i in 0..N {
                let counter = lines[i][node & 15];
                // A context that was never seen has nothing to say.
                stretched[i] = if counter & COUNT == 0 { 0 } else { i32::from(STRETCH[(counter >> 20) as usize]) };
                dot += weights[i] * stretched[i];
            }
            let one = u32::from(SQUASH[((dot >> 14).clamp(-MAX_ODDS, MAX_ODDS) + MAX_ODDS) as usize]);
            let bit = coder.code(one, value >> shift & 1 == 1);
            let error = (i32::from(bit) << 16) - one as i32;
            for i in 0..N {
                let step = (stretched[i] * ((error * self.rate) >> 4)) >> 16;
                weights[i] = (weights[i] + step).clamp(-(1 << 17), 1 << 17);
                let counter = &mut lines[i][node & 15];
                *counter = adapt(*counter, bit);
            }
            node = node << 1 | usize::from(bit);
        }
        self.weights[selector] = weights;
        for (index, line) in index.into_iter().zip(lines) {
            self.lines[index].0 = line;
        }
        node as u32 ^ 1 << count
    }

    /// Codes a byte.
    #[inline]
    pub(crate) fn byte(&mut self, coder: &mut impl BitCoder, contexts: &[u32; N], selector: usize, value: u32) -> u32 {
        let high = self.short(coder, contexts, 4, selector, value >> 4);
        let contexts = contexts.map(|context| (context ^ (high + 1).wrapping_mul(0x9e37_79b1)).rotate_left(5));
        high << 4 | self.short(coder, &contexts, 4, selector, value & 15)
    }

    /// Codes a number of up to 32 bits: its length in bits, then its bits below the highest.
    #[inline]
    pub(crate) fn number(
        &mut self,
        coder: &mut impl BitCoder,
        contexts: &[u32; N],
        selector: usize,
        value: u32,
    ) -> u32 {
        let wanted = 32 - value.leading_zeros();
        let mut length = self.short(coder, contexts, 4, selector, wanted.min(15));
        if length == 15 {
            let contexts = contexts.map(|context| context ^ 0x5bd1_e995);
            let more = wanted.wrapping_sub(15);
            length += self.short(coder, &contexts, 1, selector, more >> 4) << 4;
            let contexts = contexts.map(|context| context ^ length.wrapping_mul(0x9e37_79b1));
            length += self.short(coder, &contexts, 4, selector, more & 15);
            length = length.min(32);
        }
        if length < 2 {
            return length;
        }
        // The first bits below the highest depend on each other; deeper ones only on their place.
        let first = (length - 1).min(3);
        let contexts = contexts.map(|context| context ^ (length + 40).wrapping_mul(0x9e37_79b1));
        let top = self.short(coder, &contexts, first, selector, value >> (length - 1 - first) & ((1 << first) - 1));
        let mut known = 1 << first | top;
        for shift in (0..length - 1 - first).rev() {
            let counter = &mut self.low[selector * 33 + length as usize][shift as usize];
            known = known << 1 | u32::from(simple(coder, counter, value >> shift & 1 == 1));
        }
        known
    }
}

/// Codes a bit with one counter.
#[inline]
pub(crate) fn simple(coder: &mut impl BitCoder, counter: &mut u32, bit: bool) -> bool {
    let bit = coder.code((*counter >> 16).clamp(1, 65_535), bit);
    *counter = adapt(*counter, bit);
    bit
}

/// The value of a counter that knows nothing.
pub(crate) const UNKNOWN: u32 = 1 << 31;

/// Folds the parts of a context into one hash.
#[inline]
pub(crate) const fn hash(kind: u32, a: u32, b: u32) -> u32 {
    let mixed =
        kind.wrapping_mul(0x2c1b_3c6d) ^ a.wrapping_mul(0xd6e8_feb9) ^ b.wrapping_mul(0x297a_2d39).rotate_left(13);
    (mixed ^ mixed >> 16).wrapping_mul(0x7feb_352d)
}

/// Moves a counter towards `bit`: by 1/1.5, 1/2.5, ... down to its slowest pace.
#[inline]
fn adapt(counter: u32, bit: bool) -> u32 {
    let count = counter & COUNT;
    let probability = (counter >> 10) as i32;
    let target = if bit { (1 << 22) - 1 } else { 0 };
    let step = ((i64::from(target - probability) * i64::from(PACE[count as usize])) >> 16) as i32;
    ((probability + step) as u32) << 10 | if count < SLOWEST { count + 1 } else { count }
}

const COUNT: u32 = (1 << 10) - 1;
/// The count at which a counter stops slowing down.
const SLOWEST: u32 = 250;
/// The largest odds: e^11, about the finest probability that 16 bits can tell.
const MAX_ODDS: i32 = 11 * 256;

/// 65536 / (count + 1.5).
static PACE: [u32; SLOWEST as usize + 1] = {
    let mut table = [0; SLOWEST as usize + 1];
    let mut count = 0;
    while count < table.len() {
        table[count] = 65_536 * 2 / (count as u32 * 2 + 3);
        count += 1;
    }
    table
};

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
