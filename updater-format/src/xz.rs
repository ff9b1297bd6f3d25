//! The xz streams of bundles and patches: no branch filters when writing, a memory limit when reading.

use crate::length::MAX_XZ_MEMORY;
use std::io::{BufRead, Write};
use xz2::stream::{Check, MtStreamBuilder, Stream};

/// Opens a decoder of exactly one xz stream that refuses a dictionary beyond the memory limit. What follows the stream
/// stays unread in `input`.
pub(crate) fn bounded_decoder<R: BufRead>(input: R) -> Result<xz2::bufread::XzDecoder<R>, XzFault> {
    let stream = Stream::new_stream_decoder(MAX_XZ_MEMORY, 0).map_err(|error| explain(error.into()))?;
    Ok(xz2::bufread::XzDecoder::new_stream(input, stream))
}

/// Opens an encoder. It always cuts the input into blocks as the threaded encoder does, so that the output depends on
/// the level only and not on the number of threads.
pub(crate) fn encoder<W: Write>(output: W, level: u32, threads: u32) -> Result<xz2::write::XzEncoder<W>, XzFault> {
    let stream = MtStreamBuilder::new()
        .threads(threads.clamp(1, MAX_THREADS))
        .preset(level.min(MAX_LEVEL))
        .check(Check::Crc64)
        .encoder()
        .map_err(|error| explain(error.into()))?;
    Ok(xz2::write::XzEncoder::new_stream(output, stream))
}

/// Tells a damaged stream and a refused dictionary from a reader that failed.
pub(crate) fn explain(error: std::io::Error) -> XzFault {
    use xz2::stream::Error;
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::MemLimit) => XzFault::Memory { limit: MAX_XZ_MEMORY },
        Some(other) => XzFault::Damaged { detail: other.to_string() },
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            XzFault::Damaged { detail: "it is cut short".to_owned() }
        }
        None => XzFault::Read { source: error },
    }
}

/// Why a stream could not be decoded; bundles and patches turn it into an error of their own.
#[derive(Debug)]
pub(crate) enum XzFault {
    /// The reader below failed.
    Read { source: std::io::Error },
    /// The stream is damaged or cut short.
    Damaged { detail: String },
    /// The stream asks for more memory than the limit, in bytes.
    Memory { limit: u64 },
}

/// The highest xz preset.
const MAX_LEVEL: u32 = 9;
/// The most encoder threads: 256, far beyond any gain.
const MAX_THREADS: u32 = 256;
