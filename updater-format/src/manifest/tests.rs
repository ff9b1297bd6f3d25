use super::{EntryContent, FileMode, InstallKind, Manifest, ManifestEntry, ManifestParts};
use crate::{AppId, FilePath, FormatError, PathPattern, Platform, ReleaseVersion, Sha256};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

fn file(path: &str, content: &[u8], mode: FileMode) -> ManifestEntry {
    let content = EntryContent::File { length: content.len() as u64, sha256: Sha256::of(content), mode };
    ManifestEntry { path: FilePath::parse(path).unwrap(), content }
}

fn link(path: &str, target: &str) -> ManifestEntry {
    ManifestEntry { path: FilePath::parse(path).unwrap(), content: EntryContent::Link { target: target.to_owned() } }
}

fn parts(entries: Vec<ManifestEntry>) -> ManifestParts {
    ManifestParts {
        app: AppId::parse("hello").unwrap(),
        version: ReleaseVersion::parse("1.2.0").unwrap(),
        platform: Platform::parse("x86_64-unknown-linux-gnu").unwrap(),
        install: InstallKind::Directory,
        entry: FilePath::parse("bin/hello").unwrap(),
        keep_local: vec![PathPattern::parse("etc/*.toml").unwrap()],
        entries,
        component: None,
    }
}

fn with(extra: Vec<ManifestEntry>) -> Result<Manifest, FormatError> {
    let mut entries = vec![file("bin/hello", b"program", FileMode::Program)];
    entries.extend(extra);
    Manifest::new(parts(entries))
}

#[track_caller]
fn assert_refused(result: Result<Manifest, FormatError>, expected: &str) {
    match result {
        Err(FormatError::Invalid { rule, .. }) => assert_eq!(rule, expected),
        other => panic!("expected the rule {expected:?}, got {other:?}"),
    }
}

#[test]
fn the_encoding_is_canonical_and_fixed() {
    let manifest =
        with(vec![file("etc/a.toml", b"x", FileMode::Data), link("bin/hi", "hello"), link("lib", "etc")]).unwrap();
    let program = Sha256::of(b"program");
    let data = Sha256::of(b"x");
    let expected = format!(
        concat!(
            r#"{{"app":"hello","entry":"bin/hello","files":["#,
            r#"{{"length":7,"mode":"755","path":"bin/hello","sha256":"{}"}},{{"link":"hello","path":"bin/hi"}},"#,
            r#"{{"length":1,"mode":"644","path":"etc/a.toml","sha256":"{}"}},{{"link":"etc","path":"lib"}}],"#,
            r#""format":1,"install":"directory","keep_local":["etc/*.toml"],"#,
            r#""triple":"x86_64-unknown-linux-gnu","version":"1.2.0"}}"#
        ),
        program, data
    );
    assert_eq!(String::from_utf8(manifest.encode()).unwrap(), expected);
    assert_eq!(manifest.unpacked(), 8);
    assert_eq!(manifest.entry_digest(), program);
    assert!(manifest.keeps_local(&FilePath::parse("etc/a.toml").unwrap()));
    assert_eq!(Manifest::parse(expected.as_bytes()).unwrap(), manifest);
}

#[test]
fn paths_that_are_one_somewhere_are_refused() {
    let data = |path| file(path, b"", FileMode::Data);
    assert_refused(with(vec![data("a"), data("a")]), "it is listed twice");
    assert_refused(with(vec![data("a"), data("A")]), "it differs from another path by case only");
    assert_refused(with(vec![data("dir/a"), data("Dir/b")]), "it differs from another path by case only");
    assert_refused(with(vec![data("ÄB"), data("äb")]), "it differs from another path by case only");
    assert_refused(with(vec![data("a"), data("a/b")]), "it is listed as a file and used as a folder");
    assert_refused(with(vec![data("bin"), data("x")]), "it is listed as a file and used as a folder");
    assert_refused(with(vec![data(".Updater-Manifest.json")]), "the name belongs to the manifest");
    assert_refused(with(vec![data(".updater-manifest.json/x")]), "the name belongs to the manifest");
    let taken = "its `.new` name, used when a user's file is kept, is listed too";
    assert_refused(with(vec![data("etc/a.toml"), data("etc/a.toml.new")]), taken);
    assert!(with(vec![data("etc/b"), data("etc/b.new")]).is_ok());
}

#[test]
fn links_stay_inside() {
    let outside = "its target must be relative and stay inside the install";
    for target in ["/etc/passwd", "../x", "a/../../../x", "..\\x", "C:x", "a//b", "a/", "\u{0}"] {
        assert_refused(with(vec![link("l", target)]), outside);
    }
    assert_refused(with(vec![link("l", "")]), "its target must have 1 to 1,024 bytes");
    assert_refused(with(vec![link("l", "nothing")]), "its target is nothing that the manifest lists");
    assert_refused(with(vec![link("a/l", "..")]), "its target is nothing that the manifest lists");
    let through = "its target passes through another link";
    assert_refused(with(vec![link("d", "bin"), link("l", "d/hello")]), through);
    assert_refused(with(vec![link("d", "bin"), link("l", "d/../bin/hello")]), through);
    assert_refused(with(vec![link("d", "bin"), file("d/x", b"", FileMode::Data)]), {
        "it is listed as a file and used as a folder"
    });
    assert!(with(vec![link("bin/x", "../bin/./hello"), link("bin/y", "x"), link("z", "bin")]).is_ok());
}

fn app_bundle(extra: Vec<ManifestEntry>) -> Result<Manifest, FormatError> {
    let mut entries = vec![file("Contents/MacOS/hello", b"program", FileMode::Program)];
    entries.extend(extra);
    let entry = FilePath::parse("Contents/MacOS/hello").unwrap();
    Manifest::new(ManifestParts { install: InstallKind::AppBundle, entry, keep_local: Vec::new(), ..parts(entries) })
}

#[test]
fn links_of_a_framework_pass_through_another() {
    let framework = |name: &str, target: &str| link(&format!("Contents/Frameworks/X.framework/{name}"), target);
    let library = || file("Contents/Frameworks/X.framework/Versions/A/X", b"", FileMode::Program);
    let of = |links: Vec<ManifestEntry>| app_bundle([vec![library()], links].concat());
    let manifest = of(vec![framework("Versions/Current", "A"), framework("X", "Versions/Current/X")]).unwrap();
    assert_eq!(Manifest::parse(&manifest.encode()).unwrap(), manifest);
    // Walked as the system would: `..` behind a link is that of where the link leads.
    of(vec![framework("Versions/Current", "A"), framework("X", "Versions/Current/../A/X")]).unwrap();
    of(vec![framework("here", "Versions/A"), framework("X", "here/../A/X")]).unwrap();
    let nothing = "its target is nothing that the manifest lists";
    assert_refused(of(vec![framework("here", "Versions/A"), framework("X", "here/../Versions/A/X")]), nothing);
    let outside = "its target must be relative and stay inside the install";
    assert_refused(of(vec![link("up", "Contents"), link("l", "up/../../x")]), outside);
    assert_refused(of(vec![link("a", "a/b")]), "its target passes through more than 8 other links");
    assert_refused(of(vec![link("a", "b/x"), link("b", "a/x")]), "its target passes through more than 8 other links");
}

#[test]
fn an_app_bundle_holds_nothing_of_a_user() {
    assert!(app_bundle(vec![file("Contents/Info.plist", b"", FileMode::Data)]).is_ok());
    let mut editable = app_bundle(vec![]).unwrap().into_parts();
    editable.keep_local = vec![PathPattern::parse("Contents/x").unwrap()];
    let rule = "nothing in an app bundle is for its user to edit: that would break its signature";
    assert_refused(Manifest::new(editable), rule);
    for path in ["hello", "Contents/hello", "Contents/MacOS/bin/hello"] {
        let mut elsewhere = app_bundle(vec![file(path, b"", FileMode::Program)]).unwrap().into_parts();
        elsewhere.entry = FilePath::parse(path).unwrap();
        assert_refused(Manifest::new(elsewhere), "the program of an app bundle lies in Contents/MacOS");
    }
}

#[test]
fn folders_are_known_by_what_lies_in_them() {
    let manifest = with(vec![file("bin-x", b"", FileMode::Data), file("share/doc/a", b"", FileMode::Data)]).unwrap();
    for (path, expected) in [("bin", true), ("share", true), ("share/doc", true), ("bin-x", false), ("sha", false)] {
        assert_eq!(manifest.has_folder(&FilePath::parse(path).unwrap()), expected, "{path}");
    }
}

#[test]
fn the_entry_is_a_program() {
    let with_entry = |entry| Manifest::new(parts(vec![entry, file("bin/other", b"", FileMode::Data)]));
    assert_refused(with_entry(file("bin/hello", b"", FileMode::Data)), "it must have mode 755");
    assert_refused(with_entry(link("bin/hello", "other")), "it must be a file, not a link");
    assert_refused(with_entry(file("bin/hullo", b"", FileMode::Program)), "it must be one of the listed files");
    let mut two = with(vec![file("x", b"", FileMode::Data)]).unwrap().into_parts();
    two.install = InstallKind::Executable;
    assert_refused(Manifest::new(two), "an executable has exactly one file; use install kind `directory`");
}

#[test]
fn other_bytes_are_refused_with_their_kind() {
    let good = String::from_utf8(with(vec![link("bin/hi", "hello")]).unwrap().encode()).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from));
        Manifest::parse(good.replacen(from, to, 1).as_bytes())
    };
    assert!(matches!(Manifest::parse(b"{"), Err(FormatError::Json { .. })));
    assert!(matches!(Manifest::parse(&good.as_bytes()[..40]), Err(FormatError::Json { .. })));
    assert!(matches!(changed("\"format\":1", "\"format\":2"), Err(FormatError::NewerFormat { found: 2, .. })));
    assert!(matches!(changed("\"format\":1,", ""), Err(FormatError::Shape { .. })));
    assert!(matches!(changed("\"app\":\"hello\"", "\"app\":\"x\",\"app\":\"y\""), Err(FormatError::Shape { .. })));
    assert!(matches!(changed("\"755\"", "\"4755\""), Err(FormatError::Shape { .. })));
    assert!(matches!(changed("\"length\":7", "\"length\":-7"), Err(FormatError::Shape { .. })));
    assert!(matches!(changed("\"length\":7", "\"length\":9007199254740993"), Err(FormatError::TooLarge { .. })));
    assert!(matches!(changed("\"link\":\"hello\"", "\"link\":\"hello\",\"length\":1"), Err(FormatError::Shape { .. })));
    assert!(matches!(changed("\"path\":\"bin/hi\"", "\"path\":\"a\""), Err(FormatError::Shape { .. })));
    assert!(changed("\"format\":1", "\"format\":1,\"later\":[1.5]").is_ok(), "unknown fields are ignored");
    let large = vec![b' '; crate::length::MAX_MANIFEST as usize + 1];
    assert!(matches!(Manifest::parse(&large), Err(FormatError::TooLarge { unit: "bytes", .. })));
}

#[test]
fn more_than_fits_a_number_is_refused() {
    let huge = |path| ManifestEntry {
        path: FilePath::parse(path).unwrap(),
        content: EntryContent::File { length: 1 << 53, sha256: Sha256::of(b""), mode: FileMode::Data },
    };
    assert!(with(vec![]).is_ok());
    assert!(matches!(with(vec![huge("a"), huge("b")]), Err(FormatError::TooLarge { unit: "bytes", .. })));
}

/// Any consistent manifest: names from a small alphabet so that folders are shared, links to listed files.
pub(crate) fn manifests() -> impl Strategy<Value = Manifest> {
    let name = "[a-c]{1,2}(/[d-fä]{1,3}){0,2}\\.[x-z]";
    let content = (any::<u32>(), any::<[u8; 32]>(), prop_oneof![Just(FileMode::Data), Just(FileMode::Program)]);
    let files = prop::collection::btree_map(name, content, 0..12);
    (files, any::<bool>(), "[0-9]{1,3}\\.[1-9]\\.0(-rc\\.[1-9])?").prop_filter_map(
        "paths collide",
        |(files, linked, version)| {
            let mut entries: Vec<ManifestEntry> = files
                .iter()
                .map(|(path, (length, digest, mode))| ManifestEntry {
                    path: FilePath::parse(path).unwrap(),
                    content: EntryContent::File {
                        length: u64::from(*length),
                        sha256: Sha256::from_bytes(*digest),
                        mode: *mode,
                    },
                })
                .collect();
            if let (true, Some(path)) = (linked, files.keys().next()) {
                entries.push(link("zz/link", &format!("../{path}")));
            }
            entries.push(file("bin/hello", b"program", FileMode::Program));
            let mut parts = parts(entries);
            parts.version = ReleaseVersion::parse(&version).ok()?;
            Manifest::new(parts).ok()
        },
    )
}

proptest! {
    #[test]
    fn parse_inverts_encode(manifest in manifests()) {
        let bytes = manifest.encode();
        prop_assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
    }

    #[test]
    fn damaged_bytes_never_panic(manifest in manifests(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = manifest.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = Manifest::parse(&bytes) {
            prop_assert_eq!(Manifest::parse(&read.encode()).unwrap(), read);
        }
    }
}
