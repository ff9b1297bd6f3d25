//! The worked examples of `docs/format/{manifest,bundle,patch,state}.md` are what the code makes today.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use updater_format::bundle::{BundleOptions, BundleWriter};
use updater_format::patch::{Operation, PatchHeader, PatchParts, PatchReader, PatchSource, pack_added, write_patch};
use updater_format::state::{InstallState, JournaledRelease, Phase, Trial};
use updater_format::{
    AppId, EntryContent, FileMode, FilePath, InstallKind, Manifest, ManifestEntry, ManifestParts, PathPattern,
    Platform, ReleaseVersion, Sha256, UtcTime,
};

const CONFIG: &[u8] = b"greeting = \"hi\"\n";

fn program(version: &str) -> Vec<u8> {
    format!("#!/bin/sh\necho hello {version}\n").into_bytes()
}

fn manifest(version: &str) -> Manifest {
    let entry = |path: &str, content| ManifestEntry { path: FilePath::parse(path).unwrap(), content };
    let file = |path, content: &[u8], mode| {
        entry(path, EntryContent::File { length: content.len() as u64, sha256: Sha256::of(content), mode })
    };
    Manifest::new(ManifestParts {
        app: AppId::parse("hello").unwrap(),
        version: ReleaseVersion::parse(version).unwrap(),
        platform: Platform::parse("x86_64-unknown-linux-gnu").unwrap(),
        install: InstallKind::Directory,
        entry: FilePath::parse("bin/hello").unwrap(),
        keep_local: vec![PathPattern::parse("etc/*.toml").unwrap()],
        entries: vec![
            file("bin/hello", &program(version), FileMode::Program),
            file("etc/hello.toml", CONFIG, FileMode::Data),
            entry("bin/hi", EntryContent::Link { target: "hello".to_owned() }),
        ],
        component: None,
    })
    .unwrap()
}

fn doc(name: &str) -> String {
    let path = format!("{}/../docs/format/{name}.md", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

#[track_caller]
fn assert_in(doc: &str, text: &str) {
    assert!(doc.contains(text), "the page should say: {text}");
}

#[test]
fn manifest_page() {
    let (page, bytes) = (doc("manifest"), manifest("1.1.0").encode());
    assert_in(&page, &String::from_utf8(bytes.clone()).unwrap());
    assert_in(&page, &format!("These {} bytes have the SHA-256 `{}`", bytes.len(), Sha256::of(&bytes)));
}

#[test]
fn bundle_page() {
    let open = |path: &FilePath| {
        Ok(std::io::Cursor::new(if path.as_str() == "bin/hello" { program("1.1.0") } else { CONFIG.to_vec() }))
    };
    let bundle = BundleWriter::new(Vec::new(), &manifest("1.1.0"), &BundleOptions::default()).unwrap();
    let bundle = bundle.write_all(open).unwrap();
    assert_in(&doc("bundle"), &format!("{} bytes, SHA-256 `{}`", bundle.len(), Sha256::of(&bundle)));
}

#[test]
fn patch_page() {
    let added = pack_added(program("1.1.0").as_slice(), Vec::new(), 9).unwrap();
    let path = FilePath::parse("etc/hello.toml").unwrap();
    let source = PatchSource { length: CONFIG.len() as u64, path, sha256: Sha256::of(CONFIG) };
    let header = PatchHeader::new(PatchParts {
        from: ReleaseVersion::parse("1.0.0").unwrap(),
        manifest: manifest("1.1.0").encode(),
        sources: vec![source],
        operations: vec![Operation::Add { packed: added.len() as u64 }, Operation::Copy { source: 0 }],
    })
    .unwrap();
    let patch = write_patch(Vec::new(), &header, |_| Ok(added.as_slice())).unwrap();
    let page = doc("patch");
    assert_in(&page, &format!("whose program is added: {} bytes", patch.len()));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    for line in [&patch[..8], &patch[8..12], &patch[12..16], &patch[16..22]] {
        assert_in(&page, &hex(line));
    }
    let number = |at: usize| u32::from_le_bytes(patch[at..at + 4].try_into().unwrap());
    assert_in(&page, &format!("{} bytes of compressed header", number(8)));
    assert_in(&page, &format!("{} bytes of header", number(12)));
    let json =
        serde_json::to_string(PatchReader::open_unchecked(patch.as_slice()).unwrap().header().sources()).unwrap();
    assert_in(&page, &format!("\"sources\":{json}"));
    assert_in(&page, &format!("\"operations\":{}", serde_json::to_string(header.operations()).unwrap()));
}

#[test]
fn state_page() {
    let release = |manifest: &Manifest| JournaledRelease {
        entry: manifest.entry_digest(),
        manifest: Some(Sha256::of(&manifest.encode())),
        version: manifest.version().clone(),
        epoch: 0,
    };
    let (from, to) = (release(&manifest("1.0.0")), release(&manifest("1.1.0")));
    let mut state = InstallState::idle(Sha256::of(b"/opt/hello"));
    state.phase = Phase::Trial { from, to, trial: Trial::Confirm };
    let since = UtcTime::parse("2026-11-20T08:30:00Z").unwrap();
    state.put_away(Sha256::of(b"bad"), ReleaseVersion::parse("1.0.9").unwrap(), since);
    assert_in(&doc("state"), &String::from_utf8(state.encode()).unwrap());
}
