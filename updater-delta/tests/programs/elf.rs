//! An ELF program for x86-64: code, pointers, relocations, call frames and their table.

/// A program as a linker would make it: 64-bit ELF with code, pointers, relocations, call frames and their table.
///
/// Functions call each other and take addresses of constants; `grow` bytes are put in front of function `at`, so that all behind it
/// moves and every reference across that place changes.
pub(crate) fn linked(functions: u32, at: u32, grow: u32) -> Vec<u8> {
    const TEXT: u32 = 0x1000;
    let mut starts = Vec::new();
    let mut address = TEXT;
    for index in 0..functions {
        address += if index == at { grow } else { 0 };
        starts.push(address);
        address += 40 + (index * 7) % 48;
    }
    let text_end = address;
    let pointers = text_end.next_multiple_of(4096);
    let mut text = vec![0x90_u8; (text_end - TEXT) as usize];
    for (index, &start) in starts.iter().enumerate() {
        let index = index as u32;
        let end = starts.get(index as usize + 1).copied().unwrap_or(text_end);
        let mut code = vec![0x55, 0x48, 0x89, 0xe5];
        for call in 0..3 {
            // call to another function, then a load of a pointer's address
            let target = starts[((index * 31 + call * 17 + 5) % functions) as usize];
            code.push(0xe8);
            code.extend(target.wrapping_sub(start + code.len() as u32 + 4).to_le_bytes());
        }
        code.extend([0x48, 0x8d, 0x05]);
        code.extend((pointers + index % functions * 8).wrapping_sub(start + code.len() as u32 + 4).to_le_bytes());
        code.extend([0xb8, (index * 73) as u8, (index >> 3) as u8, 0, 0, 0x5d, 0xc3]);
        assert!(code.len() <= (end - start) as usize);
        let from = (start - TEXT) as usize;
        text[from..from + code.len()].copy_from_slice(&code);
    }
    let data: Vec<u8> = starts.iter().flat_map(|&start| u64::from(start).to_le_bytes()).collect();
    let relocations: Vec<u8> = starts
        .iter()
        .enumerate()
        .flat_map(|(index, &start)| [u64::from(pointers) + index as u64 * 8, 8, u64::from(start)])
        .flat_map(u64::to_le_bytes)
        .collect();
    let rela = (pointers + data.len() as u32).next_multiple_of(8);
    let table = rela + relocations.len() as u32;
    let frame_start = table + 12 + functions * 8;
    let mut frames = vec![20, 0, 0, 0, 0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b, 12, 7, 8, 0x90, 1, 0, 0];
    let mut entries = Vec::new();
    for &start in &starts {
        let here = frames.len() as u32;
        entries.push((start.wrapping_sub(table) as i32, (frame_start + here).wrapping_sub(table) as i32));
        frames.extend(16_u32.to_le_bytes());
        frames.extend((here + 4).to_le_bytes());
        frames.extend(start.wrapping_sub(frame_start + here + 8).to_le_bytes());
        frames.extend(32_u32.to_le_bytes());
        frames.extend([0, 0x0c, 7, 8]);
    }
    entries.sort_unstable();
    let mut header = vec![1, 0x1b, 3, 0x3b];
    header.extend((frame_start.wrapping_sub(table + 4)).to_le_bytes());
    header.extend(functions.to_le_bytes());
    header
        .extend(entries.iter().flat_map(|&(function, frame)| [function.to_le_bytes(), frame.to_le_bytes()]).flatten());
    let names = b"\0.text\0.data.rel.ro\0.rela.dyn\0.eh_frame_hdr\0.eh_frame\0.shstrtab\0";
    let sections: [(u32, u32, u64, u32, &[u8]); 6] = [
        (1, 1, 6, TEXT, &text),
        (7, 1, 3, pointers, &data),
        (20, 4, 2, rela, &relocations),
        (30, 1, 2, table, &header),
        (44, 1, 2, frame_start, &frames),
        (54, 3, 0, 0, names),
    ];
    let mut file = vec![0_u8; TEXT as usize];
    let mut placed = Vec::new();
    for (name, kind, flags, address, bytes) in sections {
        let offset = if address == 0 { file.len() } else { address as usize };
        file.resize(offset, 0);
        file.extend_from_slice(bytes);
        placed.push((name, kind, flags, u64::from(address), offset as u64, bytes.len() as u64));
    }
    file.resize(file.len().next_multiple_of(8), 0);
    let start = file.len() as u64;
    file.extend([0; 64]);
    for (name, kind, flags, address, offset, size) in placed {
        file.extend(name.to_le_bytes());
        file.extend(kind.to_le_bytes());
        for word in [flags, address, offset, size, 0, 8, 0] {
            file.extend(word.to_le_bytes());
        }
    }
    file[..20].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 62, 0]);
    file[40..48].copy_from_slice(&start.to_le_bytes());
    file[58..64].copy_from_slice(&[64, 0, 7, 0, 6, 0]);
    file
}
