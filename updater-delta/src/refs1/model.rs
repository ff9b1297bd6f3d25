//! What is known about the next symbol: two adaptive distributions per symbol, averaged by how well each has done.
//!
//! Everything is integer arithmetic, because encoder and decoder must agree to the last bit on every machine. A distribution is
//! sixteen lanes of sixteen bits, so that compilers turn each step into a few vector instructions. Nothing here divides, and no
//! jump depends on a symbol: what one symbol takes is what all of applying a delta takes.

use super::coder::{Coder, around};

/// What one context knows about a symbol: the probability of each value or a lower one in 1/32767, and how often it was adapted.
#[derive(Clone, Copy)]
#[repr(align(32))]
struct Line([i16; 16]);

/// A model whose symbols are predicted from two contexts each.
pub(crate) struct Model<const LINES: usize> {
    lines: Box<[Line; LINES]>,
    /// By how much the first context's share of the average exceeds a half, in 1/65536, by selector.
    weights: Vec<i16>,
}

impl<const LINES: usize> Model<LINES> {
    /// Makes a model with `selectors` weights.
    pub(crate) fn new(selectors: usize) -> Self {
        const { assert!(LINES.is_power_of_two() && LINES > 1 && LINES <= 1 << 24) };
        let lines: Box<[Line]> = vec![Line(UNSEEN); LINES].into_boxed_slice();
        let Ok(lines) = lines.try_into() else { unreachable!("as many as were asked for") };
        Self { lines, weights: vec![0; selectors] }
    }

    /// Returns the memory that a model of this size takes, in bytes.
    pub(crate) const fn memory(selectors: usize) -> u64 {
        (size_of::<Line>() * LINES + selectors * 2) as u64
    }

    /// Codes a symbol of at most four bits.
    #[inline(always)]
    pub(crate) fn short(&mut self, coder: &mut impl Coder, contexts: [u32; 2], selector: usize, value: u32) -> u32 {
        let shift = u32::BITS - LINES.trailing_zeros();
        let index = contexts.map(|context| (context >> shift) as usize & (LINES - 1));
        let [mut first, mut second] = index.map(|index| self.lines[index].0);
        // What was never seen starts as what is known of the other context.
        if first[15] == 0 {
            first = second;
            first[15] = INHERITED;
        } else if second[15] == 0 {
            second = first;
            second[15] = INHERITED;
        }
        let weight = &mut self.weights[selector];
        let (mut ends, mut apart) = ([0; 16], [0; 16]);
        for lane in 0..16 {
            let more = (first[lane].wrapping_sub(second[lane])) & !COUNTS[lane];
            let share = ((i32::from(more) * i32::from(*weight)) >> 16) as i16;
            apart[lane] = more;
            ends[lane] = squeeze(second[lane].wrapping_add(more >> 1).wrapping_add(share), lane);
        }
        let (symbol, share) = coder.symbol(&ends, value);
        // The context that gave the symbol more gains weight, by how much that would have helped.
        let (before, with) = around(&apart, symbol);
        let gain = ((with - before) << (share.leading_zeros() - 16)) >> 8;
        *weight = (i32::from(*weight) + 4 * gain.clamp(-MOST_GAIN, MOST_GAIN)).clamp(-MOST_WEIGHT, MOST_WEIGHT) as i16;
        self.lines[index[0]].0 = learn(first, symbol);
        self.lines[index[1]].0 = learn(second, symbol);
        symbol
    }

    /// Codes a symbol of at most four bits with one context, at less than half of the work.
    #[inline(always)]
    pub(crate) fn single(&mut self, coder: &mut impl Coder, context: u32, value: u32) -> u32 {
        let shift = u32::BITS - LINES.trailing_zeros();
        lone(coder, &mut self.lines[(context >> shift) as usize & (LINES - 1)], value)
    }

    /// Codes a byte.
    #[inline]
    pub(crate) fn byte(&mut self, coder: &mut impl Coder, contexts: [u32; 2], selector: usize, value: u32) -> u32 {
        let high = self.short(coder, contexts, selector, value >> 4);
        let contexts = contexts.map(|context| context ^ (high + 1).wrapping_mul(0x9e37_79b1));
        high << 4 | self.short(coder, contexts, selector, value & 15)
    }
}

/// A model of numbers.
pub(crate) struct Numbers<const LINES: usize> {
    model: Model<LINES>,
    /// The lowest bits, by selector and length: nothing else is known about them.
    low: Vec<[Line; 33]>,
}

impl<const LINES: usize> Numbers<LINES> {
    /// Makes a model with `selectors` weights.
    pub(crate) fn new(selectors: usize) -> Self {
        Self { model: Model::new(selectors), low: vec![[Line(UNSEEN); 33]; selectors] }
    }

    /// Returns the memory that a model of this size takes, in bytes.
    pub(crate) const fn memory(selectors: usize) -> u64 {
        Model::<LINES>::memory(selectors) + (selectors * 33 * size_of::<Line>()) as u64
    }

    /// Codes a symbol of at most four bits.
    pub(crate) fn short(&mut self, coder: &mut impl Coder, contexts: [u32; 2], selector: usize, value: u32) -> u32 {
        self.model.short(coder, contexts, selector, value)
    }

    /// Codes a number of up to 32 bits: its length in bits, the three bits below the highest, the lowest four, and as they are
    /// those between.
    #[inline]
    pub(crate) fn number(&mut self, coder: &mut impl Coder, contexts: [u32; 2], selector: usize, value: u32) -> u32 {
        let wanted = u32::BITS - value.leading_zeros();
        let mut length = self.model.short(coder, contexts, selector, wanted.min(15));
        if length == 15 {
            length = self.longer(coder, contexts[0], wanted);
        }
        self.rest(coder, contexts[0], selector, length, value)
    }

    /// Codes a number with one context.
    #[inline]
    pub(crate) fn single(&mut self, coder: &mut impl Coder, context: u32, selector: usize, value: u32) -> u32 {
        let wanted = u32::BITS - value.leading_zeros();
        let mut length = self.model.single(coder, context, wanted.min(15));
        if length == 15 {
            length = self.longer(coder, context, wanted);
        }
        self.rest(coder, context, selector, length, value)
    }

    /// Codes by how much a length exceeds 15, and returns the length.
    #[inline]
    fn longer(&mut self, coder: &mut impl Coder, context: u32, wanted: u32) -> u32 {
        let mut length = 15 + self.model.single(coder, context ^ 0x5bd1_e995, (wanted.max(15) - 15).min(15));
        if length == 30 {
            length += self.model.single(coder, context ^ 0x1b56_c4e9, wanted.max(30) - 30);
        }
        length.min(32)
    }

    /// Codes the bits of a number below its highest.
    #[inline(always)]
    fn rest(&mut self, coder: &mut impl Coder, context: u32, selector: usize, length: u32, value: u32) -> u32 {
        if length < 2 {
            return length;
        }
        let rest = length - 1;
        let high = rest.min(3);
        let low = (rest - high).min(4);
        let middle = rest - high - low;
        let part = |shift: u32, bits: u32| value >> shift & ((1 << bits) - 1);
        let top = self.model.single(coder, context ^ (length + 1).wrapping_mul(0x85eb_ca6b), part(rest - high, high));
        let mut known = 1 << high | top & ((1 << high) - 1);
        if middle > 0 {
            known = known << middle | coder.raw(middle, part(low, middle));
        }
        if low > 0 {
            let bottom = lone(coder, &mut self.low[selector][length as usize], part(0, low));
            known = known << low | bottom & ((1 << low) - 1);
        }
        known
    }
}

/// Codes a symbol with one line.
#[inline]
fn lone(coder: &mut impl Coder, line: &mut Line, value: u32) -> u32 {
    let mut ends = [0; 16];
    for (lane, end) in ends.iter_mut().enumerate() {
        *end = squeeze(line.0[lane], lane);
    }
    let (symbol, _) = coder.symbol(&ends, value);
    line.0 = learn(line.0, symbol);
    symbol
}

/// Leaves something to every value, as a cumulative distribution: nothing is impossible.
#[inline(always)]
const fn squeeze(known: i16, lane: usize) -> i16 {
    // The last lane is not one of them: masks rather than a store, which the next load would have to wait for.
    (known - (known >> 9) + FLOOR[lane]) & !COUNTS[lane] | COUNTS[lane] & i16::MAX
}

/// Moves a line towards a symbol.
#[inline(always)]
fn learn(mut line: [i16; 16], symbol: u32) -> [i16; 16] {
    let count = line[15];
    let (pace, more) = (PACE[count as usize & 255], i16::from(count < SLOWEST_LINE));
    let flips = &FLIPS[symbol as usize & 15];
    for lane in 0..16 {
        // The distance to the goal, which is one from the symbol on and zero below.
        let far = line[lane] ^ flips[lane];
        let near = far + ((i32::from(-far) * i32::from(pace)) >> 16) as i16;
        line[lane] = (near ^ flips[lane]) & !COUNTS[lane] | line[lane].wrapping_add(more) & COUNTS[lane];
    }
    line
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

const COUNT: u32 = (1 << 10) - 1;
/// The count at which a counter of a bit stops slowing down.
const SLOWEST: u32 = 250;
/// The count at which a line stops slowing down.
const SLOWEST_LINE: i16 = 120;
/// The count of a line that starts as another: little, so that it soon becomes its own.
const INHERITED: i16 = 2;
/// The most by which a share differs from a half: neither context is ever without one.
const MOST_WEIGHT: i32 = 32_256;
/// The most that one symbol tells about the contexts: a probability four times too low.
const MOST_GAIN: i32 = 1024;

/// What every value gets, as a cumulative distribution.
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

/// All bits of the lanes from each symbol on.
static FLIPS: [[i16; 16]; 16] = {
    let mut table = [[0; 16]; 16];
    let mut at = 0;
    while at < 256 {
        table[at / 16][at % 16] = if at % 16 >= at / 16 { i16::MAX } else { 0 };
        at += 1;
    }
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
