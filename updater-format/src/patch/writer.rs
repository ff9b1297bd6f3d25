//! Writes a patch from its header and payloads.

use super::{MAGIC, Operation, PatchError, PatchHeader};
use crate::error::FormatError;
use crate::length::MAX_PATCH_HEADER;
use crate::xz;
use std::io::{Read, Write};

/// Writes a patch: the header, then the payload of each operation that has one, taken from `payload` by the place of
/// the operation. Payloads are streamed.
/// # Errors
/// [`PatchError::Payload`] when one has another length than its operation says, [`PatchError::Read`] when one cannot be
/// read, [`PatchError::Write`] when the output fails, [`PatchError::Format`] when the header is over its limit.
pub fn write_patch<W: Write, R: Read>(
    mut output: W,
    header: &PatchHeader,
    mut payload: impl FnMut(usize) -> std::io::Result<R>,
) -> Result<W, PatchError> {
    let write = |source| PatchError::Write { source };
    let plain = header.to_json();
    let mut encoder = xz::encoder(Vec::new(), HEADER_LEVEL, 1)?;
    encoder.write_all(&plain).map_err(write)?;
    let packed = encoder.finish().map_err(write)?;
    output.write_all(&MAGIC).map_err(write)?;
    for length in [packed.len(), plain.len()] {
        let small = u32::try_from(length).ok().filter(|length| u64::from(*length) <= MAX_PATCH_HEADER);
        let too_large = FormatError::TooLarge { what: "patch header", limit: MAX_PATCH_HEADER, unit: "bytes" };
        output.write_all(&small.ok_or(too_large)?.to_le_bytes()).map_err(write)?;
    }
    output.write_all(&packed).map_err(write)?;
    for (at, (entry, operation)) in header.files().zip(header.operations()).enumerate() {
        let expected = operation.packed();
        if expected == 0 && !matches!(operation, Operation::Add { .. }) {
            continue;
        }
        let content = payload(at).map_err(|source| PatchError::Read { source })?;
        let got = std::io::copy(&mut content.take(expected.saturating_add(1)), &mut output).map_err(write)?;
        if got != expected {
            return Err(PatchError::Payload { path: entry.path.to_string(), expected, got });
        }
    }
    Ok(output)
}

/// Compresses a file that a patch carries whole; the payload of [`Operation::Add`](super::Operation::Add). `level` is the
/// xz preset, 0 to 9.
/// # Errors
/// [`PatchError::Write`] when reading the content or writing the output fails.
pub fn pack_added<W: Write>(mut content: impl Read, output: W, level: u32) -> Result<W, PatchError> {
    let write = |source| PatchError::Write { source };
    let mut encoder = xz::encoder(output, level, 1)?;
    std::io::copy(&mut content, &mut encoder).map_err(write)?;
    encoder.finish().map_err(write)
}

/// The xz preset of the header: it is small, so the best one costs nothing.
const HEADER_LEVEL: u32 = 9;
