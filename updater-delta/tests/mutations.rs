//! Programs of each format that were linked again, moved, cut off and damaged: their deltas are always right, and never slow.
//!
//!     UPDATER_SEED=1 UPDATER_CASES=5000 cargo test --release -p updater-delta --features encode --test mutations

mod programs;

use programs::{Machine, Pointers, Shape, fat, go, linked, macho, pe};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::time::{Duration, Instant};
use updater_delta::{ApplyLimits, Codec, DiffOptions, Header, apply, diff, inspect};

/// A format, how a program of it is linked, and what its deltas must tell apart.
type Format = (&'static str, fn(Shape) -> Vec<u8>, &'static [&'static str]);

const FORMATS: [Format; 9] = [
    ("ELF x86-64", elf, &["X86", "Pointers", "Rela", "EhFrame", "EhFrameHdr"]),
    ("ELF of Go", go, &["X86", "GoFunctions"]),
    ("PE x86-64", |shape| pe(Machine::X86, shape), &["X86", "Image", "Functions", "BaseRelocations"]),
    ("PE AArch64", |shape| pe(Machine::Arm64, shape), &["Arm64", "Image", "FunctionsArm64", "BaseRelocations"]),
    ("Mach-O x86-64", |shape| macho(Machine::X86, shape, Pointers::Plain), &["X86", "Words", "Names", "PageHashes"]),
    ("Mach-O arm64", |shape| macho(Machine::Arm64, shape, Pointers::Offsets), &["Arm64", "Chained", "Unwind"]),
    ("Mach-O arm64, addresses", |shape| macho(Machine::Arm64, shape, Pointers::Addresses), &["ChainedAddresses"]),
    ("Mach-O x86-64, chained", |shape| macho(Machine::X86, shape, Pointers::Offsets), &["X86", "Chained"]),
    ("fat Mach-O", both, &["X86", "Arm64", "Words", "Chained", "PageHashes"]),
];

fn elf(shape: Shape) -> Vec<u8> {
    linked(shape.functions, shape.at, shape.grow)
}

fn both(shape: Shape) -> Vec<u8> {
    fat(&[macho(Machine::X86, shape, Pointers::Plain), macho(Machine::Arm64, shape, Pointers::Offsets)])
}

#[test]
fn what_moved_is_understood_in_every_format() {
    for (format, link, kinds) in FORMATS {
        let old = link(Shape { functions: 3000, ..Shape::default() });
        let new = link(Shape { functions: 3000, at: 900, grow: 64, moved: 0x3000 });
        let length = round_trip(format, &old, &new);
        // Some 15,000 references change per program, as do all tables: what is understood costs nearly nothing.
        assert!(length < 4000, "{format}: {length} bytes");
        let delta = diff(&old, &new, &options()).unwrap();
        let inspection = inspect(delta.bytes()).unwrap();
        for kind in kinds {
            assert!(inspection.regions.iter().any(|region| region.kind == *kind), "{format}: no {kind}");
        }
    }
}

#[test]
fn mutated_programs_of_every_format_round_trip_within_bounds() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number("UPDATER_SEED").unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
    });
    let cases = number("UPDATER_CASES").unwrap_or(6);
    println!("UPDATER_SEED={seed}");
    let mut random = Random(seed | 1);
    for case in 0..cases {
        for (format, link, _) in FORMATS {
            let functions = 40 + random.below(200);
            let mut shape = |functions| Shape {
                functions,
                at: random.below(functions),
                grow: random.below(300),
                moved: random.below(3) * 0x1000,
            };
            let (mut old, mut new) = (link(shape(functions)), link(shape(functions + case as u32 % 3)));
            for file in [&mut old, &mut new] {
                mutate(file, &mut random);
            }
            round_trip(&format!("{format}, case {case} of seed {seed}"), &old, &new);
        }
    }
}

/// Writes what fuzzing of the parsers, of the round trip and of applying starts from: `cargo test -p updater-delta --features encode --test mutations -- --ignored`
#[test]
#[ignore = "writes into fuzz/seeds"]
fn write_the_seeds_of_the_parsers() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    for (format, link, _) in FORMATS {
        let target = match format.split(' ').next() {
            Some("ELF") => "delta_elf",
            Some("PE") => "delta_pe",
            _ => "delta_macho",
        };
        let old = link(Shape { functions: 9, ..Shape::default() });
        let new = link(Shape { functions: 10, at: 4, grow: 32, moved: 0 });
        let length = |file: &[u8]| (file.len() as u32).to_le_bytes();
        // The length of old, then both.
        let both = [&length(&old), &old[..], &new].concat();
        // Both lengths, old, and what follows the header of a delta.
        let delta = diff(&old, &new, &options()).unwrap();
        let body = [&length(&old), &length(&new), &old[..], &delta.bytes()[Header::LENGTH..]].concat();
        for (target, seed) in [(target, &both), ("delta_round_trip", &both), ("delta_apply", &body)] {
            std::fs::create_dir_all(folder.join(target)).unwrap();
            std::fs::write(folder.join(target).join(format.replace([' ', ','], "-")), seed).unwrap();
        }
    }
}

/// Damages a file as a bad disk, a bad download or a bad tool does.
fn mutate(file: &mut Vec<u8>, random: &mut Random) {
    let length = file.len() as u32;
    match random.below(6) {
        0 => file.truncate(random.below(length) as usize),
        1 => (0..random.below(20)).for_each(|_| file[random.below(length) as usize] = random.below(256) as u8),
        // Headers and load commands, where one byte decides on much.
        2 => (0..1 + random.below(4))
            .for_each(|_| file[random.below(length.min(700)) as usize] = random.below(256) as u8),
        // The ends of tables: numbers that are much too large.
        3 => {
            let at = random.below(length.min(700) / 4) as usize * 4;
            file[at..at + 4].copy_from_slice(&[0xff, 0xff, [0, 0x7f, 0xff][random.below(3) as usize], 0x7f]);
        }
        4 => {
            let at = length as usize - 1 - random.below(length.min(2000)) as usize;
            file[at] ^= 1 << random.below(8);
        }
        _ => {}
    }
}

fn options() -> DiffOptions<'static> {
    DiffOptions { codecs: &[Codec::Refs1], ..DiffOptions::default() }
}

/// Makes a delta, applies it and holds the work against its bounds; returns the delta's length.
fn round_trip(what: &str, old: &[u8], new: &[u8]) -> usize {
    let began = Instant::now();
    let delta = diff(old, new, &options()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(began.elapsed() < MOST_TIME, "{what}: {:?} to make", began.elapsed());
    let mut counted = Counted { inner: Cursor::new(old), read: 0 };
    let mut made = Vec::new();
    let limits = ApplyLimits::exactly(new.len() as u64).memory(MOST_MEMORY);
    apply(Codec::Refs1, &mut counted, delta.bytes(), &mut made, &limits)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(made == new, "{what}: the result differs");
    let allowed = (old.len() as u64 + new.len() as u64) * MOST_READ + (1 << 20);
    assert!(counted.read <= allowed, "{what}: {} bytes of old were read, {allowed} are allowed", counted.read);
    delta.bytes().len() - Header::LENGTH
}

/// A file that counts what is read of it.
struct Counted<'a> {
    inner: Cursor<&'a [u8]>,
    read: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read += count as u64;
        Ok(count)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// A small generator, so that a seed is all that a case is made from.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (((self.0 >> 32) * u64::from(end.max(1))) >> 32) as u32
    }
}

/// How often each byte of both files may be read of old on average, beside 1 MiB: once for its digest, once or twice for references,
/// once for matches, and a page of 4 KiB for what is asked for far apart.
const MOST_READ: u64 = 16;
/// Memory for applying a delta, in bytes: what plain data may take at most, for which damaged programs are taken.
const MOST_MEMORY: u64 = 45 << 20;
/// Time to make a delta between files of 100 kB: a hundred times what it takes here, so that a busy machine is no failure.
const MOST_TIME: Duration = Duration::from_secs(30);
