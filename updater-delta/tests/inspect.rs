//! What a delta says of itself.

#[path = "programs/elf.rs"]
mod programs;

use updater_delta::{ApplyError, Codec, DiffOptions, Header, diff, inspect, inspect_with};

#[test]
fn matches_are_told_by_ranges_of_the_new_file() {
    let old: Vec<u8> = (0..40_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let new = [&old[..30_000], &[7; 2000], &old[30_000..]].concat();
    let delta = diff(&old, &new, &DiffOptions::default()).unwrap();
    let inspection = inspect(delta.bytes()).unwrap();
    let (matches, covered) = inspection.within((0, new.len() as u64));
    assert_eq!((matches, covered), (inspection.matches, inspection.matched));
    let (_, inserted) = inspection.within((30_100, 1800));
    assert_eq!(inserted, 0, "the bytes in the middle come from nowhere");
    let (_, front) = inspection.within((0, 29_900));
    assert_eq!(front, 29_900);
}

#[test]
fn an_opened_delta_tells_of_the_one_inside() {
    let fixture =
        |name| std::fs::read(format!("{}/tests/fixtures/opened-1/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let delta = diff(&fixture("old.gz"), &fixture("new.gz"), &DiffOptions::default()).unwrap();
    let inspection = inspect(delta.bytes()).unwrap();
    assert_eq!(inspection.header.codec, Codec::Opened1);
    let inner = inspection.opened.unwrap();
    assert_eq!(inner.header.codec, Codec::Refs1);
    assert!(inner.header.new_length > inspection.header.new_length, "opened files are longer");
    assert!(inner.matched > inner.header.new_length * 9 / 10, "{inner:?}");
}

#[test]
fn with_the_old_file_every_byte_has_a_purpose() {
    let (old, new) = (programs::linked(4000, 0, 0), programs::linked(4000, 1200, 64));
    let delta = diff(&old, &new, &DiffOptions::default()).unwrap();
    let inspection = inspect_with(&old, delta.bytes()).unwrap();
    assert_eq!(inspection.reading, Some(delta.reading()));
    let costs = inspection.costs.unwrap();
    assert_eq!(costs.streams, delta.streams(), "reading costs what writing cost");
    let whole: u64 = costs.streams.iter().map(|stream| stream.1).sum();
    // Blocks begin with a state of eight bytes, and figures are rounded down.
    let length = (delta.bytes().len() - Header::LENGTH) as u64;
    assert!(whole <= length && length < whole + 100, "{whole} of {length}");
    let parts: u64 = costs.regions.iter().chain([&costs.elsewhere]).map(|cost| cost.bytes).sum();
    assert!(parts < whole, "{parts} of {whole}");
    assert!(costs.regions.iter().map(|cost| cost.hits).sum::<u64>() > 1000, "{costs:?}");
    assert!(matches!(inspect_with(&new, delta.bytes()), Err(ApplyError::OldLength { .. })));
    let mut other = old;
    other[0] ^= 1;
    assert!(matches!(inspect_with(&other, delta.bytes()), Err(ApplyError::OldDigest { .. })));
}

#[test]
fn the_program_tells_people_and_programs() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let [old, new, patch] = ["inspect.old", "inspect.new", "inspect.delta"].map(|name| folder.join(name));
    std::fs::write(&old, vec![7; 9000]).unwrap();
    std::fs::write(&new, vec![7; 9001]).unwrap();
    let run = |arguments: &[&std::ffi::OsStr]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_updater-delta")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let [old, new, patch] = [&old, &new, &patch].map(|path| path.as_os_str());
    assert_eq!(run(&["diff".as_ref(), old, new, patch]).0, Some(0));
    let (code, text) = run(&["inspect".as_ref(), patch, old]);
    assert_eq!(code, Some(0));
    assert!(text.contains("read as          data") && text.contains("inserted data"), "{text}");
    let json = "--message-format".as_ref();
    let (code, line) = run(&["inspect".as_ref(), json, "json".as_ref(), patch, old]);
    assert_eq!(code, Some(0));
    assert_eq!(run(&["inspect".as_ref(), patch, old, json, "json".as_ref()]).1, line);
    assert!(line.starts_with(r#"{"codec":"refs-1","length":"#) && line.contains(r#""new":{"length":9001,"#), "{line}");
    assert!(line.contains(r#"{"section":"elsewhere","matches":1,"#) && line.ends_with("]}\n"), "{line}");
    assert_eq!(run(&["inspect".as_ref(), json, "xml".as_ref(), patch]).0, Some(2));
}
