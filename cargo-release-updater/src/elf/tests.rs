//! ELF files made here, real ones, and damaged ones.

use super::*;
use std::io::Cursor;

/// Writes a little-endian or big-endian ELF file with one loaded segment, a dynamic section and the named versions.
fn elf(machine: u16, wide: bool, big_endian: bool, versions: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0; 0x1000];
    let mut put = |at: usize, number: u64, width: usize| {
        let be = number.to_be_bytes();
        let le = number.to_le_bytes();
        let number = if big_endian { &be[8 - width..] } else { &le[..width] };
        bytes[at..at + width].copy_from_slice(number);
    };
    let word = if wide { 8 } else { 4 };
    put(0, if big_endian { 0x7f45_4c46 } else { 0x464c_457f }, 4);
    put(4, if wide { 2 } else { 1 }, 1);
    put(5, if big_endian { 2 } else { 1 }, 1);
    put(18, machine.into(), 2);
    let (table, sizes, size) = if wide { (32, 54, 56) } else { (28, 42, 32) };
    put(table, 0x100, word);
    put(sizes, size as u64, 2);
    put(sizes + 2, 2, 2);
    // The segment is loaded at 0x400000; the dynamic section lies at 0x400.
    let fields = if wide { [8, 16, 32] } else { [4, 8, 16] };
    for (index, kind, values) in [(0, 1, [0, 0x40_0000, 0x1000]), (1, 2, [0x400, 0x40_0400, 0x100])] {
        let header = 0x100 + index * size;
        put(header, kind, 4);
        for (field, value) in fields.iter().zip(values) {
            put(header + field, value, word);
        }
    }
    let dynamic = [(DT_STRTAB, 0x40_0800), (DT_VERNEED, 0x40_0600), (DT_VERNEEDNUM, 1), (DT_NULL, 0)];
    for (index, (tag, value)) in dynamic.into_iter().enumerate() {
        put(0x400 + index * 2 * word, tag, word);
        put(0x400 + index * 2 * word + word, value, word);
    }
    put(0x602, versions.len() as u64, 2);
    put(0x608, 16, 4);
    let mut text = 0x801;
    for (index, version) in versions.iter().enumerate() {
        let name = 0x610 + index * 16;
        put(name + 8, (text - 0x800) as u64, 4);
        put(name + 12, if index + 1 < versions.len() { 16 } else { 0 }, 4);
        for (at, byte) in version.bytes().enumerate() {
            put(text + at, byte.into(), 1);
        }
        text += version.len() + 1;
    }
    bytes
}

fn glibc(bytes: &[u8]) -> Option<String> {
    let elf = read(&mut Cursor::new(bytes)).unwrap().unwrap();
    elf.glibc.map(|version| version.to_string())
}

#[test]
fn the_newest_version_counts_in_every_width_and_byte_order() {
    for (wide, big_endian) in [(true, false), (true, true), (false, false), (false, true)] {
        let bytes =
            elf(62, wide, big_endian, &["GLIBC_2.2.5", "GLIBC_2.31", "GLIBC_2.9", "GCC_4.2.0", "GLIBC_PRIVATE"]);
        assert_eq!(glibc(&bytes).as_deref(), Some("2.31"), "wide {wide}, big endian {big_endian}");
    }
    assert_eq!(glibc(&elf(62, true, false, &["GLIBC_2.2.5", "GLIBC_ABI_DT_RELR"])).as_deref(), Some("2.36"));
    assert_eq!(glibc(&elf(62, true, false, &["GCC_4.2.0"])), None);
}

#[test]
fn machines_are_held_against_triples() {
    let machine = |number, bits| Machine { number, bits };
    for (triple, number, bits) in [
        ("x86_64-unknown-linux-gnu", 62, 64),
        ("x86_64-unknown-linux-gnux32", 62, 32),
        ("i686-unknown-linux-gnu", 3, 32),
        ("aarch64-unknown-linux-musl", 183, 64),
        ("armv7-unknown-linux-gnueabihf", 40, 32),
        ("thumbv7neon-unknown-linux-gnueabihf", 40, 32),
        ("riscv64gc-unknown-linux-gnu", 243, 64),
        ("powerpc64le-unknown-linux-gnu", 21, 64),
        ("powerpc-unknown-linux-gnu", 20, 32),
        ("mips64el-unknown-linux-gnuabi64", 8, 64),
    ] {
        assert_eq!(machine(number, bits).matches(triple), Some(true), "{triple}");
        assert_eq!(machine(9999, bits).matches(triple), Some(false), "{triple}");
    }
    assert_eq!(machine(62, 64).matches("hexagon-unknown-linux-musl"), None);
    assert_eq!(machine(183, 64).to_string(), "aarch64");
    assert_eq!(machine(9999, 32).to_string(), "processor 9999 with 32 bits");
}

#[test]
fn the_running_program_is_for_this_machine() {
    let mut file = std::fs::File::open("/proc/self/exe").unwrap();
    let elf = read(&mut file).unwrap().unwrap();
    assert_eq!(elf.machine.matches(std::env::consts::ARCH), Some(true));
    assert_eq!(elf.glibc.is_some(), cfg!(target_env = "gnu"));
}

#[test]
fn other_files_are_none_and_damaged_ones_are_named() {
    for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fEL"] {
        assert_eq!(read(&mut Cursor::new(bytes)).unwrap(), None);
    }
    let good = elf(62, true, false, &["GLIBC_2.31"]);
    let damaged = |what: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        match read(&mut Cursor::new(&bytes)) {
            Err(ElfError::Damaged { what: found }) => assert!(found.contains(what), "{found} instead of {what}"),
            other => panic!("{what}: {other:?}"),
        }
    };
    damaged("cut short", &|bytes| bytes.truncate(19));
    damaged("class", &|bytes| bytes[4] = 3);
    damaged("byte order", &|bytes| bytes[5] = 0);
    damaged("outside the file", &|bytes| bytes.truncate(0x150));
    damaged("outside the file", &|bytes| bytes[32..40].fill(0xff));
    damaged("beyond every file", &|bytes| bytes[0x108..0x110].fill(0xff));
    damaged("not loaded", &|bytes| bytes[0x408 + 2] = 0xff);
    damaged("no end", &|bytes| {
        bytes.resize(0x10000 + 16 * 5000, 0);
        bytes[0x602..0x604].copy_from_slice(&5000u16.to_le_bytes());
        bytes[0x608..0x60c].copy_from_slice(&(0x10000u32 - 0x600).to_le_bytes());
        for name in (0x10000..bytes.len()).step_by(16) {
            bytes[name + 12] = 16;
        }
    });
}

#[test]
fn every_prefix_and_every_changed_byte_ends_without_a_panic() {
    let good = elf(62, true, false, &["GLIBC_2.2.5", "GLIBC_2.31"]);
    for length in 0..0x900 {
        drop(read(&mut Cursor::new(&good[..length])));
    }
    for position in (0..0x200).chain(0x400..0x900) {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[position] = value;
            drop(read(&mut Cursor::new(&bytes)));
        }
    }
}
