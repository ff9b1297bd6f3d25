//! How long an x86-64 instruction is, and where it holds a 32-bit distance to its target.
//!
//! Only prefixes, opcode, ModRM and SIB are looked at, never the distance or what follows it: the same bytes with another distance
//! are cut in the same way. What is no instruction is one byte long.

/// An instruction's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes in all.
    pub(crate) length: u8,
    /// Where the 32-bit distance lies; 0 if there is none. Its target counts from the instruction's end.
    pub(crate) field: u8,
    /// Whether an address is taken (`lea`): it may be that of a jump table.
    pub(crate) lea: bool,
}

/// Returns the shape of the instruction that `bytes` begin with, or `None` if they end before it is known.
#[inline]
pub(crate) fn shape(bytes: &[u8]) -> Option<Shape> {
    let known = bytes.first_chunk().map_or(0, |word| common(u64::from_le_bytes(*word)));
    if known == 0 { rare(bytes) } else { Some(unpack(known)) }
}

/// Returns the length of the instruction that starts at `at`, and whether it holds a distance. There are [`MAX_LENGTH`] bytes from
/// there on at least.
#[inline(always)]
pub(crate) fn step(window: &[u8], at: usize) -> (usize, bool) {
    let known = window[at..].first_chunk().map_or(0, |word| common(u64::from_le_bytes(*word)));
    if known == 0 {
        let shape = rare(&window[at..]).unwrap_or(INVALID);
        return (usize::from(shape.length), shape.field != 0);
    }
    ((known & 15) as usize, known & DISTANCE != 0)
}

const fn unpack(known: u32) -> Shape {
    let field = if known & DISTANCE == 0 { 0 } else { (known >> 8) as u8 };
    Shape { length: (known & 15) as u8, field, lea: known & DISTANCE != 0 && known & LEA != 0 }
}

/// Knows the instructions that most code consists of: at most a REX prefix, and an opcode whose length depends on ModRM alone. Returns 0
/// for others, else the length, whether there is a distance and whether it may be that of a `lea`, and where it would be.
#[inline(always)]
fn common(word: u64) -> u32 {
    let rex = u32::from(word as u8 & 0xf0 == 0x40);
    let wide = u32::from(word as u8 & 0xf8 == 0x48);
    let word = word >> (8 * rex);
    let two = u32::from(word as u8 == 0x0f);
    let word = (word >> (8 * two)) as u32;
    let traits = u32::from(COMMON[(wide << 9 | two << 8 | word & 0xff) as usize]);
    let operand = u32::from(OPERANDS[(word >> 8 & 0xff) as usize]) & traits;
    if traits & RARE != 0 || operand & INDEXED != 0 && word >> 16 & 7 == 5 {
        return 0;
    }
    let (start, relative) = (rex + two + 1, operand >> 4 & 1);
    let length = start + (traits >> 8 & 7) + (operand & 15);
    length | (operand | traits >> 8) & DISTANCE | traits >> 8 & LEA | (start + relative) << 8
}

/// Knows all the others.
#[cold]
#[inline(never)]
fn rare(bytes: &[u8]) -> Option<Shape> {
    if let Some(word) = bytes.first_chunk().map(|word| u64::from_le_bytes(*word)) {
        // A prefix that changes nothing, unless the immediate becomes shorter.
        let opcode = if word >> 8 & 0xf0 == 0x40 { word >> 16 } else { word >> 8 } as u8;
        let same = matches!(word as u8, 0xf2 | 0xf3) || word as u8 == 0x66 && ONE_BYTE[usize::from(opcode)] & Z == 0;
        let known = if same { common(word >> 8) } else { 0 };
        if known != 0 {
            let shape = unpack(known);
            let field = if shape.field == 0 { 0 } else { shape.field + 1 };
            return Some(Shape { length: shape.length + 1, field, ..shape });
        }
    }
    // What is still open after the longest instruction is none.
    any(bytes).or((bytes.len() >= MAX_LENGTH).then_some(INVALID))
}

/// Cuts any instruction.
fn any(bytes: &[u8]) -> Option<Shape> {
    let mut at = 0;
    let (mut narrow, mut short_address, mut wide) = (false, false, false);
    let opcode = loop {
        let byte = *bytes.get(at)?;
        at += 1;
        match byte {
            0x66 => narrow = true,
            0x67 => short_address = true,
            0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0xf0 | 0xf2 | 0xf3 => {}
            0x40..=0x4f => {
                wide = byte & 8 != 0;
                let next = *bytes.get(at)?;
                // A REX prefix counts only right before the opcode.
                if !is_prefix(next) {
                    at += 1;
                    break next;
                }
            }
            _ => break byte,
        }
        if at >= MAX_LENGTH {
            return Some(INVALID);
        }
    };
    let full = if narrow && !wide { 2 } else { 4 };
    let (traits, table, lea) = match opcode {
        0x0f => {
            let second = *bytes.get(at)?;
            at += 1;
            match second {
                0x38 => {
                    bytes.get(at)?;
                    at += 1;
                    (M, 2, false)
                }
                0x3a => {
                    bytes.get(at)?;
                    at += 1;
                    (M | B, 3, false)
                }
                _ => (TWO_BYTES[second as usize], 1, false),
            }
        }
        0xc5 => {
            let map = 1;
            let op = *bytes.get(at + 1)?;
            at += 2;
            (vector(map, op), map, false)
        }
        0xc4 => {
            let map = *bytes.get(at)? & 31;
            let op = *bytes.get(at + 2)?;
            at += 3;
            (vector(map, op), map, false)
        }
        0x62 => {
            let map = *bytes.get(at)? & 7;
            let op = *bytes.get(at + 3)?;
            at += 4;
            (if map == 1 && op == 0x77 { M } else { vector(map, op) }, map, false)
        }
        _ => (ONE_BYTE[opcode as usize], 0, opcode == 0x8d),
    };
    if traits & X != 0 {
        return Some(INVALID);
    }
    let mut field = 0;
    let mut group_immediate = 0;
    if traits & M != 0 {
        let modrm = *bytes.get(at)?;
        at += 1;
        let (mode, register, memory) = (modrm >> 6, modrm >> 3 & 7, modrm & 7);
        if mode != 3 {
            let mut distance = match mode {
                1 => 1,
                2 => 4,
                _ => 0,
            };
            if memory == 4 {
                let sib = *bytes.get(at)?;
                at += 1;
                if mode == 0 && sib & 7 == 5 {
                    distance = 4;
                }
            } else if mode == 0 && memory == 5 {
                distance = 4;
                if !short_address {
                    field = at;
                }
            }
            at += distance;
        }
        if table == 0 && register < 2 {
            group_immediate = match opcode {
                0xf6 => 1,
                0xf7 => full,
                _ => 0,
            };
        }
    }
    if traits & R != 0 {
        field = at;
        at += 4;
    }
    at += group_immediate;
    at += if traits & B != 0 { 1 } else { 0 };
    at += if traits & W != 0 { 2 } else { 0 };
    at += if traits & Z != 0 { full } else { 0 };
    if table == 0 {
        at += match opcode {
            0xb8..=0xbf if wide => 4,
            0xa0..=0xa3 => {
                if short_address {
                    4
                } else {
                    8
                }
            }
            _ => 0,
        };
    }
    if at > MAX_LENGTH {
        return Some(INVALID);
    }
    Some(Shape { length: at as u8, field: field as u8, lea: lea && field != 0 })
}

/// The longest instruction in bytes.
pub(crate) const MAX_LENGTH: usize = 15;

const INVALID: Shape = Shape { length: 1, field: 0, lea: false };

const fn is_prefix(byte: u8) -> bool {
    matches!(byte, 0x66 | 0x67 | 0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0xf0 | 0xf2 | 0xf3 | 0x40..=0x4f)
}

/// Traits of an opcode behind a VEX or EVEX prefix.
const fn vector(map: u8, opcode: u8) -> u8 {
    match (map, opcode) {
        (1, 0x77) => 0,
        (1, 0x70..=0x73 | 0xc2 | 0xc4 | 0xc5 | 0xc6) | (3, _) => M | B,
        (1 | 2 | 5 | 6, _) => M,
        _ => X,
    }
}

/// Has a ModRM byte.
const M: u8 = 1;
/// Has an immediate of one byte.
const B: u8 = 2;
/// Has an immediate of two bytes.
const W: u8 = 4;
/// Has an immediate of the operand's size, at most four bytes.
const Z: u8 = 8;
/// Has a 32-bit distance to a branch target.
const R: u8 = 16;
/// Is no opcode in 64-bit mode.
const X: u8 = 32;

const ONE_BYTE: [u8; 256] = {
    let mut table = [0; 256];
    let mut op = 0;
    while op < 256 {
        table[op] = match op as u8 {
            0x00..=0x3f => match op & 7 {
                0..=3 => M,
                4 => B,
                5 => Z,
                _ => X,
            },
            0x60 | 0x61 | 0x82 | 0x9a | 0xce | 0xd4..=0xd6 | 0xea => X,
            0x63 | 0x84..=0x8f | 0xd0..=0xd3 | 0xd8..=0xdf | 0xf6 | 0xf7 | 0xfe | 0xff => M,
            0x68 | 0xa9 | 0xb8..=0xbf => Z,
            0x69 | 0x81 | 0xc7 => M | Z,
            0x6a | 0x70..=0x7f | 0xa8 | 0xb0..=0xb7 | 0xcd | 0xe0..=0xe7 | 0xeb => B,
            0x6b | 0x80 | 0x83 | 0xc0 | 0xc1 | 0xc6 => M | B,
            0xc2 | 0xca => W,
            0xc8 => W | B,
            0xe8 | 0xe9 => R,
            _ => 0,
        };
        op += 1;
    }
    table
};

const TWO_BYTES: [u8; 256] = {
    let mut table = [M; 256];
    let mut op = 0;
    while op < 256 {
        table[op] = match op as u8 {
            0x05..=0x09 | 0x0b | 0x0e | 0x30..=0x35 | 0x37 | 0x77 | 0xa0..=0xa2 | 0xa8..=0xaa | 0xc8..=0xcf => 0,
            0x04 | 0x0a | 0x0c | 0x24..=0x27 | 0x36 | 0x38..=0x3f | 0x7a | 0x7b | 0xa6 | 0xa7 => X,
            0x0f | 0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6 => M | B,
            0x80..=0x8f => R,
            _ => M,
        };
        op += 1;
    }
    table
};

/// What [`common`] knows of an opcode, by whether a REX prefix makes it wide and whether it has two bytes. The low half are the bits of
/// [`OPERANDS`] that count, all of them with a ModRM byte; the high half has the bytes of the immediate or distance, whether that is a
/// distance, and whether it takes an address. All other opcodes are [`RARE`].
static COMMON: [u16; 1024] = {
    let mut table = [RARE as u16; 1024];
    let mut at = 0;
    while at < table.len() {
        let (two, op) = (at & 256 != 0, at & 255);
        let traits = if two { TWO_BYTES[op] } else { ONE_BYTE[op] };
        let rare = if two {
            matches!(op as u8, 0x38 | 0x3a)
        } else {
            is_prefix(op as u8) || matches!(op as u8, 0x0f | 0x62 | 0xa0..=0xa3 | 0xc4 | 0xc5 | 0xf6 | 0xf7)
        };
        // One that holds an address of eight bytes.
        let long = at & 512 != 0 && !two && matches!(op as u8, 0xb8..=0xbf);
        if !rare && !long && traits & (W | X) == 0 {
            let short = if traits & B != 0 { 1 } else { 0 };
            let full = if traits & (Z | R) != 0 { 4 } else { 0 };
            let distance = if traits & R != 0 { DISTANCE as u16 } else { 0 };
            let lea = if !two && op == 0x8d { LEA as u16 } else { 0 };
            let operand = if traits & M != 0 { 0xff } else { 0 };
            // What is common is not marked, but an operand may be.
            table[at] = operand & 0x7f | (short + full + distance + lea) << 8;
        }
        at += 1;
    }
    table
};

/// By ModRM byte: bytes of it and of what it brings; whether a SIB byte may bring four more; whether a distance follows.
static OPERANDS: [u8; 256] = {
    let mut table = [0; 256];
    let mut modrm = 0;
    while modrm < 256 {
        let (mode, memory) = (modrm >> 6, modrm & 7);
        let sib = if mode != 3 && memory == 4 { 1 } else { 0 };
        table[modrm] = match (mode, memory) {
            (0, 5) => 5 | DISTANCE as u8,
            (0, 4) => 2 | INDEXED as u8,
            (1, _) => 2 + sib,
            (2, _) => 5 + sib,
            _ => 1,
        };
        modrm += 1;
    }
    table
};
/// Marks of an opcode, an operand, and what [`common`] returns.
const DISTANCE: u32 = 1 << 4;
const LEA: u32 = 1 << 5;
const INDEXED: u32 = 1 << 6;
const RARE: u32 = 1 << 7;

#[cfg(test)]
mod tests;
