//! What a program says about the system it needs: read from its ELF headers, never guessed from its name.
//!
//! Two facts are wanted: the processor, and the oldest C library that has every symbol version it asks for. The dynamic
//! linker reads the same tables before it starts the program, found through the program headers (sections may be
//! stripped). Every offset comes from the file, so every read is bounded and nothing is allocated by its numbers.

use std::io::{Read, Seek, SeekFrom};

/// What one ELF file needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// The processor it is for.
    pub machine: Machine,
    /// The oldest GNU C library it runs with; `None` when it asks for no versioned symbol of one.
    pub glibc: Option<GlibcVersion>,
}

/// The processor of an ELF file: `e_machine` and the width of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// The number of the ELF specification, for example 62 for x86-64.
    pub number: u16,
    /// 32 or 64.
    pub bits: u8,
}

/// A version of the GNU C library, for example 2.31.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GlibcVersion {
    /// 2 since 1997.
    pub major: u32,
    /// Twice a year one more.
    pub minor: u32,
}

impl std::fmt::Display for GlibcVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match ARCHITECTURES.iter().find(|(_, number, bits)| (*number, *bits) == (self.number, self.bits)) {
            Some((name, ..)) => f.write_str(name),
            None => write!(f, "processor {} with {} bits", self.number, self.bits),
        }
    }
}

impl Machine {
    /// Tells whether a triple is for this processor; `None` when its first part is not known here.
    #[must_use]
    pub fn matches(self, triple: &str) -> Option<bool> {
        let arch = triple.split('-').next().unwrap_or_default();
        // x32 has x86-64 instructions in a 32-bit file.
        if triple.ends_with("gnux32") {
            return Some(self.number == 62 && self.bits == 32);
        }
        let (_, number, bits) = ARCHITECTURES.iter().find(|(name, ..)| {
            arch == *name || PREFIXED.contains(name) && arch.starts_with(name) && !arch.starts_with("arm64")
        })?;
        Some((self.number, self.bits) == (*number, *bits))
    }
}

/// Reads an ELF file; `None` when it is none.
/// # Errors
/// [`ElfError::Read`] when the file cannot be read; [`ElfError::Damaged`] when it begins as ELF and its tables lead
/// nowhere.
pub fn read(file: &mut (impl Read + Seek)) -> Result<Option<Elf>, ElfError> {
    let mut magic = [0; 4];
    if !fill(file, 0, &mut magic)? || magic != *b"\x7fELF" {
        return Ok(None);
    }
    let file = File::open(file)?;
    file.read().map(Some)
}

/// An ELF file whose first 20 bytes were read.
struct File<'a, R> {
    inner: &'a mut R,
    wide: bool,
    big_endian: bool,
    machine: Machine,
}

/// A part of the file that is loaded: where it lies in memory, in the file, and how long it is.
struct Segment {
    address: u64,
    offset: u64,
    length: u64,
}

/// What the dynamic section says about version needs. Addresses, as everything in it.
#[derive(Default)]
struct Dynamic {
    strings: Option<u64>,
    needs: Option<u64>,
    count: u64,
}

impl<'a, R: Read + Seek> File<'a, R> {
    fn open(inner: &'a mut R) -> Result<Self, ElfError> {
        let mut ident = [0; 20];
        if !fill(inner, 0, &mut ident)? {
            return Err(ElfError::Damaged { what: "the file header is cut short" });
        }
        let wide = match ident[4] {
            1 => false,
            2 => true,
            _ => {
                return Err(ElfError::Damaged { what: "its class is neither 32 nor 64 bits" });
            }
        };
        let big_endian = match ident[5] {
            1 => false,
            2 => true,
            _ => {
                return Err(ElfError::Damaged { what: "its byte order is unknown" });
            }
        };
        let number = [ident[18], ident[19]];
        let number = if big_endian { u16::from_be_bytes(number) } else { u16::from_le_bytes(number) };
        let machine = Machine { number, bits: if wide { 64 } else { 32 } };
        Ok(Self { inner, wide, big_endian, machine })
    }

    fn read(mut self) -> Result<Elf, ElfError> {
        let (segments, dynamic) = self.program_headers()?;
        let glibc = match dynamic {
            Some(section) => {
                let dynamic = self.dynamic(section.offset, section.length)?;
                self.glibc(&segments, &dynamic)?
            }
            // A static program has no dynamic section and needs no C library of the system.
            None => None,
        };
        Ok(Elf { machine: self.machine, glibc })
    }

    /// Returns the loaded segments, and the dynamic section when there is one.
    fn program_headers(&mut self) -> Result<(Vec<Segment>, Option<Segment>), ElfError> {
        let (table, sizes) = if self.wide { (32, 54) } else { (28, 42) };
        let table = self.word(table)?;
        let size = u64::from(self.u16(sizes)?);
        let count = u64::from(self.u16(sizes + 2)?);
        let mut segments = Vec::new();
        let mut dynamic = None;
        for index in 0..count {
            let at = at(table, index * size)?;
            let kind = self.u32(at)?;
            // offset, virtual address, length in the file
            let fields = if self.wide { [8, 16, 32] } else { [4, 8, 16] };
            let [offset, address, length] = fields.map(|field| at.saturating_add(field));
            let (offset, address, length) = (self.word(offset)?, self.word(address)?, self.word(length)?);
            match kind {
                PT_LOAD => segments.push(Segment { address, offset, length }),
                PT_DYNAMIC => dynamic = Some(Segment { address, offset, length }),
                _ => {}
            }
        }
        Ok((segments, dynamic))
    }

    fn dynamic(&mut self, offset: u64, length: u64) -> Result<Dynamic, ElfError> {
        let width = if self.wide { 8 } else { 4 };
        let mut found = Dynamic::default();
        for index in 0..(length / (2 * width)).min(MAX_TABLE) {
            let at = at(offset, index * 2 * width)?;
            let (tag, value) = (self.word(at)?, self.word(at.saturating_add(width))?);
            match tag {
                DT_NULL => break,
                DT_STRTAB => found.strings = Some(value),
                DT_VERNEED => found.needs = Some(value),
                DT_VERNEEDNUM => found.count = value,
                _ => {}
            }
        }
        Ok(found)
    }

    /// Walks the version needs: for each library a list of version names.
    fn glibc(&mut self, segments: &[Segment], dynamic: &Dynamic) -> Result<Option<GlibcVersion>, ElfError> {
        let (Some(strings), Some(needs)) = (dynamic.strings, dynamic.needs) else {
            return Ok(None);
        };
        let offset_of = |address: u64| {
            let segment = segments.iter().find(|s| address >= s.address && address - s.address < s.length);
            let segment = segment.ok_or(ElfError::Damaged { what: "its version needs are not loaded" })?;
            at(segment.offset, address - segment.address)
        };
        let (strings, mut need) = (offset_of(strings)?, offset_of(needs)?);
        let mut newest = None;
        let mut steps = 0;
        for _ in 0..dynamic.count.min(MAX_TABLE) {
            let names = self.u16(at(need, 2)?)?;
            let mut name = at(need, u64::from(self.u32(at(need, 8)?)?))?;
            for _ in 0..names {
                steps += 1;
                if steps > MAX_TABLE {
                    return Err(ElfError::Damaged { what: "its version needs have no end" });
                }
                let text = at(strings, u64::from(self.u32(at(name, 8)?)?))?;
                newest = newest.max(self.glibc_name(text)?);
                match self.u32(at(name, 12)?)? {
                    0 => break,
                    next => name = at(name, u64::from(next))?,
                }
            }
            match self.u32(at(need, 12)?)? {
                0 => break,
                next => need = at(need, u64::from(next))?,
            }
        }
        Ok(newest)
    }

    /// Reads a version name; `None` for those of other libraries.
    fn glibc_name(&mut self, offset: u64) -> Result<Option<GlibcVersion>, ElfError> {
        let mut bytes = [0; MAX_NAME];
        let mut length = 0;
        while length < MAX_NAME {
            let mut byte = [0];
            if !fill(self.inner, at(offset, length as u64)?, &mut byte)? {
                return Err(ElfError::Damaged { what: "a version name lies outside the file" });
            }
            if byte[0] == 0 {
                break;
            }
            bytes[length] = byte[0];
            length += 1;
        }
        Ok(parse_glibc(&bytes[..length]))
    }

    /// Reads a number as wide as an address.
    fn word(&mut self, offset: u64) -> Result<u64, ElfError> {
        if self.wide {
            self.bytes(offset).map(|b| if self.big_endian { u64::from_be_bytes(b) } else { u64::from_le_bytes(b) })
        } else {
            self.u32(offset).map(u64::from)
        }
    }

    fn u32(&mut self, offset: u64) -> Result<u32, ElfError> {
        let bytes = self.bytes(offset)?;
        Ok(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn u16(&mut self, offset: u64) -> Result<u16, ElfError> {
        let bytes = self.bytes(offset)?;
        Ok(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn bytes<const N: usize>(&mut self, offset: u64) -> Result<[u8; N], ElfError> {
        let mut bytes = [0; N];
        match fill(self.inner, offset, &mut bytes)? {
            true => Ok(bytes),
            false => Err(ElfError::Damaged { what: "a table lies outside the file" }),
        }
    }
}

/// Adds an offset of the file to another one.
fn at(base: u64, offset: u64) -> Result<u64, ElfError> {
    base.checked_add(offset).ok_or(ElfError::Damaged { what: "an offset is beyond every file" })
}

/// Reads exactly `buffer` from `offset`; `false` when the file ends before.
fn fill(file: &mut (impl Read + Seek), offset: u64, buffer: &mut [u8]) -> Result<bool, ElfError> {
    // The system takes signed offsets; no file reaches beyond.
    if i64::try_from(offset).is_err() {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(offset)).map_err(|source| ElfError::Read { source })?;
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(source) => Err(ElfError::Read { source }),
    }
}

/// Reads `GLIBC_2.31`, `GLIBC_2.2.5`, and the marker of a feature that one version introduced.
fn parse_glibc(name: &[u8]) -> Option<GlibcVersion> {
    let name = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?;
    // Relative relocations in compressed form: the linker of 2.36 is the first that reads them.
    if name == "ABI_DT_RELR" {
        return Some(GlibcVersion { major: 2, minor: 36 });
    }
    let mut parts = name.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    Some(GlibcVersion { major, minor })
}

/// Why a file that begins as ELF was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// The file could not be read.
    #[error("cannot read it")]
    Read {
        /// What the system said.
        source: std::io::Error,
    },
    /// A header or table leads nowhere.
    #[error("it is a damaged ELF file: {what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
}

/// First part of a triple, `e_machine`, width. The name that stands first is the one shown for a machine.
const ARCHITECTURES: &[(&str, u16, u8)] = &[
    ("x86_64", 62, 64),
    ("i686", 3, 32),
    ("i586", 3, 32),
    ("aarch64", 183, 64),
    ("arm", 40, 32),
    ("thumb", 40, 32),
    ("riscv64", 243, 64),
    ("riscv32", 243, 32),
    ("powerpc64", 21, 64),
    ("powerpc", 20, 32),
    ("s390x", 22, 64),
    ("loongarch64", 258, 64),
    ("mips64", 8, 64),
    ("mips", 8, 32),
    ("sparc64", 43, 64),
];
/// Architectures whose triples carry a variant after the name (`armv7`, `thumbv8m`, `riscv64gc`, `mipsel`).
const PREFIXED: &[&str] = &["arm", "thumb", "riscv64", "riscv32", "powerpc64", "powerpc", "mips64", "mips"];
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const DT_NULL: u64 = 0;
const DT_STRTAB: u64 = 5;
const DT_VERNEED: u64 = 0x6fff_fffe;
const DT_VERNEEDNUM: u64 = 0x6fff_ffff;
/// The most entries that are walked in one table: 4,096. A large program has about 40 dynamic entries and 60 versions.
const MAX_TABLE: u64 = 4096;
/// The most bytes of a version name: 64. The longest of glibc has 17.
const MAX_NAME: usize = 64;

#[cfg(test)]
mod tests;
