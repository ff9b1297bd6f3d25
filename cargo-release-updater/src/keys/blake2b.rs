//! BLAKE2b-512 without a key (RFC 7693): what a prehashed minisign signature covers. The library for minisign files hashes
//! with it and does not give it out; a signer outside this process has to be handed the digest.

/// A digest that is being computed.
pub(super) struct Blake2b512 {
    state: [u64; 8],
    block: [u8; BLOCK],
    /// Bytes in `block`. The last block is compressed at the end alone, so a full one waits for more.
    filled: usize,
    /// Bytes compressed so far.
    counted: u128,
}

impl Blake2b512 {
    pub(super) fn new() -> Self {
        let mut state = INITIAL;
        // The parameter block: 64 bytes of digest, no key, fanout 1, depth 1.
        state[0] ^= 0x0101_0000 ^ 64;
        Self { state, block: [0; BLOCK], filled: 0, counted: 0 }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.filled == BLOCK {
                self.counted += BLOCK as u128;
                self.compress(0);
                self.filled = 0;
            }
            let taken = bytes.len().min(BLOCK - self.filled);
            let (now, rest) = bytes.split_at(taken);
            self.block[self.filled..self.filled + taken].copy_from_slice(now);
            self.filled += taken;
            bytes = rest;
        }
    }

    pub(super) fn finish(mut self) -> [u8; 64] {
        self.counted += self.filled as u128;
        self.block[self.filled..].fill(0);
        self.compress(u64::MAX);
        let mut digest = [0; 64];
        for (bytes, word) in digest.chunks_exact_mut(8).zip(self.state) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        digest
    }

    /// RFC 7693, 3.2. `last` is all ones for the last block.
    fn compress(&mut self, last: u64) {
        let mut words = [0u64; 16];
        for (word, bytes) in words.iter_mut().zip(self.block.chunks_exact(8)) {
            *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        let mut v = [0u64; 16];
        v[..8].copy_from_slice(&self.state);
        v[8..].copy_from_slice(&INITIAL);
        // The two halves of the counter.
        v[12] ^= (self.counted & u128::from(u64::MAX)) as u64;
        v[13] ^= (self.counted >> 64) as u64;
        v[14] ^= last;
        for round in 0..ROUNDS {
            let order = &SIGMA[round % SIGMA.len()];
            for (i, [a, b, c, d]) in MIXED.into_iter().enumerate() {
                for (word, first, second) in [(order[2 * i], 32, 24), (order[2 * i + 1], 16, 63)] {
                    v[a] = v[a].wrapping_add(v[b]).wrapping_add(words[word]);
                    v[d] = (v[d] ^ v[a]).rotate_right(first);
                    v[c] = v[c].wrapping_add(v[d]);
                    v[b] = (v[b] ^ v[c]).rotate_right(second);
                }
            }
        }
        for (i, word) in self.state.iter_mut().enumerate() {
            *word ^= v[i] ^ v[i + 8];
        }
    }
}

/// Bytes of a block.
const BLOCK: usize = 128;
/// Rounds of a compression.
const ROUNDS: usize = 12;
/// The first words: those of SHA-512 (RFC 7693, 2.6).
const INITIAL: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];
/// The words that are mixed with each other: columns, then diagonals.
const MIXED: [[usize; 4]; 8] = [
    [0, 4, 8, 12],
    [1, 5, 9, 13],
    [2, 6, 10, 14],
    [3, 7, 11, 15],
    [0, 5, 10, 15],
    [1, 6, 11, 12],
    [2, 7, 8, 13],
    [3, 4, 9, 14],
];
/// In which order a round takes the words of the block (RFC 7693, 2.7).
const SIGMA: [[usize; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

#[cfg(test)]
mod tests {
    use super::*;
    use updater_format::digest::encode_hex;

    #[test]
    fn the_example_of_the_rfc() {
        let mut hasher = Blake2b512::new();
        hasher.update(b"a");
        hasher.update(b"bc");
        assert_eq!(
            encode_hex(&hasher.finish()),
            "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1\
             7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"
        );
    }
}
