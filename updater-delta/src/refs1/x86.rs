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
    // What is still open after the longest instruction is none.
    bytes.first_chunk().and_then(common).or_else(|| any(bytes)).or((bytes.len() >= MAX_LENGTH).then_some(INVALID))
}

/// Knows the instructions that most code consists of: at most a REX prefix, and an opcode whose length depends on ModRM alone.
#[inline]
fn common(bytes: &[u8; 8]) -> Option<Shape> {
    let rex = bytes[0] & 0xf0 == 0x40;
    let at = usize::from(rex);
    let (opcode, next) = (bytes[at], bytes[at + 1]);
    let two = opcode == 0x0f;
    let traits = if two { COMMON[1][usize::from(next)] } else { COMMON[0][usize::from(opcode)] };
    if traits & X != 0 {
        return None;
    }
    let at = at + 1 + usize::from(two);
    let (modrm, sib) = (bytes[at], bytes[at + 1]);
    let mut length = at + usize::from(traits & B != 0) + usize::from(traits & (R | Z) != 0) * 4;
    let mut field = if traits & R != 0 { at } else { 0 };
    if traits & M != 0 {
        let operand = OPERANDS[usize::from(modrm)];
        length += usize::from(operand & 15);
        if operand & RELATIVE != 0 {
            field = at + 1;
        } else if operand & INDEXED != 0 && sib & 7 == 5 {
            length += 4;
        }
    }
    Some(Shape { length: length as u8, field: field as u8, lea: opcode == 0x8d && field != 0 })
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

/// Traits of the opcodes that [`common`] cuts; all others are [`X`].
const COMMON: [[u8; 256]; 2] = {
    let mut table = [ONE_BYTE, TWO_BYTES];
    let mut op = 0;
    while op < 256 {
        let rare = is_prefix(op as u8)
            || matches!(op as u8, 0x0f | 0x62 | 0xa0..=0xa3 | 0xb8..=0xbf | 0xc4 | 0xc5 | 0xf6 | 0xf7);
        if rare || table[0][op] & W != 0 {
            table[0][op] = X;
        }
        if matches!(op as u8, 0x38 | 0x3a) {
            table[1][op] = X;
        }
        op += 1;
    }
    table
};

/// By ModRM byte: bytes of it and of what it brings; whether a SIB byte may bring four more; whether a distance follows.
const OPERANDS: [u8; 256] = {
    let mut table = [0; 256];
    let mut modrm = 0;
    while modrm < 256 {
        let (mode, memory) = (modrm >> 6, modrm & 7);
        let sib = if mode != 3 && memory == 4 { 1 } else { 0 };
        table[modrm] = match (mode, memory) {
            (0, 5) => 5 | RELATIVE,
            (0, 4) => 2 | INDEXED,
            (1, _) => 2 + sib,
            (2, _) => 5 + sib,
            _ => 1,
        };
        modrm += 1;
    }
    table
};
const RELATIVE: u8 = 16;
const INDEXED: u8 = 32;

#[cfg(test)]
mod tests;
