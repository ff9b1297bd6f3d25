use super::{
    BLOCK, BundleError, BundleExpectation, BundleOptions, BundleReader, BundleWriter, Member, MemberProblem,
    read_manifest,
};
use crate::xz::encoder;
use crate::{
    AppId, EntryContent, FileMode, FilePath, FormatError, InstallKind, Manifest, ManifestEntry, ManifestParts,
    Platform, ReleaseVersion, Sha256,
};
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use std::collections::BTreeMap;
use std::io::{Read, Write};

type Files = BTreeMap<String, Vec<u8>>;

fn manifest_of(files: &Files, links: &[(&str, &str)]) -> Manifest {
    let file = |(path, content): (&String, &Vec<u8>)| ManifestEntry {
        path: FilePath::parse(path).unwrap(),
        content: EntryContent::File {
            length: content.len() as u64,
            sha256: Sha256::of(content),
            mode: if path == "bin/hello" { FileMode::Program } else { FileMode::Data },
        },
    };
    let link = |(path, target): &(&str, &str)| ManifestEntry {
        path: FilePath::parse(path).unwrap(),
        content: EntryContent::Link { target: (*target).to_owned() },
    };
    Manifest::new(ManifestParts {
        app: AppId::parse("hello").unwrap(),
        version: ReleaseVersion::parse("1.0.0").unwrap(),
        platform: Platform::parse("x86_64-unknown-linux-gnu").unwrap(),
        install: InstallKind::Directory,
        entry: FilePath::parse("bin/hello").unwrap(),
        keep_local: vec![],
        entries: files.iter().map(file).chain(links.iter().map(link)).collect(),
        component: None,
    })
    .unwrap()
}

fn sample() -> (Files, Manifest) {
    let long = format!("share/{}/{}.txt", "long-".repeat(20), "name-".repeat(20));
    let files = Files::from([
        ("bin/hello".to_owned(), b"#!/bin/sh\necho hello\n".to_vec()),
        ("empty".to_owned(), vec![]),
        ("exactly/one/block".to_owned(), vec![7; BLOCK]),
        (long.clone(), b"long".to_vec()),
    ]);
    let manifest = manifest_of(&files, &[("bin/hi", "hello"), ("l", &long), ("s", "share/../bin/./hello")]);
    (files, manifest)
}

fn write(manifest: &Manifest, files: &Files, options: BundleOptions) -> Vec<u8> {
    let open = |path: &FilePath| Ok(files[path.as_str()].as_slice());
    BundleWriter::new(Vec::new(), manifest, &options).unwrap().write_all(open).unwrap()
}

fn read(bundle: &[u8], expected: &BundleExpectation) -> Result<(Files, Vec<(String, String)>), BundleError> {
    let mut reader = BundleReader::open(bundle, expected)?;
    let (mut files, mut links) = (Files::new(), Vec::new());
    while let Some(member) = reader.next_member()? {
        match member {
            Member::Link { path, target } => links.push((path.to_string(), target.to_owned())),
            Member::File(file) => {
                let path = file.entry().path.to_string();
                let mut content = Vec::new();
                file.copy_to(&mut content)?;
                files.insert(path, content);
            }
        }
    }
    Ok((files, links))
}

/// One hand-made member: name, kind, mode, link target, content.
struct Raw<'a>(&'a [u8], tar::EntryType, u32, &'a [u8], &'a [u8]);

fn raw_tar(members: &[Raw<'_>]) -> Vec<u8> {
    let mut tar = Vec::new();
    for Raw(name, kind, mode, target, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..name.len()].copy_from_slice(name);
        gnu.linkname[..target.len()].copy_from_slice(target);
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(content);
        tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    tar
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = encoder(Vec::new(), 1, 1).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const FILE: tar::EntryType = tar::EntryType::Regular;
const LINK: tar::EntryType = tar::EntryType::Symlink;

/// Reads an archive that begins with a good manifest of `bin/hello` and a link `bin/hi`, and goes on as given.
fn read_raw(members: &[Raw<'_>]) -> Result<(Files, Vec<(String, String)>), BundleError> {
    let files = Files::from([("bin/hello".to_owned(), b"program".to_vec())]);
    let manifest = manifest_of(&files, &[("bin/hi", "hello")]);
    let bytes = manifest.encode();
    let mut tar = raw_tar(&[Raw(b".updater-manifest.json", FILE, 0o644, b"", &bytes)]);
    tar.truncate(tar.len() - 2 * BLOCK);
    tar.extend(raw_tar(members));
    read(&xz(&tar), &BundleExpectation::of(&manifest))
}

#[track_caller]
fn assert_problem<T: std::fmt::Debug>(result: Result<T, BundleError>, expected: MemberProblem) {
    match result {
        Err(BundleError::Member { problem, .. }) => assert_eq!(problem, expected),
        other => panic!("expected {expected:?}, got {other:?}"),
    }
}

const HELLO: Raw<'static> = Raw(b"bin/hello", FILE, 0o755, b"", b"program");
const HI: Raw<'static> = Raw(b"bin/hi", LINK, 0o777, b"hello", b"");

#[test]
fn what_was_written_is_read_back() {
    let (files, manifest) = sample();
    let bundle = write(&manifest, &files, BundleOptions::default());
    let (got, links) = read(&bundle, &BundleExpectation::of(&manifest)).unwrap();
    assert_eq!(got, files);
    assert_eq!(links.len(), 3);
    assert_eq!(links[2], ("s".to_owned(), "share/../bin/./hello".to_owned()));
    assert_eq!(read_manifest(bundle.as_slice()).unwrap(), (manifest.clone(), manifest.encode()));
}

#[test]
fn an_unmodified_tar_reader_sees_the_same_tree() {
    let (files, manifest) = sample();
    let bundle = write(&manifest, &files, BundleOptions { mtime: 1_700_000_000, ..BundleOptions::default() });
    let mut seen = 0;
    for entry in tar::Archive::new(xz2::bufread::XzDecoder::new(bundle.as_slice())).entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 1_700_000_000));
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        if let Some(content) = files.get(&path) {
            let mut got = Vec::new();
            entry.read_to_end(&mut got).unwrap();
            assert_eq!(&got, content);
            seen += 1;
        } else if path == "l" {
            let target = entry.link_name().unwrap().unwrap();
            assert!(files.contains_key(target.to_str().unwrap()));
        }
    }
    assert_eq!(seen, files.len());
}

#[test]
fn the_bytes_depend_on_the_files_alone() {
    let mut files = sample().0;
    // More than one block of xz, so that threads would show.
    files.insert("large".to_owned(), (0..5_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect());
    let manifest = manifest_of(&files, &[]);
    let options = |threads| BundleOptions { level: 0, threads, mtime: 0 };
    let one = write(&manifest, &files, options(1));
    assert_eq!(one, write(&manifest, &files, options(4)));
    let (got, _) = read(&one, &BundleExpectation::of(&manifest)).unwrap();
    assert_eq!(got, files);
}

#[test]
fn a_file_that_changes_while_it_is_bundled_is_refused() {
    let (files, manifest) = sample();
    let write = |content: &'static [u8]| {
        let open = |path: &FilePath| Ok(if path.as_str() == "bin/hello" { content } else { &files[path.as_str()] });
        BundleWriter::new(Vec::new(), &manifest, &BundleOptions::default()).unwrap().write_all(open)
    };
    assert_problem(write(b"short"), MemberProblem::Length { expected: 21, got: 5 });
    assert_problem(write(&[0; 22]), MemberProblem::Length { expected: 21, got: 22 });
    let (expected, got) = (Sha256::of(b"#!/bin/sh\necho hello\n"), Sha256::of(&[0; 21]));
    assert_problem(write(&[0; 21]), MemberProblem::Digest { expected, got });
    let gone = |_: &FilePath| Err::<&[u8], _>(std::io::ErrorKind::NotFound.into());
    let result = BundleWriter::new(Vec::new(), &manifest, &BundleOptions::default()).unwrap().write_all(gone);
    assert!(matches!(result, Err(BundleError::Source { path, .. }) if path == "bin/hello"));
}

#[test]
fn only_the_listed_members_pass() {
    assert!(read_raw(&[HELLO, HI]).is_ok());
    assert_problem(read_raw(&[HELLO]), MemberProblem::Missing);
    assert_problem(read_raw(&[HI, HELLO]), MemberProblem::Missing);
    assert_problem(read_raw(&[HELLO, HELLO]), MemberProblem::OutOfOrder);
    assert_problem(read_raw(&[HELLO, HI, HI]), MemberProblem::OutOfOrder);
    assert_problem(read_raw(&[HELLO, Raw(b"bin/x", FILE, 0o644, b"", b"")]), MemberProblem::NotListed);
    assert_problem(read_raw(&[HELLO, HI, Raw(b"z", FILE, 0o644, b"", b"")]), MemberProblem::NotListed);
}

#[test]
fn names_that_leave_the_install_are_refused() {
    for name in ["/etc/passwd", "../x", "bin/../../x", "bin/./hello", "C:x", "bin\\hello", "bin//hello", "bin/hello/"] {
        let result = read_raw(&[Raw(name.as_bytes(), FILE, 0o755, b"", b"program"), HI]);
        let Err(BundleError::Member { problem: MemberProblem::Name(error), .. }) = result else {
            panic!("{name:?}: {result:?}");
        };
        assert!(matches!(error, FormatError::Invalid { what: "file path", .. }));
    }
    let result = read_raw(&[Raw(b"bin/\xff", FILE, 0o755, b"", b"")]);
    assert!(matches!(result, Err(BundleError::Member { problem: MemberProblem::Name(_), .. })));
    // A NUL cannot stand in a short name, but it can in a long one.
    let long = Raw(b"././@LongLink", tar::EntryType::GNULongName, 0o644, b"", b"bin/hello\0x\0");
    let result = read_raw(&[long, HELLO]);
    assert!(matches!(result, Err(BundleError::Member { problem: MemberProblem::Name(_), .. })), "{result:?}");
}

#[test]
fn only_files_and_the_listed_links_pass() {
    for (kind, name) in [
        (tar::EntryType::Link, "hard link"),
        (tar::EntryType::Directory, "folder (folders follow from the paths)"),
        (tar::EntryType::Char, "device"),
        (tar::EntryType::Block, "device"),
        (tar::EntryType::Fifo, "named pipe"),
        (tar::EntryType::GNUSparse, "sparse file"),
        (tar::EntryType::XHeader, "pax header"),
        (tar::EntryType::XGlobalHeader, "pax header"),
        (tar::EntryType::Continuous, "member of an unknown kind"),
    ] {
        let result = read_raw(&[Raw(b"bin/hello", kind, 0o755, b"bin/hi", b"program"), HI]);
        assert_problem(result, MemberProblem::Kind(name));
    }
    let swapped = Raw(b"bin/hello", LINK, 0o777, b"/bin/sh", b"");
    assert_problem(read_raw(&[swapped, HI]), MemberProblem::Kind("link where a file is listed"));
    let swapped = Raw(b"bin/hi", FILE, 0o644, b"", b"");
    assert_problem(read_raw(&[HELLO, swapped]), MemberProblem::Kind("file where a link is listed"));
    let elsewhere = Raw(b"bin/hi", LINK, 0o777, b"/etc/passwd", b"");
    let problem = MemberProblem::Target { expected: "hello".to_owned(), got: "/etc/passwd".to_owned() };
    assert_problem(read_raw(&[HELLO, elsewhere]), problem);
}

#[test]
fn content_and_mode_are_the_manifests() {
    let hello = |mode, content| Raw(b"bin/hello", FILE, mode, b"", content);
    for mode in [0o4755, 0o2755, 0o777, 0o644] {
        let problem = MemberProblem::Mode { expected: 0o755, got: mode };
        assert_problem(read_raw(&[hello(mode, b"program"), HI]), problem);
    }
    assert_problem(read_raw(&[hello(0o755, b"progra"), HI]), MemberProblem::Length { expected: 7, got: 6 });
    assert_problem(read_raw(&[hello(0o755, b"program!"), HI]), MemberProblem::Length { expected: 7, got: 8 });
    let (expected, got) = (Sha256::of(b"program"), Sha256::of(b"Program"));
    assert_problem(read_raw(&[hello(0o755, b"Program"), HI]), MemberProblem::Digest { expected, got });
}

#[test]
fn a_file_that_nobody_copies_is_checked_too() {
    let files = Files::from([("bin/hello".to_owned(), b"program".to_vec())]);
    let manifest = manifest_of(&files, &[]);
    let bytes = manifest.encode();
    let tar = raw_tar(&[
        Raw(b".updater-manifest.json", FILE, 0o644, b"", &bytes),
        Raw(b"bin/hello", FILE, 0o755, b"", b"PROGRAM"),
    ]);
    let bundle = xz(&tar);
    let mut reader = BundleReader::open(bundle.as_slice(), &BundleExpectation::of(&manifest)).unwrap();
    assert!(matches!(reader.next_member(), Ok(Some(Member::File(_)))));
    let (expected, got) = (Sha256::of(b"program"), Sha256::of(b"PROGRAM"));
    assert_problem(reader.next_member().map(|_| ()), MemberProblem::Digest { expected, got });
}

#[test]
fn the_manifest_is_the_signed_one() {
    let (files, manifest) = sample();
    let bundle = write(&manifest, &files, BundleOptions::default());
    let good = BundleExpectation::of(&manifest);
    let other = BundleExpectation { manifest: Sha256::of(b"other"), ..good };
    assert!(matches!(read(&bundle, &other), Err(BundleError::ManifestDigest { .. })));
    let other = BundleExpectation { unpacked: good.unpacked - 1, ..good };
    assert!(matches!(read(&bundle, &other), Err(BundleError::Totals { unit: "bytes unpacked", .. })));
    let other = BundleExpectation { entries: good.entries + 1, ..good };
    assert!(matches!(read(&bundle, &other), Err(BundleError::Totals { unit: "entries", .. })));
    assert_problem(read(&xz(&raw_tar(&[HELLO])), &good), MemberProblem::Missing);
    assert_problem(read(&xz(&raw_tar(&[])), &good), MemberProblem::Missing);
}

#[test]
fn nothing_may_follow() {
    let (files, manifest) = sample();
    let expected = BundleExpectation::of(&manifest);
    let bundle = write(&manifest, &files, BundleOptions::default());
    let mut longer = bundle.clone();
    longer.push(0);
    assert!(matches!(read(&longer, &expected), Err(BundleError::Trailing)));
    let mut twice = bundle.clone();
    twice.extend_from_slice(&bundle);
    assert!(matches!(read(&twice, &expected), Err(BundleError::Trailing)));
    let mut tar = Vec::new();
    xz2::bufread::XzDecoder::new(bundle.as_slice()).read_to_end(&mut tar).unwrap();
    tar.push(0);
    assert!(matches!(read(&xz(&tar), &expected), Err(BundleError::Trailing)));
}

#[test]
fn a_damaged_or_huge_stream_is_named() {
    let (files, manifest) = sample();
    let expected = BundleExpectation::of(&manifest);
    let bundle = write(&manifest, &files, BundleOptions::default());
    for length in 0..bundle.len() {
        let result = read(&bundle[..length], &expected);
        assert!(matches!(result, Err(BundleError::Compression { .. })), "{length}: {result:?}");
    }
    assert!(matches!(read(b"not xz at all", &expected), Err(BundleError::Compression { .. })));
    // A dictionary of 1.5 GiB: the byte after filter 0x21 with one byte of properties, code 37.
    let mut huge = xz(b"x");
    let block = 12;
    let length = (usize::from(huge[block]) + 1) * 4;
    let at = (block..block + length).find(|at| huge[*at..].starts_with(&[0x21, 1])).unwrap() + 2;
    huge[at] = 37;
    let checksum = crc32(&huge[block..block + length - 4]);
    huge[block + length - 4..block + length].copy_from_slice(&checksum.to_le_bytes());
    assert!(matches!(read(&huge, &expected), Err(BundleError::Memory { limit: 134_217_728 })));
}

/// The checksum of xz headers (IEEE 802.3).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[test]
fn a_bomb_stops_at_the_manifest() {
    let bomb = xz(&raw_tar(&[Raw(b".updater-manifest.json", FILE, 0o644, b"", &vec![b' '; 17 << 20])]));
    assert!(bomb.len() < 100_000);
    let expected = BundleExpectation { manifest: Sha256::of(b""), unpacked: 0, entries: 0 };
    assert!(matches!(read(&bomb, &expected), Err(BundleError::Format(FormatError::TooLarge { what: "manifest", .. }))));
    let long = vec![b'a'; 1 << 20];
    let result = read_raw(&[Raw(b"././@LongLink", tar::EntryType::GNULongName, 0o644, b"", &long), HELLO]);
    assert_problem(result, MemberProblem::Header("its name is longer than 1,024 bytes"));
}

proptest! {
    #[test]
    fn any_tree_survives(names in prop::collection::btree_map("[a-c]{1,2}(/[d-f]{1,90}){0,2}\\.x", any::<Vec<u8>>(), 0..8)) {
        let mut files: Files = names.into_iter().collect();
        files.insert("bin/hello".to_owned(), b"program".to_vec());
        let manifest = manifest_of(&files, &[("zz", "bin/hello")]);
        let bundle = write(&manifest, &files, BundleOptions { level: 0, ..BundleOptions::default() });
        let (got, _) = read(&bundle, &BundleExpectation::of(&manifest)).unwrap();
        prop_assert_eq!(got, files);
    }

    #[test]
    fn a_changed_byte_of_the_tar_never_gives_other_files(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let (files, manifest) = sample();
        let bundle = write(&manifest, &files, BundleOptions { level: 0, ..BundleOptions::default() });
        let mut tar = Vec::new();
        xz2::bufread::XzDecoder::new(bundle.as_slice()).read_to_end(&mut tar).unwrap();
        let at = at.index(tar.len());
        tar[at] ^= 1 << bit;
        if let Ok((got, links)) = read(&xz(&tar), &BundleExpectation::of(&manifest)) {
            prop_assert!(got == files && links.len() == 3);
        }
    }
}
