//! Takes a deflate stream apart into what it says and how it says it, and puts it together again.
//!
//! Deflate (RFC 1951) writes contents as literals and repetitions. The same contents can be written in many ways; which one an encoder chose is
//! kept beside them, so that no encoder is needed to write the very same stream again. Written out:
//!
//! ```text
//! stream = block .. block, the bits behind the last one (1 byte)
//! block  = kind << 1 | is the last one (1 byte), then by kind
//!   0, stored:             the bits up to the next byte (1 byte), length (2 bytes), the contents
//!   1, fixed codes:        parse
//!   2, the usual head:     parse
//!   3, another head:       its bits (2 bytes: how many; then they, the lowest first), parse
//! parse  = how many repetitions, for each: literals before it, length - 3 (1 byte), distance - 1 (2 bytes);
//!          literals behind the last one; the contents
//! ```
//!
//! Numbers without a length are LEB128; the others are little endian.

use super::bits::{BitReader, BitWriter};
use super::parse::{Parse, Rest, read_block, read_head};

/// Why bytes are not a stream that can be written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is no deflate stream, or one of a kind that is left alone.
    Unknown,
    /// It would take more memory than it may.
    TooLarge,
}

/// Takes the stream apart that is all of `bytes`: `block` gets what becomes of each of its blocks. That and the buffers beside it take at
/// most `memory` bytes.
pub(super) fn take_apart(bytes: &[u8], memory: u64, mut block: impl FnMut(&[u8])) -> Result<(), Fault> {
    let mut input = BitReader::new(bytes);
    // The contents of this block, behind up to 32 KiB of what came before, and what becomes of it.
    let (mut contents, mut out) = (Vec::new(), Vec::new());
    let mut left = memory;
    loop {
        let last = input.take(1)?;
        let start = contents.len().min(WINDOW);
        contents.drain(..contents.len() - start);
        match input.take(2)? {
            0 => {
                out.push(last as u8);
                out.push(input.align());
                let length = input.take(16)?;
                if input.take(16)? != !length & 0xffff {
                    return Err(Fault::Unknown);
                }
                contents.extend_from_slice(input.bytes(length as usize)?);
                out.extend((length as u16).to_le_bytes());
            }
            kind @ (1 | 2) => {
                let head = if kind == 1 { None } else { Some(read_head(&mut input)?) };
                // Buffers double, and while they do both are there.
                let room = left.saturating_sub((contents.capacity() + out.capacity()) as u64) / BLOCK_FACTOR;
                let parse = read_block(&mut input, head.as_ref(), &mut contents, room as usize)?;
                let usual = head.as_ref().is_some_and(|head| *head == parse.usual_head(&contents[start..]));
                let kind = if head.is_some() && !usual { 3 } else { kind as u8 };
                out.push(kind << 1 | last as u8);
                if let (3, Some(head)) = (kind, &head) {
                    let mut bits = BitWriter::default();
                    head.fields.iter().for_each(|&(value, length)| bits.put(u32::from(value), u32::from(length)));
                    let count: u32 = head.fields.iter().map(|&(_, length)| u32::from(length)).sum();
                    out.extend((count as u16).to_le_bytes());
                    bits.pad(0);
                    out.append(&mut bits.done);
                }
                parse.write(&mut out);
            }
            _ => return Err(Fault::Unknown),
        }
        out.extend_from_slice(&contents[start..]);
        if last == 1 {
            out.push(input.align());
        }
        left = left.checked_sub(out.len() as u64 + 2 * KEEPING).ok_or(Fault::TooLarge)?;
        block(&out);
        out.clear();
        if last == 1 {
            return if input.is_at_end() { Ok(()) } else { Err(Fault::Unknown) };
        }
    }
}

/// What became of the attempt to read a block.
pub(super) enum Reading {
    /// It is complete; it took this many bytes and was the last one or not.
    Done { used: usize, last: bool },
    /// This many bytes are needed at least.
    Short { needed: usize },
}

/// Writes the block of a stream that `bytes` begin with.
pub(super) fn put_together(bytes: &[u8], output: &mut BitWriter) -> Result<Reading, Fault> {
    let mut rest = Rest { bytes, at: 0 };
    let short = |rest: &Rest<'_>, more: usize| Ok(Reading::Short { needed: rest.at + more });
    let Some([flags]) = rest.take() else { return short(&rest, 1) };
    let (last, kind) = (flags & 1, flags >> 1);
    let mut head = None;
    match kind {
        0 => {
            let Some([bits, low, high]) = rest.take() else { return short(&rest, 3) };
            let length = u16::from_le_bytes([low, high]);
            let Some(contents) = rest.slice(usize::from(length)) else { return short(&rest, length.into()) };
            output.put(u32::from(last), 3);
            output.pad(bits);
            output.put(u32::from(length), 16);
            output.put(u32::from(!length), 16);
            output.done.extend_from_slice(contents);
            return Ok(Reading::Done { used: rest.at, last: last == 1 });
        }
        1 | 2 => {}
        3 => {
            let Some(count) = rest.take().map(u16::from_le_bytes) else { return short(&rest, 2) };
            let length = usize::from(count).div_ceil(8);
            let Some(bits) = rest.slice(length) else { return short(&rest, length) };
            let mut reader = BitReader::new(bits);
            let read = read_head(&mut reader)?;
            if reader.taken() != usize::from(count) {
                return Err(Fault::Unknown);
            }
            head = Some(read);
        }
        _ => return Err(Fault::Unknown),
    }
    let parse = match Parse::read(&mut rest)? {
        Ok(parse) => parse,
        Err(needed) => return Ok(Reading::Short { needed }),
    };
    let Some(contents) = rest.slice(parse.length) else { return short(&rest, parse.length) };
    if kind == 2 {
        head = Some(parse.usual_head(contents));
    }
    output.put(u32::from(last) | u32::from(kind.min(2)) << 1, 3);
    parse.encode(contents, head.as_ref(), output)?;
    Ok(Reading::Done { used: rest.at, last: last == 1 })
}

/// Bytes that a repetition can reach back.
pub(super) const WINDOW: usize = 32 << 10;
/// Most bytes of contents in a block: 4 MiB. zlib's blocks of 16,383 symbols stay below it whatever they say; streams with larger ones are left alone.
pub(super) const MAX_BLOCK: usize = 4 << 20;
/// Most repetitions in a block; zlib's have up to 16,383 unless it is built or told otherwise.
pub(super) const MAX_REPETITIONS: u64 = 1 << 17;
/// Bytes of memory per byte of a block while it is taken apart: its contents and what becomes of it, each with a buffer that doubles.
const BLOCK_FACTOR: u64 = 8;
/// Bytes of memory that keeping a block takes beside its own, and as much again for where it lies; lists double.
pub(super) const KEEPING: u64 = 64;
