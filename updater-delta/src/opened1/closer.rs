//! Puts an opened file together again while it is written.

use super::bits::BitWriter;
use super::leb128;
use super::stream::{self, Fault, MAX_BLOCK, Reading};
use crate::ApplyError;
use crate::apply::Output;
use std::io::{self, Write};

/// Takes an opened file and writes the file that it is of.
pub(super) struct Closer<'o, 'w, W> {
    output: &'o mut Output<'w, W>,
    state: State,
    /// Bytes that are not enough yet for what comes next.
    waiting: Vec<u8>,
    /// How many are.
    needed: usize,
    bits: BitWriter,
    error: Option<ApplyError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The length of what lies before a stream.
    Length,
    /// That many bytes as they are.
    Plain(u64),
    /// The first block of a stream, or the end.
    First,
    /// Another block.
    Block,
    /// The bits behind the last block.
    Tail,
}

impl<'o, 'w, W: Write> Closer<'o, 'w, W> {
    pub(super) fn new(output: &'o mut Output<'w, W>) -> Self {
        Self { output, state: State::Length, waiting: Vec::new(), needed: 1, bits: BitWriter::default(), error: None }
    }

    /// Returns what went wrong while it was written to, or whether it ended within something.
    pub(super) fn finish(self) -> Result<(), ApplyError> {
        match (self.error, self.state) {
            (Some(error), _) => Err(error),
            (None, State::First) if self.waiting.is_empty() => Ok(()),
            _ => Err(ApplyError::Truncated { at: self.output.written() }),
        }
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), ApplyError> {
        loop {
            if let State::Plain(left) = self.state {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                self.output.write(&bytes[..length])?;
                bytes = &bytes[length..];
                let left = left - length as u64;
                self.state = if left == 0 { State::First } else { State::Plain(left) };
                if left > 0 || bytes.is_empty() {
                    return Ok(());
                }
            }
            let more = self.needed.saturating_sub(self.waiting.len()).min(bytes.len());
            self.waiting.extend_from_slice(&bytes[..more]);
            bytes = &bytes[more..];
            if self.waiting.len() < self.needed {
                return Ok(());
            }
            let used = self.step()?;
            self.waiting.drain(..used);
            if bytes.is_empty() && self.waiting.len() < self.needed {
                return Ok(());
            }
        }
    }

    /// Handles what waits, and returns how many bytes of it are done.
    fn step(&mut self) -> Result<usize, ApplyError> {
        let at = self.output.written();
        let refuse = |what| ApplyError::Corrupt { what, at };
        let used = match self.state {
            State::Length => match leb128::get(&self.waiting) {
                Some((length, used)) => {
                    self.state = if length == 0 { State::First } else { State::Plain(length) };
                    used
                }
                None if self.waiting.len() >= leb128::MOST => return Err(refuse("a length that does not end")),
                None => {
                    self.needed = self.waiting.len() + 1;
                    return Ok(0);
                }
            },
            State::First | State::Block => match stream::put_together(&self.waiting, &mut self.bits) {
                Ok(Reading::Done { used, last }) => {
                    self.state = if last { State::Tail } else { State::Block };
                    used
                }
                Ok(Reading::Short { needed }) if needed <= MOST_WAITING => {
                    self.needed = needed;
                    return Ok(0);
                }
                Ok(Reading::Short { .. }) | Err(Fault::TooLarge) => return Err(refuse("a block that is too large")),
                Err(Fault::Unknown) => return Err(refuse("a block that cannot be")),
            },
            State::Tail => {
                self.bits.pad(self.waiting[0]);
                self.state = State::Length;
                1
            }
            State::Plain(_) => 0,
        };
        self.needed = 1;
        self.output.write(&self.bits.done)?;
        self.bits.done.clear();
        Ok(used)
    }
}

impl<W: Write> Write for Closer<'_, '_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.take(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                self.error.get_or_insert(error);
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Most bytes of one block, taken apart: its contents, and half as much for how they are written.
const MOST_WAITING: usize = MAX_BLOCK + MAX_BLOCK / 2;
/// Memory for closing, in bytes: a block that waits, its repetitions, and the block as it is written.
pub(super) const MEMORY: u64 = 3 * MAX_BLOCK as u64 + (4 << 20);
