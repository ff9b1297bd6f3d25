//! How the contents of a block are written: as literals and repetitions, with which codes.

use super::bits::{BitReader, BitWriter};
use super::huffman::{self, DISTANCES, END, Head, LENGTHS, LITERALS, ORDER};
use super::leb128;
use super::stream::{Fault, MAX_BLOCK, MAX_REPETITIONS, WINDOW};

/// A repetition: literals before it, its length, its distance less one.
#[derive(Debug, Clone, Copy)]
struct Repetition {
    run: u32,
    length: u16,
    back: u16,
}

/// How the contents of a block are written.
#[derive(Debug, Default)]
pub(super) struct Parse {
    repetitions: Vec<Repetition>,
    /// Literals behind the last one.
    run: u32,
    /// Bytes of contents.
    pub(super) length: usize,
}

impl Parse {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        leb128::put(out, self.repetitions.len() as u64);
        for repetition in &self.repetitions {
            leb128::put(out, u64::from(repetition.run));
            out.push((repetition.length - 3) as u8);
            out.extend(repetition.back.to_le_bytes());
        }
        leb128::put(out, u64::from(self.run));
    }

    /// Reads a parse; the inner error is how many bytes are needed at least.
    pub(super) fn read(rest: &mut Rest<'_>) -> Result<Result<Self, usize>, Fault> {
        let Some(count) = rest.number()? else { return Ok(Err(rest.bytes.len() + 1)) };
        if count > MAX_REPETITIONS {
            return Err(Fault::TooLarge);
        }
        // Every repetition takes four bytes at least.
        if rest.bytes.len() - rest.at < count as usize * 4 + 1 {
            return Ok(Err(rest.at + count as usize * 4 + 1));
        }
        let mut parse = Self { repetitions: Vec::with_capacity(count as usize), run: 0, length: 0 };
        for left in (0..count as usize).rev() {
            let short = |rest: &Rest<'_>| Ok(Err(rest.bytes.len() + left * 4 + 1));
            let Some(run) = rest.number()? else { return short(rest) };
            let Some([length, low, high]) = rest.take() else { return short(rest) };
            let length = u16::from(length) + 3;
            parse.add(Repetition { run: run as u32, length, back: u16::from_le_bytes([low, high]) })?;
        }
        let Some(run) = rest.number()? else { return Ok(Err(rest.bytes.len() + 1)) };
        parse.run = run as u32;
        parse.length += run as usize;
        if parse.length > MAX_BLOCK { Err(Fault::TooLarge) } else { Ok(Ok(parse)) }
    }

    fn add(&mut self, repetition: Repetition) -> Result<(), Fault> {
        self.length += repetition.run as usize + usize::from(repetition.length);
        if self.length > MAX_BLOCK || repetition.back as usize >= WINDOW {
            return Err(Fault::TooLarge);
        }
        self.repetitions.push(repetition);
        Ok(())
    }

    /// Calls back for each run of literals, with the repetition behind it if there is one.
    fn each<'c>(&self, contents: &'c [u8], mut visit: impl FnMut(&'c [u8], Option<&Repetition>)) {
        let mut rest = contents;
        for repetition in &self.repetitions {
            let (run, behind) = rest.split_at_checked(repetition.run as usize).unwrap_or((rest, &[]));
            visit(run, Some(repetition));
            rest = behind.get(usize::from(repetition.length)..).unwrap_or_default();
        }
        visit(rest, None);
    }

    pub(super) fn usual_head(&self, contents: &[u8]) -> Head {
        let (mut literals, mut distances) = ([0; LITERALS], [0; DISTANCES]);
        literals[END] = 1;
        self.each(contents, |run, repetition| {
            run.iter().for_each(|&byte| literals[usize::from(byte)] += 1);
            if let Some(repetition) = repetition {
                literals[END + 1 + huffman::length_symbol(repetition.length)] += 1;
                distances[huffman::distance_symbol(u32::from(repetition.back) + 1)] += 1;
            }
        });
        huffman::usual_head(&literals, &distances)
    }

    /// Writes the head and the symbols.
    pub(super) fn encode(&self, contents: &[u8], head: Option<&Head>, output: &mut BitWriter) -> Result<(), Fault> {
        let fixed;
        let (literals, distances) = match head {
            Some(head) => {
                head.fields.iter().for_each(|&(value, length)| output.put(u32::from(value), u32::from(length)));
                (&head.literals, &head.distances)
            }
            None => {
                fixed = huffman::fixed();
                (&fixed.0, &fixed.1)
            }
        };
        let literals = Codes::new(literals)?;
        let distances = Codes::new(distances)?;
        let mut known = true;
        self.each(contents, |run, repetition| {
            run.iter().for_each(|&byte| known &= literals.put(byte.into(), output));
            if let Some(repetition) = repetition {
                let symbol = huffman::length_symbol(repetition.length);
                let (first, extra) = LENGTHS[symbol];
                known &= literals.put(END + 1 + symbol, output);
                output.put(u32::from(repetition.length - first), extra.into());
                let distance = u32::from(repetition.back) + 1;
                let symbol = huffman::distance_symbol(distance);
                let (first, extra) = huffman::distance_base(symbol);
                known &= distances.put(symbol, output);
                output.put(distance - first, extra);
            }
        });
        known &= literals.put(END, output);
        // A head that lacks a symbol that is used is no head of this block.
        if known { Ok(()) } else { Err(Fault::Unknown) }
    }
}

/// Codes with their lengths, for writing.
struct Codes<'l> {
    codes: Vec<u16>,
    lengths: &'l [u8],
}

impl<'l> Codes<'l> {
    fn new(lengths: &'l [u8]) -> Result<Self, Fault> {
        Ok(Self { codes: huffman::codes(lengths).ok_or(Fault::Unknown)?, lengths })
    }

    /// Writes a symbol; false if it has no code.
    fn put(&self, symbol: usize, output: &mut BitWriter) -> bool {
        let length = self.lengths.get(symbol).copied().unwrap_or(0);
        if length > 0 {
            output.put(u32::from(self.codes[symbol]), length.into());
        }
        length > 0
    }
}

/// A table that finds the symbol by the next bits.
struct Decoder {
    /// symbol << 4 | length, by as many bits as the longest code has; 0 where there is none.
    table: Vec<u16>,
    bits: u32,
}

impl Decoder {
    fn new(lengths: &[u8]) -> Result<Self, Fault> {
        let codes = huffman::codes(lengths).ok_or(Fault::Unknown)?;
        let bits = u32::from(lengths.iter().copied().max().unwrap_or(0)).max(1);
        let mut table = vec![0; 1 << bits];
        for (symbol, (&code, &length)) in codes.iter().zip(lengths).enumerate().filter(|(_, (_, length))| **length > 0)
        {
            for entry in table[usize::from(code)..].iter_mut().step_by(1 << length) {
                *entry = (symbol as u16) << 4 | u16::from(length);
            }
        }
        Ok(Self { table, bits })
    }

    fn read(&self, input: &mut BitReader<'_>) -> Result<usize, Fault> {
        let entry = self.table[input.peek(self.bits) as usize];
        input.skip(u32::from(entry & 15))?;
        if entry & 15 == 0 { Err(Fault::Unknown) } else { Ok(usize::from(entry >> 4)) }
    }
}

/// Reads the head of a block with its own codes (RFC 1951, 3.2.7).
pub(super) fn read_head(input: &mut BitReader<'_>) -> Result<Head, Fault> {
    let mut fields = Vec::new();
    let mut field = |input: &mut BitReader<'_>, bits: u32| {
        let value = input.take(bits)?;
        fields.push((value as u16, bits as u8));
        Ok(value as usize)
    };
    let (literals, distances, sent) = (field(input, 5)? + 257, field(input, 5)? + 1, field(input, 4)? + 4);
    if literals > LITERALS || distances > DISTANCES {
        return Err(Fault::Unknown);
    }
    let mut lengths = [0; ORDER.len()];
    for &symbol in &ORDER[..sent] {
        lengths[symbol] = field(input, 3)? as u8;
    }
    let codes = huffman::codes(&lengths).ok_or(Fault::Unknown)?;
    let decoder = Decoder::new(&lengths)?;
    let mut all: Vec<u8> = Vec::with_capacity(literals + distances);
    while all.len() < literals + distances {
        let symbol = decoder.read(input)?;
        fields.push((codes[symbol], lengths[symbol]));
        let mut extra = |bits: u32| {
            let value = input.take(bits)?;
            fields.push((value as u16, bits as u8));
            Ok(value as usize)
        };
        let (length, count) = match symbol {
            0..=15 => (symbol as u8, 1),
            16 => (*all.last().ok_or(Fault::Unknown)?, extra(2)? + 3),
            17 => (0, extra(3)? + 3),
            _ => (0, extra(7)? + 11),
        };
        all.extend(std::iter::repeat_n(length, count));
    }
    if all.len() != literals + distances {
        return Err(Fault::Unknown);
    }
    let distances = all.split_off(literals);
    Ok(Head { fields, literals: all, distances })
}

/// Reads the symbols of a block and appends what they say to `contents`.
pub(super) fn read_block(
    input: &mut BitReader<'_>,
    head: Option<&Head>,
    contents: &mut Vec<u8>,
    room: usize,
) -> Result<Parse, Fault> {
    let (literals, distances) = match head {
        Some(head) => (Decoder::new(&head.literals)?, Decoder::new(&head.distances)?),
        None => {
            let (literals, distances) = huffman::fixed();
            (Decoder::new(&literals)?, Decoder::new(&distances)?)
        }
    };
    let mut parse = Parse::default();
    loop {
        let symbol = literals.read(input)?;
        match symbol {
            0..END => {
                contents.push(symbol as u8);
                parse.run += 1;
                if parse.length + parse.run as usize > MAX_BLOCK.min(room) {
                    return Err(Fault::TooLarge);
                }
            }
            END => break,
            _ => {
                let (first, extra) = *LENGTHS.get(symbol - END - 1).ok_or(Fault::Unknown)?;
                let length = first + input.take(extra.into())? as u16;
                // 258 has a symbol of its own; written in another way it would not come out the same.
                if length > 258 || huffman::length_symbol(length) != symbol - END - 1 {
                    return Err(Fault::Unknown);
                }
                let (first, extra) = huffman::distance_base(distances.read(input)?);
                let distance = (first + input.take(extra)?) as usize;
                let from = contents.len().checked_sub(distance).ok_or(Fault::Unknown)?;
                for at in from..from + usize::from(length) {
                    contents.push(contents[at]);
                }
                let run = std::mem::take(&mut parse.run);
                parse.add(Repetition { run, length, back: (distance - 1) as u16 })?;
                if parse.repetitions.len() as u64 > MAX_REPETITIONS || parse.length > room {
                    return Err(Fault::TooLarge);
                }
            }
        }
    }
    parse.length += parse.run as usize;
    Ok(parse)
}

/// Bytes that are read from the front.
pub(super) struct Rest<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) at: usize,
}

impl<'b> Rest<'b> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let field = *self.bytes[self.at..].first_chunk::<N>()?;
        self.at += N;
        Some(field)
    }

    pub(super) fn slice(&mut self, length: usize) -> Option<&'b [u8]> {
        let slice = self.bytes[self.at..].get(..length)?;
        self.at += length;
        Some(slice)
    }

    /// Reads a number that fits a block; `None` if it goes on behind the end.
    fn number(&mut self) -> Result<Option<u64>, Fault> {
        match leb128::get(&self.bytes[self.at..]) {
            Some((value, used)) if value <= MAX_BLOCK as u64 => {
                self.at += used;
                Ok(Some(value))
            }
            Some(_) => Err(Fault::TooLarge),
            None if self.bytes.len() - self.at >= leb128::MOST => Err(Fault::Unknown),
            None => Ok(None),
        }
    }
}
