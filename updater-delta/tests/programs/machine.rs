//! Machine code that calls and takes addresses, for both processors.

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    X86,
    Arm64,
}

/// What is linked: how many functions, and what differs from one linking to the next.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shape {
    pub(crate) functions: u32,
    /// The function in front of which `grow` bytes are inserted.
    pub(crate) at: u32,
    pub(crate) grow: u32,
    /// Bytes by which everything behind the code is moved.
    pub(crate) moved: u32,
}

impl Shape {
    /// Returns where the functions begin, the code beginning at `text`, and where it ends.
    pub(crate) fn starts(self, text: u32) -> (Vec<u32>, u32) {
        let mut address = text;
        let starts = (0..self.functions)
            .map(|index| {
                address += if index == self.at { self.grow & !3 } else { 0 };
                let start = address;
                address += 40 + (index * 12) % 48;
                start
            })
            .collect();
        (starts, address)
    }
}

/// Makes the code of all functions: each calls three others and takes the address of a word behind `data`.
pub(crate) fn code(machine: Machine, starts: &[u32], text: u32, end: u32, data: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, &start) in starts.iter().enumerate() {
        pad(machine, &mut bytes, start - text);
        let number = index as u32;
        let callee = |call: u32| starts[((number * 31 + call * 17 + 5) as usize) % starts.len()];
        let word = data + number * 8;
        match machine {
            Machine::X86 => {
                bytes.extend([0x55, 0x48, 0x89, 0xe5]);
                for call in 0..3 {
                    bytes.push(0xe8);
                    let behind = text + bytes.len() as u32 + 4;
                    bytes.extend(callee(call).wrapping_sub(behind).to_le_bytes());
                }
                bytes.extend([0x48, 0x8d, 0x05]);
                let behind = text + bytes.len() as u32 + 4;
                bytes.extend(word.wrapping_sub(behind).to_le_bytes());
                bytes.extend([0xb8, number as u8, (number >> 8) as u8, 0, 0, 0x5d, 0xc3]);
            }
            Machine::Arm64 => {
                for call in 0..3 {
                    let here = text + bytes.len() as u32;
                    let distance = callee(call).wrapping_sub(here) >> 2 & 0x03ff_ffff;
                    bytes.extend((0x9400_0000 | distance).to_le_bytes());
                }
                let pages = (word & !0xfff).wrapping_sub((text + bytes.len() as u32) & !0xfff) >> 12;
                bytes.extend((0x9000_0000 | (pages & 3) << 29 | (pages >> 2 & 0x7_ffff) << 5).to_le_bytes());
                bytes.extend((0x9100_0000 | (word & 0xfff) << 10).to_le_bytes());
                bytes.extend((0x5280_0001 | (number & 0xffff) << 5).to_le_bytes());
                bytes.extend(0xd65f_03c0_u32.to_le_bytes());
            }
        }
    }
    pad(machine, &mut bytes, end - text);
    bytes
}

fn pad(machine: Machine, bytes: &mut Vec<u8>, length: u32) {
    while (bytes.len() as u32) < length {
        match machine {
            Machine::X86 => bytes.push(0x90),
            Machine::Arm64 => bytes.extend(0xd503_201f_u32.to_le_bytes()),
        }
    }
}
