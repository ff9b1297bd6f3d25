//! PE files with code, constants, pointers, a table of functions with unwind information, and relocations.

use super::machine::{Machine, Shape, code};

/// Links a program for Windows.
pub(crate) fn pe(machine: Machine, shape: Shape) -> Vec<u8> {
    let (starts, end) = shape.starts(TEXT);
    let constants = (end + shape.moved).next_multiple_of(0x1000);
    let (unwind, places) = unwind(machine, &starts, constants);
    let data = (constants + unwind.len() as u32).next_multiple_of(0x1000);
    let pointers: Vec<u8> = starts.iter().flat_map(|&start| (BASE + u64::from(start)).to_le_bytes()).collect();
    let functions = (data + pointers.len() as u32).next_multiple_of(0x1000);
    let table: Vec<u8> = starts
        .iter()
        .zip(&places)
        .flat_map(|(&start, &place)| match machine {
            Machine::X86 => vec![start, start + 36, place],
            // Every third is packed into the entry.
            Machine::Arm64 if place == 0 => vec![start, 10 << 2 | 1],
            Machine::Arm64 => vec![start, place],
        })
        .flat_map(u32::to_le_bytes)
        .collect();
    let relocations = (functions + table.len() as u32).next_multiple_of(0x1000);
    let mut blocks = Vec::new();
    let slots: Vec<u32> = (0..starts.len() as u32).map(|index| data + index * 8).collect();
    for page in slots.chunk_by(|a, b| a >> 12 == b >> 12) {
        let entries = page.len() + page.len() % 2;
        blocks.extend((page[0] & !0xfff).to_le_bytes());
        blocks.extend((8 + 2 * entries as u32).to_le_bytes());
        blocks.extend(page.iter().flat_map(|slot| (0xa000 | (slot & 0xfff) as u16).to_le_bytes()));
        blocks.resize(blocks.len() + 2 * (entries - page.len()), 0);
    }
    let text = code(machine, &starts, TEXT, end, data);
    let sections: [(&[u8; 8], u32, u32, Vec<u8>); 5] = [
        (b".text\0\0\0", TEXT, 0x6000_0020, text),
        (b".rdata\0\0", constants, 0x4000_0040, unwind),
        (b".data\0\0\0", data, 0xc000_0040, pointers),
        (b".pdata\0\0", functions, 0x4000_0040, table),
        (b".reloc\0\0", relocations, 0x4200_0040, blocks),
    ];
    let mut file = b"MZ".to_vec();
    file.resize(0x3c, 0);
    file.extend(0x40_u32.to_le_bytes());
    file.extend(b"PE\0\0");
    let processor: u16 = if machine == Machine::X86 { 0x8664 } else { 0xaa64 };
    file.extend(processor.to_le_bytes());
    file.extend((sections.len() as u16).to_le_bytes());
    file.extend([0; 12]);
    file.extend([240, 0, 0x22, 0]);
    let mut optional = vec![0; 240];
    optional[..2].copy_from_slice(&[0x0b, 0x02]);
    optional[24..32].copy_from_slice(&BASE.to_le_bytes());
    file.extend(optional);
    let mut offset = 0x400;
    for (name, address, flags, bytes) in &sections {
        let length = (bytes.len() as u32).next_multiple_of(0x200);
        file.extend(*name);
        for word in [bytes.len() as u32, *address, length, offset, 0, 0, 0, *flags] {
            file.extend(word.to_le_bytes());
        }
        offset += length;
    }
    file.resize(0x400, 0);
    for (_, _, _, bytes) in sections {
        file.extend(bytes);
        file.resize(file.len().next_multiple_of(0x200), 0);
    }
    file
}

/// Makes the unwind information of all functions, with a table of C++ exceptions for every fifth; also returns where each lies.
fn unwind(machine: Machine, starts: &[u32], address: u32) -> (Vec<u8>, Vec<u32>) {
    let mut bytes = Vec::new();
    let mut places = Vec::new();
    for (index, &start) in starts.iter().enumerate() {
        if machine == Machine::Arm64 && index % 3 == 1 {
            places.push(0);
            continue;
        }
        let place = address + bytes.len() as u32;
        places.push(place);
        let handled = index % 5 == 0;
        match machine {
            Machine::X86 => {
                bytes.extend([1 | u8::from(handled) << 3, 4, 2, 0]);
                bytes.extend([4, 0x50, 1, 0x30]);
            }
            Machine::Arm64 => {
                bytes.extend((10 | u32::from(handled) << 20 | 1 << 21 | 1 << 27).to_le_bytes());
                bytes.extend([0xe4, 0xe3, 0xe3, 0xe3]);
            }
        }
        if handled {
            let table = address + bytes.len() as u32 + 8;
            bytes.extend(starts[0].to_le_bytes());
            bytes.extend(table.to_le_bytes());
            // Two states, and a map from two places to them.
            let behind = table + 40;
            for word in [0x1993_0522, 2, behind, 0, 0, 2, behind + 16, 0, 0, 1] {
                bytes.extend(u32::to_le_bytes(word));
            }
            for word in [u32::MAX, start, 0, start, start, u32::MAX, start + 16, 0] {
                bytes.extend(word.to_le_bytes());
            }
        }
    }
    (bytes, places)
}

const TEXT: u32 = 0x1000;
const BASE: u64 = 0x1_4000_0000;
