//! Codec `bsdiff-1`: the bsdiff crate's single stream inside xz.
//!
//! The stream repeats: three signed 64-bit numbers (sign and magnitude, little endian) *add*, *copy*, *seek*, then *add* bytes that are
//! added to the old file's, then *copy* bytes as they are; then the old position moves on by *add* + *seek*. Control, differences and
//! insertions lie in one stream, so that it can be applied front to back with two buffers.

use crate::apply::Output;
use crate::limits::CHUNK;
use crate::{ApplyError, ApplyLimits, Side};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use xz2::bufread::XzDecoder;
use xz2::stream::{Error as XzError, Stream};

/// Applies the codec's own bytes; the header was read and the old file checked.
pub(crate) fn apply(
    old: &mut (impl Read + Seek),
    old_length: u64,
    patch: impl Read,
    new: &mut Output<'_, impl Write>,
    limits: &ApplyLimits,
) -> Result<(), ApplyError> {
    let mut plain = Plain::new(patch, new.missing(), limits)?;
    let (mut ours, mut theirs) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut position: i64 = 0;
    // The start is an operation too, for old files from which nothing is taken.
    for _ in 0..max_operations(new.missing()) {
        if new.missing() == 0 {
            break;
        }
        let [add, copy, seek] = plain.control(new.written())?;
        let size = |number: i64| u64::try_from(number).ok().filter(|&number| number <= new.missing());
        let (Some(add), Some(copy)) = (size(add), size(copy)) else {
            return Err(ApplyError::Corrupt { what: "an impossible length", at: new.written() });
        };
        let start =
            u64::try_from(position).ok().filter(|start| start.checked_add(add).is_some_and(|end| end <= old_length));
        let start = match start {
            Some(start) => start,
            // Between operations the position may lie anywhere; only reading there is wrong.
            None if add == 0 => 0,
            None => {
                return Err(ApplyError::OldRange { offset: position, length: add, old_length });
            }
        };
        old.seek(SeekFrom::Start(start)).map_err(read_old)?;
        for length in chunks(add) {
            old.read_exact(&mut ours[..length]).map_err(read_old)?;
            plain.fill(&mut theirs[..length], new.written())?;
            for (our, their) in ours.iter_mut().zip(&theirs[..length]) {
                *our = our.wrapping_add(*their);
            }
            new.write(&ours[..length])?;
        }
        for length in chunks(copy) {
            plain.fill(&mut theirs[..length], new.written())?;
            new.write(&theirs[..length])?;
        }
        position = position
            .checked_add_unsigned(add)
            .and_then(|position| position.checked_add(seek))
            .ok_or(ApplyError::Corrupt { what: "an impossible position", at: new.written() })?;
    }
    plain.end(new)
}

/// Makes the codec's own bytes.
#[cfg(feature = "encode")]
pub(crate) fn encode(old: &[u8], new: &[u8]) -> io::Result<Vec<u8>> {
    use xz2::stream::{Check, Filters, LzmaOptions, PRESET_EXTREME};
    let mut plain = Vec::new();
    bsdiff::diff(old, new, &mut plain)?;
    let mut options = LzmaOptions::new_preset(9 | PRESET_EXTREME)?;
    // A dictionary beyond the input only costs the reader memory.
    let dictionary = u32::try_from(plain.len()).unwrap_or(u32::MAX).clamp(MIN_DICTIONARY, MAX_DICTIONARY);
    options.dict_size(dictionary);
    // The header carries the digest of the result: xz needs no check of its own.
    let stream = Stream::new_stream_encoder(Filters::new().lzma2(&options), Check::None)?;
    let mut encoder = xz2::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(&plain)?;
    encoder.finish()
}

/// Returns the memory that [`encode`] takes, in bytes: two tables of eight bytes per old byte, the stream, and xz's own.
#[cfg(feature = "encode")]
pub(crate) fn encode_memory(old: &[u8], new: &[u8]) -> u64 {
    let (old, new) = (old.len() as u64, new.len() as u64);
    (16 * (old + 1)).max(12 * new.min(u64::from(MAX_DICTIONARY))) + 2 * new
}

/// The plain stream inside xz, bounded in length and memory.
struct Plain<R: Read> {
    decoder: io::Take<XzDecoder<BufReader<R>>>,
    memory: u64,
    limit: u64,
}

impl<R: Read> Plain<R> {
    fn new(patch: R, new_length: u64, limits: &ApplyLimits) -> Result<Self, ApplyError> {
        let limit = limits.memory;
        let memory = limit.saturating_sub(BUFFERS).min(XZ_MEMORY);
        let stream =
            Stream::new_stream_decoder(memory, 0).map_err(|error| Self::error(error.into(), memory, limit, 0))?;
        let decoder = XzDecoder::new_stream(BufReader::with_capacity(CHUNK, patch), stream);
        let most = max_operations(new_length).saturating_mul(24).saturating_add(new_length);
        Ok(Self { decoder: decoder.take(most), memory, limit })
    }

    fn fill(&mut self, buffer: &mut [u8], at: u64) -> Result<(), ApplyError> {
        self.decoder.read_exact(buffer).map_err(|error| Self::error(error, self.memory, self.limit, at))
    }

    fn control(&mut self, at: u64) -> Result<[i64; 3], ApplyError> {
        let mut bytes = [[0; 8]; 3];
        self.fill(bytes.as_flattened_mut(), at)?;
        Ok(bytes.map(|bytes| {
            let number = u64::from_le_bytes(bytes);
            let magnitude = (number & !SIGN) as i64;
            if number & SIGN == 0 { magnitude } else { -magnitude }
        }))
    }

    /// Holds that the stream and the delta end here.
    fn end(mut self, new: &Output<'_, impl Write>) -> Result<(), ApplyError> {
        let at = new.written();
        if new.missing() > 0 {
            return Err(ApplyError::Corrupt { what: "too many operations", at });
        }
        self.decoder.set_limit(1);
        let error = |error| Self::error(error, self.memory, self.limit, at);
        // Reading the end makes xz check its own index, too.
        if self.decoder.read(&mut [0]).map_err(error)? > 0 {
            return Err(ApplyError::TrailingData);
        }
        let mut rest = self.decoder.into_inner().into_inner();
        match rest.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(ApplyError::TrailingData),
            Err(source) => Err(ApplyError::Read { side: Side::Patch, source }),
        }
    }

    fn error(source: io::Error, memory: u64, limit: u64, at: u64) -> ApplyError {
        let xz = source.get_ref().and_then(|inner| inner.downcast_ref::<XzError>());
        match (xz, source.kind()) {
            (Some(XzError::MemLimit), _) => ApplyError::Memory { needed: memory.saturating_add(BUFFERS + 1), limit },
            (Some(_), _) => ApplyError::Corrupt { what: "its xz stream", at },
            (None, io::ErrorKind::UnexpectedEof) => ApplyError::Truncated { at },
            (None, _) => ApplyError::Read { side: Side::Patch, source },
        }
    }
}

fn read_old(source: io::Error) -> ApplyError {
    ApplyError::Read { side: Side::Old, source }
}

/// Splits a length into pieces of at most [`CHUNK`] bytes.
fn chunks(length: u64) -> impl Iterator<Item = usize> {
    let chunk = CHUNK as u64;
    (0..length.div_ceil(chunk)).map(move |index| (length - index * chunk).min(chunk) as usize)
}

/// Returns how many operations a stream may have: each but the first follows a match of more than eight bytes.
const fn max_operations(new_length: u64) -> u64 {
    new_length / 8 + 2
}

/// The sign of a number in the control data.
const SIGN: u64 = 1 << 63;
/// Most memory for decoding xz, in bytes: 128 MiB, twice what its largest usual dictionary needs.
const XZ_MEMORY: u64 = 128 << 20;
/// Memory beside xz, in bytes.
const BUFFERS: u64 = 3 * CHUNK as u64;
/// xz's smallest dictionary, in bytes.
#[cfg(feature = "encode")]
const MIN_DICTIONARY: u32 = 4096;
/// The largest dictionary we write, in bytes: that of `xz -9`.
#[cfg(feature = "encode")]
const MAX_DICTIONARY: u32 = 64 << 20;
