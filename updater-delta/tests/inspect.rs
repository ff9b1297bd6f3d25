//! What a delta says of itself.
#![cfg(feature = "encode")]

use updater_delta::{Codec, DiffOptions, diff, inspect};

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
