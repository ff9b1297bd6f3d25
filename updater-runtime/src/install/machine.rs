//! Whether a program was built for the processor that its release names: told by the header of its ELF, PE or Mach-O file,
//! before it is started for the first time.

use super::InstallError;
use crate::fs;
use std::io::Read as _;
use std::path::Path;
use updater_format::{Platform, mach_o, pe};

/// Refuses a staged program whose ELF, PE or Mach-O header names another processor than its platform. What has none of these,
/// a script for example, and platforms that are not in the table are left to the probe.
/// # Errors
/// [`InstallError::OtherMachine`]; [`InstallError::File`] when it cannot be read.
pub(super) fn check(program: &Path, platform: &Platform) -> Result<(), InstallError> {
    if platform.is_windows() {
        return check_pe(program, platform);
    }
    if let Some(expected) = mach_o::of(platform) {
        return check_mach_o(program, platform, expected);
    }
    let Some(expected) = Machine::of(platform) else { return Ok(()) };
    let Some(file) = fs::open_regular(program)? else { return Ok(()) };
    let mut header = Vec::new();
    let read = file.take(HEADER as u64).read_to_end(&mut header);
    read.map_err(|source| fs::PathError::new("read", program, source))?;
    match Machine::parse(&header) {
        Some(found) if found != expected => Err(InstallError::OtherMachine {
            path: program.to_owned(),
            platform: platform.clone(),
            format: "ELF",
            found: found.number.into(),
        }),
        _ => Ok(()),
    }
}

/// As [`check`], for the programs of macOS, which may hold code for several processors.
fn check_mach_o(program: &Path, platform: &Platform, expected: u32) -> Result<(), InstallError> {
    let Some(file) = fs::open_regular(program)? else { return Ok(()) };
    let mut header = Vec::new();
    let read = file.take(mach_o::HEADER as u64).read_to_end(&mut header);
    read.map_err(|source| fs::PathError::new("read", program, source))?;
    let found = mach_o::processors(&header).unwrap_or_default();
    match found.first() {
        Some(&found_first) if !found.contains(&expected) => Err(InstallError::OtherMachine {
            path: program.to_owned(),
            platform: platform.clone(),
            format: "Mach-O",
            found: found_first,
        }),
        _ => Ok(()),
    }
}

/// As [`check`], for the programs of Windows.
fn check_pe(program: &Path, platform: &Platform) -> Result<(), InstallError> {
    let Some(expected) = pe::machine_of(platform) else { return Ok(()) };
    let Some(mut file) = fs::open_regular(program)? else { return Ok(()) };
    let found = pe::machine(&mut file).map_err(|source| fs::PathError::new("read", program, source))?;
    match found {
        Some(found) if found != expected => Err(InstallError::OtherMachine {
            path: program.to_owned(),
            platform: platform.clone(),
            format: "PE",
            found: found.into(),
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
    fn a_universal_program_is_for_each_of_its_processors() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("hello");
        let intel = [0xcf, 0xfa, 0xed, 0xfe, 7, 0, 0, 1, 3, 0, 0, 0];
        std::fs::write(&program, intel).unwrap();
        check(&program, &platform("x86_64-apple-darwin")).unwrap();
        let error = check(&program, &platform("aarch64-apple-darwin")).unwrap_err();
        assert!(matches!(error, InstallError::OtherMachine { found: 0x0100_0007, .. }), "{error:?}");
        let one = |processor: [u8; 4]| [&processor[..], &[0; 16]].concat();
        let both = [&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2][..], &one([1, 0, 0, 7]), &one([1, 0, 0, 12])].concat();
        std::fs::write(&program, both).unwrap();
        check(&program, &platform("aarch64-apple-darwin")).unwrap();
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
    fn another_processor_is_refused_on_windows_too() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("hello.exe");
        let mut bytes = [b"MZ".as_slice(), &[0; 58], &[128, 0, 0, 0], &[0; 64]].concat();
        bytes.extend(b"PE\0\0\x64\x86rest");
        std::fs::write(&program, &bytes).unwrap();
        check(&program, &platform("x86_64-pc-windows-gnu")).unwrap();
        let error = check(&program, &platform("aarch64-pc-windows-msvc")).unwrap_err();
        assert!(matches!(error, InstallError::OtherMachine { format: "PE", found: 0x8664, .. }), "{error:?}");
        std::fs::write(&program, "not a program").unwrap();
        check(&program, &platform("aarch64-pc-windows-msvc")).unwrap();
    }

    #[test]
    fn this_program_is_for_this_processor() {
        let own = std::env::current_exe().unwrap();
        let system = if cfg!(windows) { "pc-windows-gnu" } else { "unknown-linux-gnu" };
        let here = format!("{}-{system}", std::env::consts::ARCH);
        check(&own, &platform(&here)).unwrap();
    }
}
