//! Bits in the order of deflate: the lowest of each byte first.

use super::stream::Fault;

/// Reads bits from bytes.
pub(super) struct BitReader<'b> {
    bytes: &'b [u8],
    /// The next byte to be taken into `held`.
    at: usize,
    held: u64,
    count: u32,
}

impl<'b> BitReader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0, held: 0, count: 0 }
    }

    /// Returns the next bits, at most 32, without taking them; zeros behind the end.
    pub(super) fn peek(&mut self, bits: u32) -> u32 {
        while self.count <= 56 && self.at < self.bytes.len() {
            self.held |= u64::from(self.bytes[self.at]) << self.count;
            self.at += 1;
            self.count += 8;
        }
        (self.held & ((1 << bits) - 1)) as u32
    }

    /// Goes on after a peek.
    pub(super) fn skip(&mut self, bits: u32) -> Result<(), Fault> {
        self.count = self.count.checked_sub(bits).ok_or(Fault::Unknown)?;
        self.held >>= bits;
        Ok(())
    }

    /// Takes the next bits, at most 32.
    pub(super) fn take(&mut self, bits: u32) -> Result<u32, Fault> {
        let value = self.peek(bits);
        self.skip(bits)?;
        Ok(value)
    }

    /// Takes the bits up to the next byte.
    pub(super) fn align(&mut self) -> u8 {
        let bits = self.count % 8;
        let value = self.held & ((1 << bits) - 1);
        self.held >>= bits;
        self.count -= bits;
        value as u8
    }

    /// Takes whole bytes; the reader stands between two.
    pub(super) fn bytes(&mut self, length: usize) -> Result<&'b [u8], Fault> {
        let start = self.at - (self.count / 8) as usize;
        let bytes = self.bytes.get(start..start + length).ok_or(Fault::Unknown)?;
        (self.at, self.held, self.count) = (start + length, 0, 0);
        Ok(bytes)
    }

    /// Returns how many bits were taken.
    pub(super) fn taken(&self) -> usize {
        self.at * 8 - self.count as usize
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.count == 0 && self.at == self.bytes.len()
    }
}

/// Writes bits to bytes.
#[derive(Default)]
pub(super) struct BitWriter {
    /// The bytes that are complete.
    pub(super) done: Vec<u8>,
    held: u64,
    count: u32,
}

impl BitWriter {
    /// Writes the lowest bits of a value, at most 32.
    pub(super) fn put(&mut self, value: u32, bits: u32) {
        self.held |= (u64::from(value) & ((1 << bits) - 1)) << self.count;
        self.count += bits;
        while self.count >= 8 {
            self.done.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    /// Fills the byte that was begun with the lowest of these bits.
    pub(super) fn pad(&mut self, bits: u8) {
        if self.count > 0 {
            self.put(u32::from(bits), 8 - self.count);
        }
    }
}
