//! A body without the old file: the new one, packed. What two files have in common can be less than what one has in itself.

use crate::apply::Output;
use crate::limits::CHUNK;
use crate::{ApplyError, ApplyLimits, Side};
use std::io::{self, BufReader, Read, Write};
use xz2::bufread::XzDecoder;
use xz2::stream::{Error as XzError, Stream};

/// Writes the new file; everything before the xz stream was read.
pub(super) fn apply(
    patch: &mut dyn Read,
    output: &mut Output<'_, impl Write>,
    limits: &ApplyLimits,
) -> Result<(), ApplyError> {
    let limit = limits.memory;
    let memory = limit.saturating_sub(BUFFERS);
    let refuse =
        |source: io::Error, at: u64| match (source.get_ref().and_then(|inner| inner.downcast_ref()), source.kind()) {
            (Some(XzError::MemLimit), _) => ApplyError::Memory { needed: limit.saturating_add(1), limit },
            (Some(_), _) => ApplyError::Corrupt { what: "its xz stream", at },
            (None, io::ErrorKind::UnexpectedEof) => ApplyError::Truncated { at },
            (None, _) => ApplyError::Read { side: Side::Patch, source },
        };
    let stream = Stream::new_stream_decoder(memory, 0).map_err(|error| refuse(error.into(), 0))?;
    let mut decoder = XzDecoder::new_stream(BufReader::with_capacity(CHUNK, patch), stream);
    let mut buffer = vec![0; CHUNK];
    while output.missing() > 0 {
        let wanted = output.missing().min(CHUNK as u64) as usize;
        match decoder.read(&mut buffer[..wanted]) {
            Ok(0) => return Err(ApplyError::Truncated { at: output.written() }),
            Ok(length) => output.write(&buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(refuse(error, output.written())),
        }
    }
    // Reading the end makes xz check its own index, too.
    if decoder.read(&mut [0]).map_err(|error| refuse(error, output.written()))? > 0 {
        return Err(ApplyError::TrailingData);
    }
    match decoder.into_inner().read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(ApplyError::TrailingData),
        Err(source) => Err(ApplyError::Read { side: Side::Patch, source }),
    }
}

/// Packs the new file if that can be worth more than a body of `best` bytes. `memory` is what making it may take, `apply_memory` what
/// applying it may, in bytes.
#[cfg(feature = "encode")]
pub(crate) fn encode(new: &[u8], best: usize, memory: u64, apply_memory: u64) -> Option<Vec<u8>> {
    if new.len() > MAX_LENGTH || best <= new.len() / WORTH {
        return None;
    }
    let most = (apply_memory / 2).min(u64::from(MAX_DICTIONARY)) as u32;
    let dictionary = u32::try_from(new.len()).unwrap_or(u32::MAX).clamp(MIN_DICTIONARY, most.max(MIN_DICTIONARY));
    // What is worth keeping is shorter than the best so far.
    if u64::from(dictionary) * ENCODER_FACTOR + best as u64 > memory {
        return None;
    }
    // The fastest preset tells what the best one can reach: two thirds, rarely less.
    let estimate = pack(new, 0, dictionary.min(1 << 20)).ok()?.len();
    if estimate / 5 * 3 > best {
        return None;
    }
    let body = [&[super::parts::FULL], &pack(new, 9, dictionary).ok()?[..]].concat();
    (body.len() < best).then_some(body)
}

#[cfg(feature = "encode")]
fn pack(new: &[u8], preset: u32, dictionary: u32) -> io::Result<Vec<u8>> {
    use xz2::stream::{Check, Filters, LzmaOptions};
    let mut options = LzmaOptions::new_preset(preset)?;
    // A dictionary beyond the input only costs the reader memory.
    options.dict_size(dictionary);
    // The header carries the digest of the result: xz needs no check of its own.
    let stream = Stream::new_stream_encoder(Filters::new().lzma2(&options), Check::None)?;
    let mut encoder = xz2::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(new)?;
    encoder.finish()
}

/// Memory beside xz, in bytes.
const BUFFERS: u64 = 3 * CHUNK as u64;
/// The longest file that is tried, in bytes: 256 MiB, which take minutes.
#[cfg(feature = "encode")]
const MAX_LENGTH: usize = 256 << 20;
/// A body of less than this part of the new file is not worth the attempt.
#[cfg(feature = "encode")]
const WORTH: usize = 8;
/// xz's smallest dictionary, in bytes.
#[cfg(feature = "encode")]
const MIN_DICTIONARY: u32 = 4096;
/// The largest dictionary that is written, in bytes: 64 MiB, that of `xz -9`.
#[cfg(feature = "encode")]
const MAX_DICTIONARY: u32 = 64 << 20;
/// What xz's encoder takes per byte of dictionary.
#[cfg(feature = "encode")]
const ENCODER_FACTOR: u64 = 12;
