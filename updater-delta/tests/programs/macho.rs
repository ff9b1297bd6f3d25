//! Mach-O files with code, pointers, compact unwind information, symbols and page hashes, alone and several in one file.

use super::machine::{Machine, Shape, code};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// How a program holds its pointers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pointers {
    /// As addresses.
    Plain,
    /// In chains, without the base address.
    Offsets,
    /// In chains, with the base address.
    Addresses,
}

/// Links a program for macOS.
pub(crate) fn macho(machine: Machine, shape: Shape, pointers: Pointers) -> Vec<u8> {
    let (starts, end) = shape.starts(TEXT);
    let unwind_at = (end + shape.moved).next_multiple_of(8);
    let unwind = unwind(&starts, end);
    let data_at = (unwind_at + unwind.len() as u32).next_multiple_of(0x1000);
    let word = |&start: &u32| match pointers {
        Pointers::Plain => BASE + u64::from(start),
        Pointers::Offsets => u64::from(start) | (2 << 51),
        Pointers::Addresses => (BASE + u64::from(start)) | (2 << 51),
    };
    let data: Vec<u8> = starts.iter().flat_map(|start| word(start).to_le_bytes()).collect();
    let link_at = (data_at + data.len() as u32).next_multiple_of(0x1000);
    // One segment, whose chain begins at its start.
    let format = if pointers == Pointers::Addresses { 2_u16 } else { 6 };
    let mut link = Vec::new();
    for field in [0_u32, 16, 0, 0, 1, 8] {
        link.extend(field.to_le_bytes());
    }
    link.extend(24_u32.to_le_bytes());
    link.extend(0x1000_u16.to_le_bytes());
    link.extend(format.to_le_bytes());
    link.extend([0; 16]);
    let symbols_at = link_at + link.len() as u32;
    let mut strings = vec![0];
    for (index, &start) in starts.iter().enumerate() {
        link.extend((strings.len() as u32).to_le_bytes());
        link.extend([0x0e, 1, 0, 0]);
        link.extend((BASE + u64::from(start)).to_le_bytes());
        strings.extend(format!("_function_{index}\0").bytes());
    }
    let strings_at = link_at + link.len() as u32;
    link.extend(&strings);
    let signature_at = (link_at + link.len() as u32).next_multiple_of(16);
    let pages = signature_at.div_ceil(0x1000);
    // Old signatures hash every page twice.
    let twice = pointers == Pointers::Plain;
    let signature_length = 28 + 44 + pages * 32 + if twice { 44 + pages * 20 } else { 0 };
    let link_length = signature_at + signature_length - link_at;

    let mut commands = Vec::new();
    let mut segment = |name: &str, address: u32, length: u32, sections: &[(&str, u32, u32, u32)]| {
        let mut command = Vec::new();
        command.extend(0x19_u32.to_le_bytes());
        command.extend((72 + 80 * sections.len() as u32).to_le_bytes());
        command.extend(named(name));
        for word in [BASE + u64::from(address), u64::from(length), u64::from(address), u64::from(length)] {
            command.extend(word.to_le_bytes());
        }
        for word in [7, 5, sections.len() as u32, 0] {
            command.extend(u32::to_le_bytes(word));
        }
        for &(section, address, length, flags) in sections {
            command.extend(named(section));
            command.extend(named(name));
            command.extend((BASE + u64::from(address)).to_le_bytes());
            command.extend(u64::from(length).to_le_bytes());
            for word in [address, 0, 0, 0, flags, 0, 0, 0] {
                command.extend(word.to_le_bytes());
            }
        }
        commands.push(command);
    };
    let sections = [("__text", TEXT, end - TEXT, 0x8000_0400), ("__unwind_info", unwind_at, unwind.len() as u32, 0)];
    segment("__TEXT", 0, data_at, &sections);
    segment("__DATA", data_at, link_at - data_at, &[("__const", data_at, data.len() as u32, 0)]);
    segment("__LINKEDIT", link_at, link_length, &[]);
    let mut short = |words: &[u32]| commands.push(words.iter().flat_map(|word| word.to_le_bytes()).collect());
    if pointers != Pointers::Plain {
        short(&[0x8000_0034, 16, link_at, symbols_at - link_at]);
    }
    short(&[2, 24, symbols_at, starts.len() as u32, strings_at, strings.len() as u32]);
    short(&[0x1d, 16, signature_at, signature_length]);
    let processor = if machine == Machine::X86 { 0x0100_0007 } else { 0x0100_000c };
    let length: usize = commands.iter().map(Vec::len).sum();
    let mut file = Vec::new();
    for word in [0xfeed_facf, processor, 0, 2, commands.len() as u32, length as u32, 0, 0] {
        file.extend(u32::to_le_bytes(word));
    }
    file.extend(commands.concat());
    assert!(file.len() <= TEXT as usize);
    for (at, bytes) in
        [(TEXT, code(machine, &starts, TEXT, end, data_at)), (unwind_at, unwind), (data_at, data), (link_at, link)]
    {
        file.resize(at as usize, 0);
        file.extend(bytes);
    }
    file.resize(signature_at as usize, 0);
    let sha256: Vec<u8> = file.chunks(0x1000).flat_map(Sha256::digest).collect();
    let sha1: Vec<u8> = file.chunks(0x1000).flat_map(Sha1::digest).collect();
    // A signature of a code directory for each hash.
    let second = 28 + 44 + pages * 32;
    for word in [0xfade_0cc0, signature_length, if twice { 2 } else { 1 }, 0, 28, 0x1000, second] {
        file.extend(u32::to_be_bytes(word));
    }
    for (hashes, kind) in [(sha256, 0x2002_000c), (sha1, 0x1401_000c)].iter().take(if twice { 2 } else { 1 }) {
        let length = 44 + hashes.len() as u32;
        for word in [0xfade_0c02, length, 0x2_0400, 2, 44, 0, 0, pages, signature_at, *kind, 0] {
            file.extend(u32::to_be_bytes(word));
        }
        file.extend(hashes);
    }
    file
}

/// Puts programs for several processors into one file.
pub(crate) fn fat(programs: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xcafe_babe, programs.len() as u32] {
        file.extend(u32::to_be_bytes(word));
    }
    let mut offset = 0x4000;
    for program in programs {
        let processor = [program[7], program[6], program[5], program[4]];
        file.extend(processor);
        for word in [0, offset, program.len() as u32, 14] {
            file.extend(word.to_be_bytes());
        }
        offset += (program.len() as u32).next_multiple_of(0x4000);
    }
    for program in programs {
        file.resize(file.len().next_multiple_of(0x4000), 0);
        file.extend(program);
    }
    file
}

/// Makes one page of compact unwind information.
fn unwind(starts: &[u32], end: u32) -> Vec<u8> {
    let mut words = vec![1, 28, 0, 28, 0, 28, 2, starts[0], 52, 0, end, 0, 0];
    words.extend([3, 8 | (starts.len() as u32) << 16]);
    words.extend(starts.iter().map(|start| start - starts[0]));
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn named(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes
}

const TEXT: u32 = 0x1000;
const BASE: u64 = 0x1_0000_0000;
