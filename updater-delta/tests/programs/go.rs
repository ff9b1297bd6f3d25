//! An ELF program as Go links it: code at a fixed address, and a table of functions full of offsets.

use super::machine::{Machine, Shape, code};

/// Links a program for Linux.
pub(crate) fn go(shape: Shape) -> Vec<u8> {
    let (starts, end) = shape.starts(TEXT);
    let table_at = (end + shape.moved).next_multiple_of(32);
    let table = table(&starts, end);
    let names = b"\0.text\0.gopclntab\0.shstrtab\0";
    let names_at = table_at + table.len() as u32;
    let mut file = vec![0; 64];
    for (at, bytes) in
        [(TEXT, code(Machine::X86, &starts, TEXT, end, table_at)), (table_at, table), (names_at, names.to_vec())]
    {
        file.resize(at as usize, 0);
        file.extend(bytes);
    }
    file.resize(file.len().next_multiple_of(8), 0);
    let headers = file.len() as u64;
    file.extend([0; 64]);
    let sections = [(1, 1, 6, TEXT, end - TEXT), (7, 1, 2, table_at, names_at - table_at), (18, 3, 0, names_at, 28)];
    for (name, kind, flags, offset, size) in sections {
        file.extend(u32::to_le_bytes(name));
        file.extend(u32::to_le_bytes(kind));
        let address = if flags == 0 { 0 } else { BASE + u64::from(offset) };
        for word in [flags, address, u64::from(offset), u64::from(size), 0, 32, 0] {
            file.extend(word.to_le_bytes());
        }
    }
    file[..20].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 62, 0]);
    file[40..48].copy_from_slice(&headers.to_le_bytes());
    file[58..64].copy_from_slice(&[64, 0, 4, 0, 3, 0]);
    file
}

/// Makes the table: a header, names, counter tables, places and entries.
fn table(starts: &[u32], end: u32) -> Vec<u8> {
    let mut names = Vec::new();
    let mut counters = vec![0];
    let mut entries = Vec::new();
    let mut places = Vec::new();
    let first = 8 * starts.len() as u32 + 4;
    for (index, &start) in starts.iter().enumerate() {
        places.extend((start - TEXT).to_le_bytes());
        places.extend((first + entries.len() as u32).to_le_bytes());
        let (name, counter) = (names.len() as u32, counters.len() as u32);
        names.extend(format!("main.function{start}\0").bytes());
        counters.extend([2, index as u8, 4, (start >> 8) as u8, 0]);
        for word in [start - TEXT, name, 16, 0, counter, counter, counter + 2, 2, 0, index as u32, 0, 0, counter + 3] {
            entries.extend(word.to_le_bytes());
        }
    }
    places.extend((end - TEXT).to_le_bytes());
    let counters_at = 72 + names.len() as u64;
    let places_at = counters_at + counters.len() as u64;
    let mut table = vec![0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
    let header = [starts.len() as u64, 1, BASE + u64::from(TEXT), 72, counters_at, counters_at, counters_at, places_at];
    table.extend(header.into_iter().flat_map(u64::to_le_bytes));
    for part in [names, counters, places, entries] {
        table.extend(part);
    }
    table
}

const TEXT: u32 = 0x1000;
const BASE: u64 = 0x40_0000;
