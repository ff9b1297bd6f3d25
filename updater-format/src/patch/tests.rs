use super::{
    MAGIC, Operation, PatchError, PatchExpectation, PatchHeader, PatchParts, PatchReader, PatchSource, pack_added,
    write_patch,
};
use crate::{
    AppId, EntryContent, FileMode, FilePath, FormatError, InstallKind, Manifest, ManifestEntry, ManifestParts,
    Platform, ReleaseVersion, Sha256,
};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
use std::io::Read as _;

fn manifest(files: &[(&str, &[u8])]) -> Manifest {
    let entry = |(path, content): &(&str, &[u8])| ManifestEntry {
        path: FilePath::parse(path).unwrap(),
        content: EntryContent::File {
            length: content.len() as u64,
            sha256: Sha256::of(content),
            mode: FileMode::Program,
        },
    };
    let link = ManifestEntry {
        path: FilePath::parse("bin/a-link").unwrap(),
        content: EntryContent::Link { target: "hello".to_owned() },
    };
    Manifest::new(ManifestParts {
        app: AppId::parse("hello").unwrap(),
        version: ReleaseVersion::parse("1.1.0").unwrap(),
        platform: Platform::parse("x86_64-unknown-linux-gnu").unwrap(),
        install: InstallKind::Directory,
        entry: FilePath::parse("bin/hello").unwrap(),
        keep_local: vec![],
        entries: files.iter().map(entry).chain([link]).collect(),
        component: None,
    })
    .unwrap()
}

fn source(path: &str, content: &[u8]) -> PatchSource {
    PatchSource { length: content.len() as u64, path: FilePath::parse(path).unwrap(), sha256: Sha256::of(content) }
}

/// Copies `bin/hello`, adds `new`, makes `share/data` from a delta of 5 bytes.
fn sample() -> (PatchParts, Vec<Vec<u8>>) {
    let manifest = manifest(&[("bin/hello", b"program"), ("new", b"added text"), ("share/data", b"new data")]);
    let added = pack_added(b"added text".as_slice(), Vec::new(), 6).unwrap();
    let delta = Operation::Delta { codec: "refs-1".to_owned(), packed: 5, source: 1 };
    let parts = PatchParts {
        from: ReleaseVersion::parse("1.0.0").unwrap(),
        manifest: manifest.encode(),
        sources: vec![source("bin/old-name", b"program"), source("share/data", b"old data")],
        operations: vec![Operation::Copy { source: 0 }, Operation::Add { packed: added.len() as u64 }, delta],
    };
    (parts, vec![vec![], added, b"delta".to_vec()])
}

fn write(parts: PatchParts, payloads: &[Vec<u8>]) -> Vec<u8> {
    let header = PatchHeader::new(parts).unwrap();
    write_patch(Vec::new(), &header, |at| Ok(payloads[at].as_slice())).unwrap()
}

fn expectation(parts: &PatchParts) -> PatchExpectation {
    PatchExpectation {
        app: AppId::parse("hello").unwrap(),
        platform: Platform::parse("x86_64-unknown-linux-gnu").unwrap(),
        from: parts.from.clone(),
        to: ReleaseVersion::parse("1.1.0").unwrap(),
        manifest: Sha256::of(&parts.manifest),
    }
}

/// Reads every payload to its end.
fn drain(patch: &[u8]) -> Result<Vec<Vec<u8>>, PatchError> {
    let mut reader = PatchReader::open_unchecked(patch)?;
    let mut payloads = Vec::new();
    while let Some(mut step) = reader.next_step()? {
        let mut payload = Vec::new();
        step.payload.read_to_end(&mut payload).map_err(|source| PatchError::Read { source })?;
        payloads.push(payload);
    }
    Ok(payloads)
}

#[test]
fn what_was_written_is_read_back() {
    let (parts, payloads) = sample();
    let patch = write(parts.clone(), &payloads);
    assert_eq!(patch[..8], MAGIC);
    let mut reader = PatchReader::open(patch.as_slice(), &expectation(&parts)).unwrap();
    assert_eq!(reader.header(), &PatchHeader::new(parts).unwrap());
    let copy = reader.next_step().unwrap().unwrap();
    assert_eq!((copy.entry.path.as_str(), copy.operation.sources()), ("bin/hello", &[0][..]));
    let add = reader.next_step().unwrap().unwrap();
    let mut made = Vec::new();
    add.unpack_to(&mut made).unwrap();
    assert_eq!(made, b"added text");
    let mut delta = reader.next_step().unwrap().unwrap();
    let mut payload = String::new();
    delta.payload.read_to_string(&mut payload).unwrap();
    assert_eq!(payload, "delta");
    assert!(reader.next_step().unwrap().is_none());
}

/// `new` and `share/data` come out of one delta of 5 bytes, `bin/hello` is copied.
fn joint() -> (PatchParts, Vec<Vec<u8>>) {
    let (mut parts, _) = sample();
    parts.operations[1] = Operation::Joint { codec: "refs-1".to_owned(), packed: 5, sources: vec![0, 1] };
    parts.operations[2] = Operation::Part;
    (parts, vec![vec![], b"delta".to_vec(), vec![]])
}

#[test]
fn several_files_of_one_delta_are_written_and_read_back() {
    let (parts, payloads) = joint();
    let patch = write(parts.clone(), &payloads);
    let reader = PatchReader::open(patch.as_slice(), &expectation(&parts)).unwrap();
    assert_eq!(reader.header().operations(), parts.operations);
    assert_eq!(reader.header().joint_length(), "added text".len() as u64 + "new data".len() as u64);
    assert_eq!(drain(&patch).unwrap(), payloads);
}

#[test]
fn joint_files_that_no_delta_or_two_or_too_large_ones_make_are_refused() {
    let refuse = |change: &dyn Fn(&mut PatchParts)| {
        let (mut parts, _) = joint();
        change(&mut parts);
        PatchHeader::new(parts).unwrap_err().to_string()
    };
    let delta =
        |sources: &[usize]| Operation::Joint { codec: "refs-1".to_owned(), packed: 1, sources: sources.to_vec() };
    let first = refuse(&|parts| parts.operations[1] = Operation::Part);
    assert!(first.ends_with("no delta makes the first of the joint files"), "{first}");
    let second = refuse(&|parts| parts.operations[2] = delta(&[0]));
    assert!(second.ends_with("two deltas make joint files"), "{second}");
    let unsorted = refuse(&|parts| parts.operations[1] = delta(&[1, 0]));
    assert!(unsorted.ends_with("the sources of joint files must rise"), "{unsorted}");
    let lost = refuse(&|parts| parts.operations[1] = delta(&[0, 2]));
    assert!(lost.ends_with("its source is not listed"), "{lost}");
    let large = refuse(&|parts| parts.sources[1].length = crate::length::MAX_JOINT);
    assert!(large.contains("joint files of a patch") && large.contains("16777216"), "{large}");
}

#[test]
fn payloads_that_nobody_reads_are_passed_over() {
    let (parts, payloads) = sample();
    let patch = write(parts, &payloads);
    let mut reader = PatchReader::open_unchecked(patch.as_slice()).unwrap();
    let mut steps = 0;
    while reader.next_step().unwrap().is_some() {
        steps += 1;
    }
    assert_eq!(steps, 3);
}

#[test]
fn a_patch_for_something_else_is_named() {
    let (parts, payloads) = sample();
    let patch = write(parts.clone(), &payloads);
    let refuse = |change: fn(&mut PatchExpectation)| {
        let mut expected = expectation(&parts);
        change(&mut expected);
        match PatchReader::open(patch.as_slice(), &expected) {
            Err(PatchError::Mismatch { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refuse(|e| e.app = AppId::parse("other").unwrap()), "app");
    assert_eq!(refuse(|e| e.platform = Platform::parse("x86_64-unknown-linux-musl").unwrap()), "triple");
    assert_eq!(refuse(|e| e.from = ReleaseVersion::parse("0.9.0").unwrap()), "old version");
    assert_eq!(refuse(|e| e.to = ReleaseVersion::parse("1.2.0").unwrap()), "new version");
    assert_eq!(refuse(|e| e.manifest = Sha256::of(b"")), "sha256 of the manifest");
}

#[test]
fn inconsistent_headers_are_refused() {
    #[track_caller]
    fn refuse(change: impl FnOnce(&mut PatchParts)) -> String {
        let mut parts = sample().0;
        change(&mut parts);
        match PatchHeader::new(parts) {
            Err(FormatError::Shape { detail, .. }) => detail,
            other => panic!("{other:?}"),
        }
    }
    let set = |parts: &mut PatchParts, operation| parts.operations[2] = operation;
    assert_eq!(refuse(|p| p.from = ReleaseVersion::parse("1.1.0").unwrap()), "it leads from 1.1.0 to itself");
    assert_eq!(refuse(|p| p.sources.reverse()), "sources must be sorted by path: bin/old-name follows share/data");
    assert_eq!(refuse(|p| p.operations.truncate(2)), "2 operations for 3 files");
    assert!(refuse(|p| set(p, Operation::Copy { source: 2 })).ends_with("its source is not listed"));
    assert!(refuse(|p| set(p, Operation::Copy { source: 0 })).ends_with("another content than the manifest lists"));
    let named = |codec: &str| Operation::Delta { codec: codec.to_owned(), packed: 1, source: 0 };
    assert!(refuse(|p| set(p, named("../x"))).ends_with("its codec must be 1 to 32 of [a-z0-9-]"));
    let mut large = sample().0;
    large.operations[1] = Operation::Add { packed: u64::MAX };
    assert!(matches!(PatchHeader::new(large), Err(FormatError::TooLarge { unit: "bytes", .. })));
}

#[test]
fn damage_is_named() {
    let (parts, payloads) = sample();
    let patch = write(parts, &payloads);
    let is_damaged = |result: Result<_, PatchError>| {
        matches!(result, Err(PatchError::Format(FormatError::Damaged { .. }) | PatchError::Compression { .. }))
    };
    let header_end = 16 + u32::from_le_bytes(patch[8..12].try_into().unwrap()) as usize;
    for length in 0..header_end {
        assert!(is_damaged(drain(&patch[..length])), "{length}");
    }
    for length in header_end..patch.len() {
        let mut reader = PatchReader::open_unchecked(&patch[..length]).unwrap();
        let end = loop {
            match reader.next_step() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("cut at {length} and still complete"),
                Err(error) => break error,
            }
        };
        assert!(matches!(end, PatchError::Payload { .. }), "{length}: {end}");
    }
    let mut longer = patch.clone();
    longer.push(0);
    assert!(matches!(drain(&longer), Err(PatchError::Trailing)));
    let changed = |at: usize, byte: u8| {
        let mut patch = patch.clone();
        patch[at] = byte;
        drain(&patch)
    };
    assert!(is_damaged(changed(0, b'C')));
    assert!(matches!(changed(7, 2), Err(PatchError::Format(FormatError::NewerFormat { found: 2, .. }))));
    assert!(matches!(changed(11, 0xff), Err(PatchError::Format(FormatError::TooLarge { .. }))));
    assert!(matches!(changed(15, 0xff), Err(PatchError::Format(FormatError::TooLarge { .. }))));
    assert!(is_damaged(changed(8, patch[8].wrapping_add(1))));
    assert!(is_damaged(changed(12, patch[12].wrapping_sub(1))));
    assert!(is_damaged(changed(12, patch[12].wrapping_add(1))));
}

#[test]
fn added_bytes_are_held_against_the_manifest() {
    let unpack = |content: &[u8]| {
        let (mut parts, mut payloads) = sample();
        payloads[1] = pack_added(content, Vec::new(), 0).unwrap();
        parts.operations[1] = Operation::Add { packed: payloads[1].len() as u64 };
        let patch = write(parts, &payloads);
        let mut reader = PatchReader::open_unchecked(patch.as_slice()).unwrap();
        reader.next_step().unwrap();
        let mut made = Vec::new();
        let result = reader.next_step().unwrap().unwrap().unpack_to(&mut made);
        assert!(made.len() <= 10, "no more is written than the manifest says");
        result
    };
    assert!(unpack(b"added text").is_ok());
    assert!(matches!(unpack(b"added texT"), Err(PatchError::Digest { path, .. }) if path == "new"));
    assert!(matches!(unpack(b"added"), Err(PatchError::Payload { expected: 10, got: 5, .. })));
    assert!(matches!(unpack(&vec![0; 10 << 20]), Err(PatchError::Payload { expected: 10, .. })));
}

#[test]
fn a_payload_of_another_length_is_not_written() {
    let (parts, mut payloads) = sample();
    payloads[2] = b"longer".to_vec();
    let header = PatchHeader::new(parts).unwrap();
    let result = write_patch(Vec::new(), &header, |at| Ok(payloads[at].as_slice()));
    assert!(matches!(result, Err(PatchError::Payload { expected: 5, got: 6, .. })));
}

fn operations() -> impl Strategy<Value = (Vec<Operation>, Vec<Vec<u8>>)> {
    let payload = || prop::collection::vec(any::<u8>(), 0..50);
    let one = prop_oneof![
        Just((Operation::Copy { source: 0 }, vec![])),
        payload().prop_map(|p| (Operation::Add { packed: p.len() as u64 }, p)),
        ("[a-z0-9-]{1,32}", payload())
            .prop_map(|(codec, p)| (Operation::Delta { codec, packed: p.len() as u64, source: 0 }, p)),
    ];
    prop::collection::vec(one, 3).prop_map(|list| list.into_iter().unzip())
}

proptest! {
    #[test]
    fn parse_inverts_encode((operations, payloads) in operations()) {
        let same: &[u8] = b"same";
        let manifest = manifest(&[("bin/hello", same), ("new", same), ("share/data", same)]);
        let parts = PatchParts {
            from: ReleaseVersion::parse("1.0.0").unwrap(),
            manifest: manifest.encode(),
            sources: vec![source("x", same)],
            operations,
        };
        let patch = write(parts.clone(), &payloads);
        let reader = PatchReader::open(patch.as_slice(), &expectation(&parts)).unwrap();
        prop_assert_eq!(reader.header(), &PatchHeader::new(parts).unwrap());
        prop_assert_eq!(drain(&patch).unwrap(), payloads);
    }

    #[test]
    fn damaged_bytes_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (parts, payloads) = sample();
        let mut patch = write(parts, &payloads);
        let at = at.index(patch.len());
        patch[at] = byte;
        if let Ok(read) = drain(&patch) {
            prop_assert_eq!(read.len(), 3);
        }
    }
}
