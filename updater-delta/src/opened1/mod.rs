//! Codec `opened-1`: files that are compressed inside (zip, gzip, PNG) are compared by what they contain.
//!
//! One byte more in a document changes nearly every byte of its deflate stream. Here the streams of both files are *opened*: replaced by what
//! they contain and by how the encoder chose to write it ([`stream`]). The opened files are alike where the documents are, so an ordinary
//! delta between them is small; closing the new one gives the very same stream. No encoder of deflate is part of the client, and whatever wrote the
//! stream, it comes out bit by bit.
//!
//! The body: how many streams of the old file are opened (LEB128), for each the bytes since the end of the last one and its length (LEB128);
//! then a whole delta of another codec between the opened files.

mod bits;
mod closer;
#[cfg(feature = "encode")]
mod encode;
#[cfg(feature = "encode")]
mod find;
mod huffman;
mod leb128;
mod parse;
mod stream;
mod view;

#[cfg(feature = "encode")]
pub(crate) use encode::encode;

use crate::apply::{Output, apply_nested};
use crate::{ApplyError, ApplyLimits, Header, NewLength, Side};
use closer::Closer;
use std::io::{Read, Seek, Write};
use stream::Fault;
use view::{OpenError, Span, View};

/// Applies the codec's own bytes.
pub(crate) fn apply(
    old: &mut (impl Read + Seek),
    header: &Header,
    mut patch: impl Read,
    output: &mut Output<'_, impl Write>,
    limits: &ApplyLimits,
) -> Result<(), ApplyError> {
    let streams = read_spans(&mut patch, header.old_length)?;
    let memory = limits.memory.saturating_sub(memory_beside_view(streams.len()));
    let mut view = View::new(old, header.old_length, &streams, memory).map_err(|error| match error {
        OpenError::Read(source) => ApplyError::Read { side: Side::Old, source },
        OpenError::Stream(Fault::Unknown) => ApplyError::Corrupt { what: "a stream that is none", at: 0 },
        OpenError::Stream(Fault::TooLarge) => ApplyError::Memory { needed: limits.memory + 1, limit: limits.memory },
    })?;
    drop(streams);
    // Closed it is held against the header, and only blocks are kept; but what could not be closed to so few bytes is no work to begin.
    let inner = ApplyLimits {
        new_length: NewLength::AtMost(most_opened(header.new_length)),
        memory: memory.saturating_sub(view.taken()),
    };
    let mut closer = Closer::new(output);
    let result = apply_nested(&mut view, &mut patch, &mut closer, &inner);
    match (closer.finish(), result) {
        // What the closer could not use explains why nothing more was written.
        (Err(error), Err(ApplyError::Write { .. })) | (Err(error), Ok(_)) => Err(error),
        (_, result) => result.map(drop),
    }
}

/// Returns the memory of what closes streams again, and of where so many lie, in bytes.
const fn memory_beside_view(streams: usize) -> u64 {
    closer::MEMORY + (streams * size_of::<Span>()) as u64
}

/// Returns the delta inside.
#[cfg(feature = "encode")]
pub(crate) fn inner(mut patch: &[u8], old_length: u64) -> Result<&[u8], ApplyError> {
    read_spans(&mut patch, old_length)?;
    let codec = Header::read(&mut &*patch)?.codec;
    if codec == crate::Codec::Opened1 {
        return Err(ApplyError::UnknownCodec { id: codec.id().to_owned() });
    }
    Ok(patch)
}

fn read_spans(patch: &mut impl Read, length: u64) -> Result<Vec<Span>, ApplyError> {
    let corrupt = |what| ApplyError::Corrupt { what, at: 0 };
    let count = read_number(patch)?;
    if count > MAX_STREAMS {
        return Err(corrupt("more streams than a file may have"));
    }
    let mut spans = Vec::new();
    let mut end = 0;
    for _ in 0..count {
        let offset = end + read_number(patch)?;
        let span = Span { offset, length: read_number(patch)? };
        end = offset + span.length;
        if end > length {
            return Err(corrupt("a stream outside the old file"));
        }
        spans.push(span);
    }
    Ok(spans)
}

fn read_number(patch: &mut impl Read) -> Result<u64, ApplyError> {
    let mut bytes = [0; leb128::MOST];
    for at in 0..bytes.len() {
        patch.read_exact(&mut bytes[at..=at]).map_err(|source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => ApplyError::Truncated { at: 0 },
            _ => ApplyError::Read { side: Side::Patch, source },
        })?;
        if let Some((value, _)) = leb128::get(&bytes[..=at]) {
            return Ok(value);
        }
    }
    Err(ApplyError::Corrupt { what: "a number that does not end", at: 0 })
}

/// Returns the most bytes that a file of this length may have when it is opened.
fn most_opened(length: u64) -> u64 {
    length.saturating_mul(MOST_OPENING).saturating_add(64 << 10).min(length.saturating_add(MOST_MORE))
}

/// Bytes that an opened file has at most for each closed one: deflate says 258 bytes and which they are in two bits, which makes 262 bytes
/// of an opened stream, 1048 to the byte.
const MOST_OPENING: u64 = 1100;
/// Bytes that an opened file has at most beyond those of the closed one: 1 GiB. Nothing that is written to disk bounds the time that they take,
/// so this does: some ten seconds.
const MOST_MORE: u64 = 1 << 30;
/// Most streams that are opened in one file: what a zip archive without its 64-bit extension can hold.
const MAX_STREAMS: u64 = 1 << 16;
