//! Prefix codes of deflate (RFC 1951, 3.2): their bits, and the lengths that the common encoder gives them.
//!
//! Most streams were written by zlib or a descendant that kept its way of choosing lengths. [`usual_header`] chooses them the same way, so
//! that the head of such a block costs nothing. What it answers is part of the codec: it must never change.

/// Symbols for literals, the end of a block and lengths.
pub(super) const LITERALS: usize = 286;
/// Symbols for distances.
pub(super) const DISTANCES: usize = 30;
/// The symbol that ends a block.
pub(super) const END: usize = 256;
/// The longest code in bits.
pub(super) const MAX_BITS: usize = 15;
/// RFC 1951, 3.2.7: the order in which lengths of the code for code lengths are sent.
pub(super) const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// RFC 1951, 3.2.5: first length and extra bits of the symbols from 257 on.
pub(super) const LENGTHS: [(u16, u8); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];

/// Returns first distance and extra bits of a distance symbol (RFC 1951, 3.2.5).
pub(super) const fn distance_base(symbol: usize) -> (u32, u32) {
    if symbol < 4 {
        return (symbol as u32 + 1, 0);
    }
    let extra = symbol as u32 / 2 - 1;
    (((2 + (symbol as u32 & 1)) << extra) + 1, extra)
}

/// Returns the symbol of a distance from 1 to 32,768.
pub(super) const fn distance_symbol(distance: u32) -> usize {
    let below = distance - 1;
    if below < 4 {
        return below as usize;
    }
    let bits = 31 - below.leading_zeros();
    (2 * bits + (below >> (bits - 1) & 1)) as usize
}

/// Returns the place in [`LENGTHS`] of a length from 3 to 258.
pub(super) fn length_symbol(length: u16) -> usize {
    LENGTHS.partition_point(|(first, _)| *first <= length) - 1
}

/// Returns the code lengths of a block with fixed codes (RFC 1951, 3.2.6).
pub(super) fn fixed() -> (Vec<u8>, Vec<u8>) {
    let literals = (0..288).map(|symbol| match symbol {
        144..=255 => 9,
        256..=279 => 7,
        _ => 8,
    });
    (literals.collect(), vec![5; DISTANCES])
}

/// Returns the codes for these lengths, each with its bits in the order in which they are sent (RFC 1951, 3.2.2); `None` if there are more
/// than fit.
pub(super) fn codes(lengths: &[u8]) -> Option<Vec<u16>> {
    let mut count = [0_u32; MAX_BITS + 1];
    for &length in lengths.iter().filter(|&&length| length > 0) {
        *count.get_mut(usize::from(length))? += 1;
    }
    let mut next = [0_u32; MAX_BITS + 1];
    for bits in 1..=MAX_BITS {
        next[bits] = (next[bits - 1] + count[bits - 1]) << 1;
        if next[bits] + count[bits] > 1 << bits {
            return None;
        }
    }
    let give = |&length: &u8| {
        if length == 0 {
            return 0;
        }
        let code = next[usize::from(length)];
        next[usize::from(length)] += 1;
        (code as u16).reverse_bits() >> (16 - u16::from(length))
    };
    Some(lengths.iter().map(give).collect())
}

/// The head of a block with its own codes: what is sent before the first symbol, and the lengths that it gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// Fields in order: value and bits, from HLIT on (RFC 1951, 3.2.7).
    pub(super) fields: Vec<(u16, u8)>,
    pub(super) literals: Vec<u8>,
    pub(super) distances: Vec<u8>,
}

/// Returns the head that the common encoder writes for symbols with these frequencies.
pub(super) fn usual_head(literals: &[u32; LITERALS], distances: &[u32; DISTANCES]) -> Head {
    let (mut literals, mut distances) = (lengths(literals, MAX_BITS), lengths(distances, MAX_BITS));
    let used = |lengths: &[u8]| lengths.iter().rposition(|&length| length > 0).map_or(0, |last| last + 1);
    literals.truncate(used(&literals));
    distances.truncate(used(&distances));
    let mut runs = Vec::new();
    shorten(&literals, &mut runs);
    shorten(&distances, &mut runs);
    let mut frequencies = [0; ORDER.len()];
    runs.iter().for_each(|&(symbol, ..)| frequencies[usize::from(symbol)] += 1);
    let code_lengths = lengths(&frequencies, 7);
    let sent = ORDER.iter().rposition(|&symbol| code_lengths[symbol] > 0).map_or(0, |last| last + 1).max(4);
    let mut fields =
        vec![((literals.len() - 257) as u16, 5), ((distances.len() - 1) as u16, 5), ((sent - 4) as u16, 4)];
    fields.extend(ORDER[..sent].iter().map(|&symbol| (u16::from(code_lengths[symbol]), 3)));
    // These lengths were made from frequencies, so they fit.
    let codes = codes(&code_lengths).unwrap_or_else(|| vec![0; ORDER.len()]);
    for (symbol, extra, bits) in runs {
        fields.push((codes[usize::from(symbol)], code_lengths[usize::from(symbol)]));
        if bits > 0 {
            fields.push((u16::from(extra), bits));
        }
    }
    Head { fields, literals, distances }
}

/// Writes code lengths with the symbols for repetitions: (symbol, extra value, extra bits).
fn shorten(lengths: &[u8], runs: &mut Vec<(u8, u8, u8)>) {
    let mut before = None;
    let mut rest = lengths;
    while let Some(&length) = rest.first() {
        let most = match (length, before == Some(length)) {
            (0, _) => 138,
            (_, true) => 6,
            (_, false) => 7,
        };
        let count = rest.iter().take(most).take_while(|&&other| other == length).count();
        rest = &rest[count..];
        // The first of a run of another length is sent as it is.
        let (single, repeated) = if length == 0 || before == Some(length) { (0, count) } else { (1, count - 1) };
        before = Some(length);
        match (length, repeated) {
            (_, 0..=2) => runs.extend(std::iter::repeat_n((length, 0, 0), count)),
            (0, 3..=10) => runs.push((17, (repeated - 3) as u8, 3)),
            (0, _) => runs.push((18, (repeated - 11) as u8, 7)),
            _ => {
                runs.extend(std::iter::repeat_n((length, 0, 0), single));
                runs.push((16, (repeated - 3) as u8, 2));
            }
        }
    }
}

/// Returns the length of each symbol's code, at most `most` bits, by Huffman's algorithm with a heap. Which of two equals comes first decides
/// the result, so the heap is part of the format.
fn lengths(frequencies: &[u32], most: usize) -> Vec<u8> {
    let symbols = frequencies.len();
    // Nodes: the symbols, then the inner ones in the order in which they are made: frequency, depth, parent.
    let mut nodes: Vec<(u32, u8, usize)> = frequencies.iter().map(|&frequency| (frequency, 0, 0)).collect();
    let mut heap: Vec<usize> = (0..symbols).filter(|&symbol| frequencies[symbol] > 0).collect();
    let mut last = heap.last().copied();
    // A code of one symbol would have no bits: two symbols at least.
    while heap.len() < 2 {
        let forced = match last {
            Some(last) if last >= 2 => 0,
            _ => last.map_or(0, |last| last + 1),
        };
        if last.is_none_or(|last| last < 2) {
            last = Some(forced);
        }
        nodes[forced].0 = 1;
        heap.push(forced);
    }
    let largest = last.unwrap_or(0);
    for at in (0..heap.len() / 2).rev() {
        sink(&mut heap, &nodes, at);
    }
    let mut removed = Vec::with_capacity(2 * heap.len());
    while heap.len() >= 2 {
        let first = heap[0];
        heap[0] = heap[heap.len() - 1];
        heap.pop();
        sink(&mut heap, &nodes, 0);
        let second = heap[0];
        removed.extend([first, second]);
        let parent = nodes.len();
        let depth = nodes[first].1.max(nodes[second].1) + 1;
        nodes.push((nodes[first].0.saturating_add(nodes[second].0), depth, 0));
        nodes[first].2 = parent;
        nodes[second].2 = parent;
        heap[0] = parent;
        sink(&mut heap, &nodes, 0);
    }
    let mut bits = vec![0_u8; nodes.len()];
    let mut count = [0_usize; MAX_BITS + 2];
    let mut overflow = 0_usize;
    for &node in removed.iter().rev() {
        let mut length = usize::from(bits[nodes[node].2]) + 1;
        if length > most {
            length = most;
            overflow += 1;
        }
        bits[node] = length as u8;
        if node < symbols && node <= largest {
            count[length] += 1;
        }
    }
    if overflow > 0 {
        while overflow > 0 {
            let from = (1..most).rev().find(|&length| count[length] > 0).unwrap_or(1);
            count[from] = count[from].saturating_sub(1);
            count[from + 1] += 2;
            count[most] = count[most].saturating_sub(1);
            overflow = overflow.saturating_sub(2);
        }
        // The lengths are dealt out again, the longest to the symbols that were taken from the heap first.
        let mut leaves = removed.iter().filter(|&&node| node < symbols);
        for length in (1..=most).rev() {
            for &leaf in leaves.by_ref().take(count[length]) {
                bits[leaf] = length as u8;
            }
        }
    }
    bits.truncate(symbols);
    bits
}

/// Lets the node at a place of the heap sink until neither child comes before it.
fn sink(heap: &mut [usize], nodes: &[(u32, u8, usize)], mut at: usize) {
    let before = |a: usize, b: usize| (nodes[a].0, nodes[a].1) <= (nodes[b].0, nodes[b].1);
    let Some(&node) = heap.get(at) else { return };
    loop {
        let mut child = 2 * at + 1;
        if child >= heap.len() {
            break;
        }
        if child + 1 < heap.len() && before(heap[child + 1], heap[child]) {
            child += 1;
        }
        if before(node, heap[child]) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = node;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_lengths_and_distances_are_those_of_the_specification() {
        for length in 3..=258 {
            let (first, extra) = LENGTHS[length_symbol(length)];
            assert!(first <= length && length - first < 1 << extra || length == 258, "{length}");
        }
        assert_eq!((length_symbol(257), length_symbol(258)), (27, 28));
        for distance in 1..=32_768 {
            let (first, extra) = distance_base(distance_symbol(distance));
            assert!(first <= distance && distance - first < 1 << extra, "{distance}");
        }
        assert_eq!((distance_symbol(32_768), distance_base(29)), (29, (24_577, 13)));
    }

    #[test]
    fn codes_are_those_of_the_specification() {
        // The example of RFC 1951, 3.2.2: lengths 3, 3, 3, 3, 3, 2, 4, 4 give 010, 011, 100, 101, 110, 00, 1110, 1111.
        let reversed = [0b010, 0b110, 0b001, 0b101, 0b011, 0b00, 0b0111, 0b1111];
        assert_eq!(codes(&[3, 3, 3, 3, 3, 2, 4, 4]).unwrap(), reversed);
        assert_eq!(codes(&[1, 1, 1]), None);
        assert_eq!(codes(&[0, 16]), None);
    }

    #[test]
    fn lengths_stay_within_the_longest_code_and_fit() {
        // Fibonacci numbers give the deepest tree.
        let mut frequencies = [0; LITERALS];
        let (mut a, mut b) = (1_u32, 1_u32);
        for frequency in &mut frequencies[..40] {
            *frequency = a;
            (a, b) = (b, a + b);
        }
        for most in [7, MAX_BITS] {
            let lengths = lengths(&frequencies, most);
            assert!(lengths.iter().all(|&length| usize::from(length) <= most));
            let sum: u32 =
                lengths.iter().filter(|&&length| length > 0).map(|&length| 1 << (most - usize::from(length))).sum();
            assert_eq!(sum, 1 << most, "a complete code");
        }
        assert_eq!(lengths(&[0; DISTANCES], MAX_BITS)[..3], [1, 1, 0], "two symbols at least");
        assert_eq!(lengths(&[0, 0, 0, 9], MAX_BITS), [1, 0, 0, 1]);
    }
}
