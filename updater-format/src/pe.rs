//! The processor that a program of Windows is for, as the header of its PE file says.

use crate::Platform;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};

/// Returns the processor in the header of a PE file (`Machine` of the COFF header); `None` when it is none.
/// # Errors
/// What reading returns.
pub fn machine(file: &mut (impl Read + Seek)) -> Result<Option<u16>> {
    let mut start = [0; 64];
    file.seek(SeekFrom::Start(0))?;
    if !filled(file, &mut start)? || start[..2] != *b"MZ" {
        return Ok(None);
    }
    // The old header ends with the place of the new one.
    let at = u32::from_le_bytes([start[60], start[61], start[62], start[63]]);
    file.seek(SeekFrom::Start(at.into()))?;
    let mut header = [0; 6];
    let is_pe = filled(file, &mut header)? && header[..4] == *b"PE\0\0";
    Ok(is_pe.then(|| u16::from_le_bytes([header[4], header[5]])))
}

/// Returns what the programs of a triple have there; `None` for triples that are not of Windows or not known here.
#[must_use]
pub fn machine_of(platform: &Platform) -> Option<u16> {
    if !platform.is_windows() {
        return None;
    }
    match platform.as_str().split('-').next()? {
        "x86_64" => Some(0x8664),
        "i586" | "i686" => Some(0x014c),
        "aarch64" => Some(0xaa64),
        "arm64ec" => Some(0xa641),
        "thumbv7a" => Some(0x01c4),
        _ => None,
    }
}

/// Fills a buffer; tells whether the file was long enough.
fn filled(file: &mut impl Read, buffer: &mut [u8]) -> Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(Error::new(error.kind(), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn the_header_is_read_wherever_it_lies() {
        let mut bytes = [b"MZ".as_slice(), &[0; 58], &[128, 0, 0, 0], &[0; 64], b"PE\0\0\x64\x86rest"].concat();
        assert_eq!(machine(&mut Cursor::new(&bytes)).unwrap(), Some(0x8664));
        for length in [0, 2, 63, 64, 128, 133] {
            assert_eq!(machine(&mut Cursor::new(&bytes[..length])).unwrap(), None, "{length}");
        }
        bytes[60..64].fill(0xff);
        assert_eq!(machine(&mut Cursor::new(&bytes)).unwrap(), None);
        assert_eq!(machine(&mut Cursor::new(b"#!/bin/sh\n")).unwrap(), None);
    }

    #[test]
    fn only_triples_of_windows_have_one() {
        let of = |triple| machine_of(&Platform::parse(triple).unwrap());
        assert_eq!(of("x86_64-pc-windows-gnu"), Some(0x8664));
        assert_eq!(of("aarch64-pc-windows-msvc"), Some(0xaa64));
        assert_eq!(of("x86_64-unknown-linux-gnu"), None);
    }
}
