//! What is known about the next symbol: adaptive distributions, several per symbol, averaged by how well each has done.
//!
//! Everything is integer arithmetic, because encoder and decoder must agree to the last bit on every machine. A distribution is
//! sixteen lanes of sixteen bits, so that compilers turn each step into a few vector instructions.

use super::coder::{Coder, share};

/// What one context knows about a symbol: the probability of each value or a lower one in 1/32767, and how often it was adapted.
#[derive(Clone, Copy)]
#[repr(align(32))]
struct Line([i16; 16]);

/// A model whose symbols are predicted from `N` contexts each.
pub(crate) struct Model<const N: usize, const LINES: usize> {
    lines: Box<[Line; LINES]>,
    /// Shares of the contexts, in 1/32768, by selector and by how much each context has seen.
    weights: Vec<[i16; N]>,
    /// The count at which a line stops slowing down.
    slowest: i16,
}

impl<const N: usize, const LINES: usize> Model<N, LINES> {
    /// Makes a model with `selectors` sets of weights.
    pub(crate) fn new(selectors: usize, slowest: i16) -> Self {
        const { assert!(LINES.is_power_of_two() && LINES <= 1 << 24) };
        let lines: Box<[Line]> = vec![Line(UNSEEN); LINES].into_boxed_slice();
        let Ok(lines) = lines.try_into() else { unreachable!("as many as were asked for") };
        let weights: Vec<[i16; N]> = (0..Self::SETS).map(start::<N>).collect();
        Self { lines, weights: weights.repeat(selectors), slowest }
    }

    /// Returns the memory that a model of this size takes, in bytes.
    pub(crate) const fn memory(selectors: usize) -> u64 {
        (size_of::<Line>() * LINES + selectors * Self::SETS * N * 2) as u64
    }

    /// Ways in which the contexts can have seen nothing, little or much.
    const SETS: usize = 3_usize.pow(N as u32);

    /// Codes a symbol of at most four bits.
    #[inline]
    pub(crate) fn short(&mut self, coder: &mut impl Coder, contexts: &[u32; N], selector: usize, value: u32) -> u32 {
        let index: [usize; N] = contexts.map(|context| (context.wrapping_mul(0x85eb_ca6b) >> 8) as usize & (LINES - 1));
        let mut lines: [[i16; 16]; N] = [[0; 16]; N];
        let mut set = selector * Self::SETS;
        let mut place = 1;
        for i in 0..N {
            lines[i] = self.lines[index[i]].0;
            set += place * LEVELS[lines[i][15] as usize & 255] as usize;
            place *= 3;
        }
        let weights = self.weights[set];
        let mut mixed = [0_i16; 16];
        for lane in 0..16 {
            let mut sum = 0_i16;
            for i in 0..N {
                sum += ((i32::from(lines[i][lane]) * i32::from(weights[i])) >> 16) as i16;
            }
            // The last lane is not one of them: masks rather than a store, which the next load would have to wait for.
            mixed[lane] = (sum * 2 + FLOOR[lane]) & !COUNTS[lane] | COUNTS[lane] & i16::MAX;
        }
        let symbol = coder.symbol(&mixed, value);
        let (_, got) = share(&mixed, symbol);
        // Contexts that gave the symbol more than the average of all did gain weight.
        let inverse = (1 << 20) / (got as i32 + 1);
        let mut total = 0;
        let mut adapted = [0_i16; N];
        for i in 0..N {
            let (_, said) = share(&lines[i], symbol);
            let gain = (((said as i32 - got as i32) * (inverse >> 4)) >> 10).clamp(-64, 192);
            let weight = i32::from(weights[i]);
            let weight = (weight + ((weight * gain) >> LEARNING)).clamp(LEAST, TOTAL);
            adapted[i] = weight as i16;
            total += weight;
        }
        // The most trusted context takes the difference.
        let mut largest = 0;
        for i in 1..N {
            if adapted[i] > adapted[largest] {
                largest = i;
            }
        }
        let rest = TOTAL - total + i32::from(adapted[largest]);
        if rest >= LEAST {
            adapted[largest] = rest as i16;
            self.weights[set] = adapted;
        }
        for i in 0..N {
            let count = lines[i][15];
            let (pace, more) = (PACE[count as usize & 255], i16::from(count < self.slowest));
            for (lane, value) in (0_i16..).zip(&mut lines[i]) {
                // The distance to the goal, which is one from the symbol on and zero below.
                let flip = if lane >= symbol as i16 { i16::MAX } else { 0 };
                let far = *value ^ flip;
                let near = far + ((i32::from(-far) * i32::from(pace)) >> 16) as i16;
                let counts = COUNTS[lane as usize];
                *value = (near ^ flip) & !counts | value.wrapping_add(more) & counts;
            }
            self.lines[index[i]].0 = lines[i];
        }
        symbol
    }

    /// Codes a byte.
    #[inline]
    pub(crate) fn byte(&mut self, coder: &mut impl Coder, contexts: &[u32; N], selector: usize, value: u32) -> u32 {
        let high = self.short(coder, contexts, selector, value >> 4);
        let contexts = contexts.map(|context| (context ^ (high + 1).wrapping_mul(0x9e37_79b1)).rotate_left(5));
        high << 4 | self.short(coder, &contexts, selector, value & 15)
    }
}

/// A model of numbers.
pub(crate) struct Numbers<const N: usize, const LINES: usize> {
    model: Model<N, LINES>,
    /// The low bits, by selector, length and place: nothing else is known about them.
    low: Vec<[u32; 32]>,
}

impl<const N: usize, const LINES: usize> Numbers<N, LINES> {
    /// Makes a model with `selectors` sets of weights.
    pub(crate) fn new(selectors: usize, slowest: i16) -> Self {
        Self { model: Model::new(selectors, slowest), low: vec![[UNKNOWN; 32]; selectors * 33] }
    }

    /// Returns the memory that a model of this size takes, in bytes.
    pub(crate) const fn memory(selectors: usize) -> u64 {
        Model::<N, LINES>::memory(selectors) + (selectors * 33 * 32 * 4) as u64
    }

    /// Codes a symbol of at most four bits.
    pub(crate) fn short(&mut self, coder: &mut impl Coder, contexts: &[u32; N], selector: usize, value: u32) -> u32 {
        self.model.short(coder, contexts, selector, value)
    }

    /// Codes a number of up to 32 bits: its length in bits, then its bits below the highest.
    #[inline]
    pub(crate) fn number(&mut self, coder: &mut impl Coder, contexts: &[u32; N], selector: usize, value: u32) -> u32 {
        let wanted = 32 - value.leading_zeros();
        let mut length = self.model.short(coder, contexts, selector, wanted.min(15));
        if length == 15 {
            let contexts = contexts.map(|context| context ^ 0x5bd1_e995);
            let more = wanted.wrapping_sub(15);
            length += (self.model.short(coder, &contexts, selector, more >> 4) & 1) << 4;
            let contexts = contexts.map(|context| context ^ length.wrapping_mul(0x9e37_79b1));
            length += self.model.short(coder, &contexts, selector, more & 15);
            length = length.min(32);
        }
        if length < 2 {
            return length;
        }
        // The first bits below the highest depend on each other; deeper ones only on their place.
        let first = (length - 1).min(3);
        let contexts = contexts.map(|context| context ^ (length + 40).wrapping_mul(0x9e37_79b1));
        let top = value >> (length - 1 - first) & ((1 << first) - 1);
        let top = self.model.short(coder, &contexts, selector, top) & ((1 << first) - 1);
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
pub(crate) fn simple(coder: &mut impl Coder, counter: &mut u32, bit: bool) -> bool {
    let bit = coder.bit((*counter >> 17).clamp(1, 32_767), bit);
    *counter = adapt(*counter, bit);
    bit
}

/// The value of a counter that knows nothing: a probability in 22 bits, and in 10 how often it was adapted.
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
pub(crate) fn adapt(counter: u32, bit: bool) -> u32 {
    let count = counter & COUNT;
    let probability = (counter >> 10) as i32;
    let target = i32::from(bit).wrapping_neg() & ((1 << 22) - 1);
    let step = ((i64::from(target - probability) * i64::from(BIT_PACE[(count & 255) as usize])) >> 16) as i32;
    ((probability + step) as u32) << 10 | (count + u32::from(count < SLOWEST))
}

/// The weights that a set starts with: contexts that have seen something count.
fn start<const N: usize>(mut set: usize) -> [i16; N] {
    let mut raw = [0; N];
    for weight in &mut raw {
        *weight = [1, 12, 24][set % 3];
        set /= 3;
    }
    let sum: i32 = raw.iter().sum();
    raw.map(|weight| (weight * TOTAL / sum).max(LEAST) as i16)
}

const COUNT: u32 = (1 << 10) - 1;
/// The count at which a counter of a bit stops slowing down.
const SLOWEST: u32 = 250;
/// What all weights of a set add up to: one, less what the floor takes.
const TOTAL: i32 = 32_768 - 16 * FLOOR[0] as i32;
/// The least weight.
const LEAST: i32 = 64;
/// How slowly weights learn, as a power of two.
const LEARNING: i32 = 11;

/// What every value gets, as a cumulative distribution: nothing is impossible.
const FLOOR: [i16; 16] = {
    let mut table = [0; 16];
    let mut lane = 0;
    while lane < 16 {
        table[lane] = 4 * (lane as i16 + 1);
        lane += 1;
    }
    table
};

/// Which lane holds a count instead of a probability.
const COUNTS: [i16; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1];

/// All values alike, and seen never.
const UNSEEN: [i16; 16] = {
    let mut table = [0; 16];
    let mut lane = 0;
    while lane < 15 {
        table[lane] = 2048 * (lane as i16 + 1);
        lane += 1;
    }
    table
};

/// How much a line has seen by its count: nothing, little, much.
static LEVELS: [u8; 256] = {
    let mut table = [2; 256];
    table[0] = 0;
    table[1] = 1;
    table[2] = 1;
    table
};

/// 65536 / (count + 1.5), at most a half.
static PACE: [i16; 256] = {
    let mut table = [i16::MAX; 256];
    let mut count = 1;
    while count < table.len() {
        table[count] = (65_536 * 2 / (count as i32 * 2 + 3)) as i16;
        count += 1;
    }
    table
};

/// 65536 / (count + 1.5).
static BIT_PACE: [u32; 256] = {
    let mut table = [0; 256];
    let mut count = 0;
    while count < table.len() {
        table[count] = 65_536 * 2 / (count as u32 * 2 + 3);
        count += 1;
    }
    table
};
