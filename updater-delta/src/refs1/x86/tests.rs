//! The length decoder against iced-x86, and against itself.

use super::{MAX_LENGTH, Shape, shape};
use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind};

/// What the oracle says: `None` for what is no instruction.
fn oracle(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut decoder = Decoder::with_ip(64, bytes, 0x1000, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    decoder.decode_out(&mut instruction);
    if instruction.is_invalid() {
        return None;
    }
    let offsets = decoder.get_constant_offsets(&instruction);
    let branch = instruction.op_count() > 0 && instruction.op0_kind() == OpKind::NearBranch64;
    let field = if instruction.is_ip_rel_memory_operand() && instruction.memory_base() == iced_x86::Register::RIP {
        offsets.displacement_offset()
    } else if branch && offsets.immediate_size() == 4 {
        offsets.immediate_offset()
    } else {
        0
    };
    Some((instruction.len(), field))
}

#[test]
fn agrees_with_the_oracle_on_real_code() {
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let word = |at: usize| u64::from_le_bytes(program[at..at + 8].try_into().unwrap());
    let half = |at: usize| usize::from(u16::from_le_bytes([program[at], program[at + 1]]));
    let (table, count) = (word(40) as usize, half(60));
    let (mut seen, mut wrong) = (0, 0);
    for header in (0..count).map(|index| table + index * 64) {
        // Executable sections with contents.
        if word(header + 8) & 4 == 0 || program[header + 4] != 1 {
            continue;
        }
        let code = &program[word(header + 24) as usize..][..word(header + 32) as usize];
        let mut at = 0;
        while at + MAX_LENGTH <= code.len() {
            let ours = shape(&code[at..at + MAX_LENGTH]).unwrap();
            let theirs = oracle(&code[at..at + MAX_LENGTH]);
            seen += 1;
            if let Some((length, field)) = theirs {
                wrong += usize::from((length, field) != (usize::from(ours.length), usize::from(ours.field)));
                at += length;
            } else {
                at += 1;
            }
        }
    }
    assert!(seen > 50_000, "{seen}");
    // What differs is data between functions.
    assert!(wrong * 10_000 < seen, "{wrong} of {seen}");
}

#[test]
fn agrees_with_the_oracle_on_most_noise() {
    let mut state = 12_345_u64;
    let (mut valid, mut wrong) = (0, Vec::new());
    for _ in 0..400_000 {
        let mut bytes = [0; MAX_LENGTH];
        for byte in &mut bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
        let ours = shape(&bytes).unwrap();
        if let Some((length, field)) = oracle(&bytes) {
            valid += 1;
            if (length, field) != (usize::from(ours.length), usize::from(ours.field)) {
                wrong.push(bytes);
            }
        }
    }
    // Opcodes that only some processors have may be cut differently: they cost bytes, not correctness.
    assert!(wrong.len() * 200 < valid, "{} of {valid}: {:02x?}", wrong.len(), &wrong[..wrong.len().min(5)]);
}

#[test]
fn looks_at_nothing_behind_the_start_of_the_field() {
    let mut state = 1_u64;
    for _ in 0..200_000 {
        let mut bytes = [0; 2 * MAX_LENGTH];
        for byte in &mut bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
        let whole = shape(&bytes).unwrap();
        if whole.field != 0 {
            assert_eq!(shape(&bytes[..usize::from(whole.field)]), Some(whole));
            assert!(whole.length >= whole.field + 4);
        }
    }
}

#[test]
fn the_short_way_agrees_with_the_long_one() {
    let mut state = 7_u64;
    let mut known = 0;
    for _ in 0..400_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut bytes = [0; MAX_LENGTH];
        bytes[..8].copy_from_slice(&(state ^ state >> 29).to_le_bytes());
        match state >> 61 {
            0..4 => bytes[0] = 0x40 | bytes[0] & 15,
            4 => bytes[0] = [0x66, 0xf2, 0xf3][bytes[0] as usize % 3],
            _ => {}
        }
        known += usize::from(super::common(u64::from_le_bytes(*bytes.first_chunk().unwrap())) != 0);
        let whole = super::any(&bytes).unwrap_or(super::INVALID);
        assert_eq!(shape(&bytes), Some(whole), "{bytes:02x?}");
        assert_eq!(super::step(&bytes, 0), (usize::from(whole.length), whole.field != 0), "{bytes:02x?}");
    }
    assert!(known > 100_000, "{known}");
}

#[test]
fn known_shapes() {
    let of = |bytes: &[u8]| shape(bytes).unwrap();
    assert_eq!(of(&[0xe8, 0, 0, 0, 0]), Shape { length: 5, field: 1, lea: false });
    assert_eq!(of(&[0x48, 0x8d, 0x05, 0, 0, 0, 0]), Shape { length: 7, field: 3, lea: true });
    assert_eq!(of(&[0x0f, 0x84, 0, 0, 0, 0]), Shape { length: 6, field: 2, lea: false });
    assert_eq!(of(&[0x80, 0x3d, 0, 0, 0, 0, 1]), Shape { length: 7, field: 2, lea: false });
    assert_eq!(of(&[0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0]), Shape { length: 10, field: 0, lea: false });
    assert_eq!(of(&[0xc5, 0xf8, 0x77]), Shape { length: 3, field: 0, lea: false });
    assert_eq!(of(&[0x06]), Shape { length: 1, field: 0, lea: false });
    // Prefixes without end, in front of what would need three bytes more.
    assert_eq!(of(&[0x66; MAX_LENGTH]), super::INVALID);
    assert_eq!(of(b"\x40\x40\x40\x40\x46ffffffff\x40\xc4\x40\x40\x32"), super::INVALID);
    assert_eq!(shape(&[]), None);
    assert_eq!(shape(&[0x48]), None);
}
