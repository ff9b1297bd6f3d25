//! Finds which bytes of one file are like which of another.
//!
//! The old file's suffixes are sorted, but only those that begin where a match may be looked for: at instructions in code, anywhere
//! else. The new file is then gone through from front to back: a match is followed as long as no other beats it clearly, and grown in
//! both directions as long as more bytes agree than differ.

use std::cmp::Ordering;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

/// One found pair of ranges; many bytes in it agree, not all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) old: usize,
    pub(crate) new: usize,
    pub(crate) length: usize,
}

/// Places in a file, one bit each.
pub(crate) struct Places {
    bits: Vec<u64>,
}

impl Places {
    pub(crate) fn new(length: usize) -> Self {
        Self { bits: vec![0; length / 64 + 1] }
    }

    pub(crate) fn set(&mut self, at: usize) {
        self.bits[at / 64] |= 1 << (at % 64);
    }

    /// Returns the first place from `at` on.
    #[inline]
    fn next(&self, at: usize) -> usize {
        let mut index = at / 64;
        let Some(&word) = self.bits.get(index) else {
            return usize::MAX;
        };
        let mut word = word & (u64::MAX << (at % 64));
        while word == 0 {
            index += 1;
            match self.bits.get(index) {
                Some(&next) => word = next,
                None => return usize::MAX,
            }
        }
        index * 64 + word.trailing_zeros() as usize
    }
}

/// Finds the matches of `new` in `old`, in the order of `new`, without overlaps there.
pub(crate) fn matches(
    old: &[u8],
    new: &[u8],
    old_places: &Places,
    new_places: &Places,
    advantage: usize,
    threads: NonZeroUsize,
) -> Vec<Found> {
    let index = Index::new(old, old_places, threads);
    // Shares of a fixed size, so that the result does not depend on the number of threads.
    let shares = new.len().div_ceil(SHARE);
    let mut found: Vec<Vec<Found>> = vec![Vec::new(); shares];
    let next = Mutex::new(found.iter_mut().enumerate());
    let work = || {
        let scan = Scan { advantage, index: &index, new, places: new_places };
        loop {
            // The guard goes at the end of this statement: only the choice is exclusive.
            let share = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((share, found)) = share else { return };
            *found = scan.run(share * SHARE, ((share + 1) * SHARE).min(new.len()));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.get().min(shares) {
            scope.spawn(work);
        }
        work();
    });
    found.concat()
}

/// Sorted suffixes.
struct Index<'a> {
    old: &'a [u8],
    /// Where the suffixes with each first pair of bytes begin in `sorted`.
    buckets: Vec<u32>,
    sorted: Vec<u32>,
}

impl<'a> Index<'a> {
    fn new(old: &'a [u8], places: &Places, threads: NonZeroUsize) -> Self {
        let usable = old.len().saturating_sub(MIN_SEED - 1);
        let mut buckets = vec![0_u32; (1 << 16) + 1];
        let pair = |at: usize| usize::from(u16::from_be_bytes([old[at], old[at + 1]]));
        let each = |visit: &mut dyn FnMut(usize)| {
            let mut at = places.next(0);
            while at < usable {
                visit(at);
                at = places.next(at + 1);
            }
        };
        each(&mut |at| buckets[pair(at) + 1] += 1);
        for index in 0..1 << 16 {
            buckets[index + 1] += buckets[index];
        }
        let mut sorted = vec![0_u32; buckets[1 << 16] as usize];
        let mut next = buckets.clone();
        each(&mut |at| {
            let slot = &mut next[pair(at)];
            sorted[*slot as usize] = at as u32;
            *slot += 1;
        });
        drop(next);
        // Shares of about equal size, cut between buckets.
        let goal = sorted.len() / threads.get() + 1;
        std::thread::scope(|scope| {
            let mut rest = &mut sorted[..];
            let mut first = 0;
            while first < 1 << 16 {
                let start = buckets[first];
                let mut last = first + 1;
                while last < 1 << 16 && ((buckets[last] - start) as usize) < goal {
                    last += 1;
                }
                let (share, behind) = std::mem::take(&mut rest).split_at_mut((buckets[last] - start) as usize);
                rest = behind;
                let bounds = &buckets[first..=last];
                scope.spawn(move || sort_buckets(old, share, bounds));
                first = last;
            }
        });
        Self { old, buckets, sorted }
    }

    /// Returns the longest match of the beginning of `new`, and its length.
    fn search(&self, new: &[u8], at: usize, expected: usize, nearest: bool) -> (usize, usize) {
        let (all, new) = (new, &new[at..]);
        if new.len() < MIN_SEED {
            return (0, 0);
        }
        let pair = usize::from(u16::from_be_bytes([new[0], new[1]]));
        let bucket = &self.sorted[self.buckets[pair] as usize..self.buckets[pair + 1] as usize];
        let wanted = &new[..new.len().min(DEPTH)];
        let (mut low, mut high) = (0, bucket.len());
        let mut best_at = 0;
        // What is known to agree with everything between the bounds.
        let (mut low_common, mut high_common) = (2, 2);
        let mut best = (0, 0);
        while low < high {
            let middle = low + (high - low) / 2;
            let at = bucket[middle] as usize;
            let theirs = &self.old[at..self.old.len().min(at + DEPTH)];
            let known = low_common.min(high_common);
            let common = known + common(&theirs[known.min(theirs.len())..], &wanted[known.min(wanted.len())..]);
            if common > best.1 {
                best = (at, common);
                best_at = middle;
            }
            if common >= wanted.len() {
                break;
            }
            if theirs.get(common).is_none_or(|&their| their < wanted[common]) {
                low = middle + 1;
                low_common = common;
            } else {
                high = middle;
                high_common = common;
            }
        }
        if nearest && best.1 >= MIN_SEED {
            // Of those that agree as far, the best is the one whose surroundings agree, and that is cheap to name.
            let agrees = |&&there: &&u32| {
                let theirs = &self.old[there as usize..];
                theirs.len() >= best.1 && theirs[..best.1] == wanted[..best.1]
            };
            let worth = |there: usize| {
                let ahead =
                    self.old[there + best.1..].iter().zip(&new[best.1..]).take(AROUND).filter(|(a, b)| a == b).count();
                let behind = self.old[..there]
                    .iter()
                    .rev()
                    .zip(all[..at].iter().rev())
                    .take(AROUND)
                    .filter(|(a, b)| a == b)
                    .count();
                let distance = usize::BITS - there.abs_diff(expected).leading_zeros();
                (ahead + behind) as isize * 2 - distance as isize
            };
            let behind = bucket[best_at + 1..].iter().take(NEIGHBOURS).take_while(agrees);
            let before = bucket[..best_at].iter().rev().take(NEIGHBOURS).take_while(agrees);
            let chosen = before
                .chain(behind)
                .chain([&(best.0 as u32)])
                .map(|&there| there as usize)
                .max_by_key(|&there| worth(there));
            best.0 = chosen.unwrap_or(best.0);
        }
        if best.1 >= DEPTH {
            best.1 += common(&self.old[best.0 + best.1..], &new[best.1..]);
        }
        best
    }
}

fn sort_buckets(old: &[u8], share: &mut [u32], bounds: &[u32]) {
    let mut keyed: Vec<(u64, u32)> = Vec::new();
    let mut rest = share;
    for bound in bounds.windows(2) {
        let (bucket, behind) = std::mem::take(&mut rest).split_at_mut((bound[1] - bound[0]) as usize);
        rest = behind;
        if bucket.len() < 2 {
            continue;
        }
        keyed.clear();
        keyed.extend(bucket.iter().map(|&at| {
            let from = &old[at as usize + 2..];
            let key = from.first_chunk::<8>().copied().unwrap_or_else(|| {
                let mut short = [0; 8];
                short[..from.len()].copy_from_slice(from);
                short
            });
            (u64::from_be_bytes(key), at)
        }));
        keyed.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| deep(old, a.1 as usize, b.1 as usize)));
        for (at, &(_, sorted)) in bucket.iter_mut().zip(&keyed) {
            *at = sorted;
        }
    }
}

/// Compares two suffixes whose first ten bytes agree.
fn deep(old: &[u8], a: usize, b: usize) -> Ordering {
    let tail = |at: usize| &old[(at + 10).min(old.len())..(at + DEPTH).min(old.len())];
    tail(a).cmp(tail(b)).then(a.cmp(&b))
}

/// Returns how many bytes agree.
#[inline]
fn common(a: &[u8], b: &[u8]) -> usize {
    let length = a.len().min(b.len());
    let mut at = 0;
    while at + 8 <= length {
        let (Some(x), Some(y)) = (a[at..].first_chunk::<8>(), b[at..].first_chunk::<8>()) else {
            break;
        };
        let differing = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differing != 0 {
            return at + (differing.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + a[at..length].iter().zip(&b[at..length]).take_while(|(a, b)| a == b).count()
}

/// One thread's pass over its share of the new file.
struct Scan<'a> {
    /// Bytes by which another match must beat the present shift.
    advantage: usize,
    index: &'a Index<'a>,
    new: &'a [u8],
    places: &'a Places,
}

impl Scan<'_> {
    fn run(&self, start: usize, end: usize) -> Vec<Found> {
        let (old, new) = (self.index.old, &self.new[..end]);
        let mut found: Vec<Found> = Vec::new();
        // The match that is being followed: where it began, and old place less new place.
        let (mut last_new, mut last_old) = (start, start.min(old.len()));
        let mut shift = last_old as isize - last_new as isize;
        let agrees =
            |at: usize, shift: isize| at.checked_add_signed(shift).and_then(|at| old.get(at)) == Some(&new[at]);
        let mut at = start;
        let (mut length, mut position) = (0, 0);
        while at < end {
            at += length;
            // How many bytes of the next match the present shift would get right, too.
            let mut score = 0;
            let mut scored = at;
            length = 0;
            while at < end {
                let stay = at
                    .checked_add_signed(shift)
                    .filter(|&there| there < old.len())
                    .map_or(0, |there| common(&old[there..], &new[at..]));
                if stay >= LONG_STAY {
                    (position, length) = (at.wrapping_add_signed(shift), stay);
                    score = stay;
                    break;
                }
                (position, length) = self.index.search(new, at, 0, false);
                if stay >= length {
                    (position, length) = (at.wrapping_add_signed(shift), stay);
                }
                while scored < at + length {
                    score += usize::from(agrees(scored, shift));
                    scored += 1;
                }
                if length == score && length != 0 {
                    break;
                }
                if length > score + self.advantage {
                    (position, length) = self.index.search(new, at, at.wrapping_add_signed(shift), true);
                    break;
                }
                let next = self.places.next(at + 1).min(end);
                while at < next {
                    if at < scored {
                        score -= usize::from(agrees(at, shift));
                    }
                    at += 1;
                }
                scored = scored.max(at);
                length = 0;
            }
            if length == score && at < end {
                continue;
            }
            // A better match begins: grow the last one forwards and this one backwards, and cut where they meet.
            let mut forward = grow(at - last_new, |step| agrees(last_new + step, shift));
            let mut backward = 0;
            if at < end {
                let limit = (at - last_new).min(position);
                backward = grow(limit, |step| old[position - 1 - step] == new[at - 1 - step]);
            }
            if last_new + forward > at - backward {
                let overlap = last_new + forward - (at - backward);
                let (mut balance, mut best, mut cut) = (0_i32, 0_i32, 0);
                for step in 0..overlap {
                    let place = last_new + forward - overlap + step;
                    balance += i32::from(agrees(place, shift));
                    balance -= i32::from(old[position - backward + step] == new[at - backward + step]);
                    if balance > best {
                        (best, cut) = (balance, step + 1);
                    }
                }
                forward = forward + cut - overlap;
                backward -= cut;
            }
            if forward > 0 {
                found.push(Found { old: last_old, new: last_new, length: forward });
            }
            self.resume(last_new + forward, at - backward, shift, &mut found);
            last_new = at - backward;
            last_old = position.wrapping_sub(backward);
            shift = position as isize - at as isize;
        }
        found
    }
}

impl Scan<'_> {
    /// Finds what agrees again under the shift of a match behind which so much differs that growing gave up.
    fn resume(&self, mut done: usize, end: usize, shift: isize, found: &mut Vec<Found>) {
        let old = |at: usize| at.checked_add_signed(shift).and_then(|there| self.index.old.get(there..));
        let agrees = |at: usize| old(at).and_then(|rest| rest.first()) == Some(&self.new[at]);
        let mut at = done;
        while at < end {
            let same = old(at).map_or(0, |rest| common(rest, &self.new[at..end]));
            if same < LONG_STAY {
                at += same + 1;
                continue;
            }
            let start = at - grow(at - done, |step| agrees(at - 1 - step));
            let length = grow(end - start, |step| agrees(start + step));
            found.push(Found { old: start.wrapping_add_signed(shift), new: start, length });
            done = start + length;
            at = done.max(at + 1);
        }
    }
}

/// Returns how far a match goes so that agreeing bytes outweigh the others most.
fn grow(limit: usize, agrees: impl Fn(usize) -> bool) -> usize {
    let (mut balance, mut best, mut length) = (0_isize, 0_isize, 0);
    for step in 0..limit {
        balance += if agrees(step) { 1 } else { -1 };
        if balance > best {
            (best, length) = (balance, step + 1);
        }
        if balance < best - GIVE_UP {
            break;
        }
    }
    length
}

/// Bytes that must agree under the present shift for no other match to be looked for.
const LONG_STAY: usize = 32;
/// The shortest match that is looked up.
const MIN_SEED: usize = 8;
/// Bytes to which suffixes are sorted.
const DEPTH: usize = 256;
/// Bytes by which a match may fall behind its best before growing ends.
const GIVE_UP: isize = 256;
/// Equally long matches on either side that are looked at.
const NEIGHBOURS: usize = 128;
/// Bytes on either side of a match that are compared to tell equally long ones apart.
const AROUND: usize = 32;
/// Bytes of the new file that one thread goes through at a time: 8 MiB.
const SHARE: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::{Places, matches};
    use std::num::NonZeroUsize;

    /// What lies behind a stretch that nothing agrees with is found again under the same shift.
    #[test]
    fn a_match_goes_on_behind_what_was_replaced() {
        let noise = |seed: u64| {
            let mut state = seed;
            std::iter::repeat_with(move || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
        };
        let old: Vec<u8> = noise(1).take(60_000).collect();
        let mut new = old.clone();
        new.splice(20_000..30_000, noise(2).take(10_000));
        let mut places = Places::new(old.len());
        (0..old.len()).for_each(|at| places.set(at));
        let found = matches(&old, &new, &places, &places, 9, NonZeroUsize::MIN);
        let covered: usize = found.iter().filter(|found| found.old == found.new).map(|found| found.length).sum();
        assert!(covered >= 50_000, "{covered} bytes of 50,000: {found:?}");
        assert!(found.windows(2).all(|pair| pair[0].new + pair[0].length <= pair[1].new), "{found:?}");
    }
}
