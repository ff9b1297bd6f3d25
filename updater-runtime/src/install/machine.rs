//! Whether a program was built for the processor that its release names: told by the header of its ELF file, before it
//! is started for the first time.

use super::InstallError;
use crate::fs;
use std::io::Read as _;
use std::path::Path;
use updater_format::Platform;

/// Refuses a staged program whose ELF header names another processor than its platform. What is not an ELF file, a script
/// for example, and platforms that are not in the table are left to the probe.
/// # Errors
/// [`InstallError::OtherMachine`]; [`InstallError::File`] when it cannot be read.
pub(super) fn check(program: &Path, platform: &Platform) -> Result<(), InstallError> {
    let Some(expected) = Machine::of(platform) else { return Ok(()) };
    let Some(file) = fs::open_regular(program)? else { return Ok(()) };
    let mut header = Vec::new();
    let read = file.take(HEADER as u64).read_to_end(&mut header);
    read.map_err(|source| fs::PathError::new("read", program, source))?;
    match Machine::parse(&header) {
        Some(found) if found != expected => Err(InstallError::OtherMachine {
            path: program.to_owned(),
            platform: platform.clone(),
            found: found.number,
        }),
        _ => Ok(()),
    }
}

/// What an ELF header says about the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Machine {
    /// 64 bit, else 32 bit.
    is_wide: bool,
    /// The least significant byte comes first.
    is_little: bool,
    /// The number of the architecture (`e_machine`).
    number: u16,
}

impl Machine {
    /// Reads the beginning of a file; `None` when it is no ELF file of a known shape.
    fn parse(header: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER] = header.get(..HEADER)?.try_into().ok()?;
        if header[..4] != *b"\x7fELF" {
            return None;
        }
        let is_wide = two_ways(header[4])?;
        let is_little = !two_ways(header[5])?;
        let number = [header[18], header[19]];
        let number = if is_little { u16::from_le_bytes(number) } else { u16::from_be_bytes(number) };
        Some(Self { is_wide, is_little, number })
    }

    /// Returns what programs of a platform have; `None` for one that is not known here.
    fn of(platform: &Platform) -> Option<Self> {
        let triple = platform.as_str();
        let (architecture, rest) = triple.split_once('-')?;
        // 32-bit pointers on a 64-bit processor: x32, ILP32.
        if rest.ends_with("x32") || rest.ends_with("ilp32") {
            return None;
        }
        let (is_wide, is_little, number) = match architecture {
            "x86_64" => (true, true, 62),
            "i386" | "i586" | "i686" => (false, true, 3),
            "aarch64" => (true, true, 183),
            "riscv64" | "riscv64gc" | "riscv64a23" => (true, true, 243),
            "powerpc64le" => (true, true, 21),
            "powerpc64" => (true, false, 21),
            "s390x" => (true, false, 22),
            "loongarch64" => (true, true, 258),
            "arm" | "armv5te" | "armv6" | "armv7" | "thumbv7neon" => (false, true, 40),
            _ => return None,
        };
        Some(Self { is_wide, is_little, number })
    }
}

/// Reads a field that is 1 for the first and 2 for the second of two ways; returns whether it is the second.
fn two_ways(field: u8) -> Option<bool> {
    match field {
        1 => Some(false),
        2 => Some(true),
        _ => None,
    }
}

/// As far as `e_machine` reaches, in bytes; the same for 32 and 64 bit (ELF specification 1.2, figure 1-3).
const HEADER: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        Platform::parse(text).unwrap()
    }

    fn elf(class: u8, data: u8, machine: [u8; 2]) -> Vec<u8> {
        [b"\x7fELF".as_slice(), &[class, data, 1], &[0; 9], &[2, 0], &machine].concat()
    }

    #[test]
    fn another_processor_is_refused_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("hello");
        let check_as = |bytes: &[u8], triple: &str| {
            std::fs::write(&program, bytes).unwrap();
            check(&program, &platform(triple))
        };
        let arm = elf(2, 1, [183, 0]);
        check_as(&arm, "aarch64-unknown-linux-gnu").unwrap();
        let error = check_as(&arm, "x86_64-unknown-linux-gnu").unwrap_err();
        assert!(matches!(&error, InstallError::OtherMachine { path, found: 183, .. } if *path == program), "{error:?}");
        // The same number with other widths or byte orders is another processor.
        for (bytes, triple) in
            [(elf(1, 1, [62, 0]), "x86_64-unknown-linux-gnu"), (elf(2, 2, [0, 21]), "powerpc64le-unknown-linux-gnu")]
        {
            assert!(matches!(check_as(&bytes, triple), Err(InstallError::OtherMachine { .. })), "{triple}");
        }
        check_as(&elf(2, 2, [0, 21]), "powerpc64-unknown-linux-gnu").unwrap();
    }

    #[test]
    fn what_is_no_elf_file_is_left_to_the_probe() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("hello");
        for bytes in [&b"#!/bin/sh\n"[..], b"", b"\x7fELF", &elf(7, 1, [183, 0]), &elf(2, 9, [183, 0])] {
            std::fs::write(&program, bytes).unwrap();
            check(&program, &platform("x86_64-unknown-linux-gnu")).unwrap();
        }
        check(&folder.path().join("missing"), &platform("x86_64-unknown-linux-gnu")).unwrap();
    }

    #[test]
    fn this_program_is_for_this_processor() {
        let own = std::env::current_exe().unwrap();
        let here = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        check(&own, &platform(&here)).unwrap();
    }
}
