//! Bundles of small folders: what is chosen, what is refused, and that nothing but the content decides the bytes.

use super::*;
use crate::shell::MessageFormat;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use updater_format::bundle::{BundleReader, Member};

/// A folder to bundle, and one for the results.
struct Scene {
    temp: tempfile::TempDir,
}

impl Scene {
    /// A program `bin/hello`, a text file and a link to it.
    fn new() -> Self {
        let scene = Self { temp: tempfile::tempdir().unwrap() };
        scene.file("bin/hello", "#!/bin/sh\necho hello\n", 0o755);
        scene.file("share/readme.txt", "read me\n", 0o644);
        symlink("readme.txt", scene.folder().join("share/README")).unwrap();
        scene
    }

    fn folder(&self) -> PathBuf {
        self.temp.path().join("app")
    }

    fn out(&self) -> PathBuf {
        self.temp.path().join("out")
    }

    fn file(&self, path: &str, content: &str, mode: u32) {
        let path = self.folder().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn contents(&self) -> Contents {
        contents(from_folder(&self.folder()).unwrap())
    }

    fn bundle(&self) -> Result<Bundled, BundleStepError> {
        let shell = Shell::captured(MessageFormat::Human);
        bundle(&self.contents(), Packing { level: 6, mtime: 0 }, &self.out(), &shell)
    }
}

fn contents(files: Vec<Chosen>) -> Contents {
    Contents {
        app: AppId::parse("hello").unwrap(),
        component: None,
        version: ReleaseVersion::parse("1.4.0").unwrap(),
        platform: Platform::parse("x86_64-unknown-linux-gnu").unwrap(),
        install: None,
        entry: None,
        keep_local: Vec::new(),
        codecs: vec!["refs-1".to_owned()],
        files,
    }
}

#[test]
fn a_folder_becomes_a_bundle_that_our_reader_accepts() {
    let scene = Scene::new();
    let bundled = scene.bundle().unwrap();
    let part = &bundled.part;
    assert_eq!(part.file.as_str(), "hello-1.4.0-x86_64-unknown-linux-gnu.tar.xz");
    assert_eq!((part.install, part.files, part.unpacked), (InstallKind::Directory, 3, 21 + 8));
    let expectation = BundleExpectation { manifest: part.manifest, unpacked: part.unpacked, entries: part.files };
    let mut reader = BundleReader::open(File::open(&bundled.path).unwrap(), &expectation).unwrap();
    assert_eq!(reader.manifest().entry().as_str(), "bin/hello");
    let mut seen = Vec::new();
    while let Some(member) = reader.next_member().unwrap() {
        seen.push(match member {
            Member::File(file) => format!("{} {:?}", file.entry().path, file.entry().content),
            Member::Link { path, target } => format!("{path} -> {target}"),
        });
    }
    assert_eq!(seen.len(), 3);
    assert!(seen[0].starts_with("bin/hello") && seen[0].contains("Program"), "{}", seen[0]);
    assert_eq!(seen[1], "share/README -> readme.txt");
    assert!(seen[2].starts_with("share/readme.txt") && seen[2].contains("Data"), "{}", seen[2]);
    assert_eq!(Bundled::read(&scene.out().join("hello-1.4.0-x86_64-unknown-linux-gnu.json")).unwrap(), bundled);
}

#[test]
fn one_file_is_an_executable() {
    let temp = tempfile::tempdir().unwrap();
    let source = temp.path().join("hello");
    std::fs::write(&source, "x").unwrap();
    let content = ChosenContent::File { source, mode: FileMode::Program };
    let (manifest, _) = describe(&contents(vec![Chosen { path: FilePath::parse("hello").unwrap(), content }])).unwrap();
    assert_eq!((manifest.install(), manifest.entry().as_str()), (InstallKind::Executable, "hello"));
}

#[test]
fn only_the_content_decides_the_bytes() {
    let (one, two) = (Scene::new(), Scene::new());
    // Made in another order, at another time, with other permissions of the group.
    std::fs::remove_file(two.folder().join("bin/hello")).unwrap();
    two.file("bin/hello", "#!/bin/sh\necho hello\n", 0o711);
    let (first, second) = (one.bundle().unwrap(), two.bundle().unwrap());
    assert_eq!(std::fs::read(&first.path).unwrap(), std::fs::read(&second.path).unwrap());
    assert_eq!(one.bundle().unwrap(), first);
    let dated = Packing::new(6, Some("1700000000")).unwrap();
    let shell = Shell::captured(MessageFormat::Human);
    let dated = bundle(&one.contents(), dated, &one.out().join("dated"), &shell).unwrap();
    assert_ne!(dated.part.sha256, first.part.sha256);
    assert_eq!(dated.part.manifest, first.part.manifest);
}

#[test]
fn the_date_must_be_seconds() {
    for bad in ["", "yesterday", "-1", "99999999999999"] {
        let error = Packing::new(9, Some(bad)).unwrap_err();
        assert!(matches!(error, BundleStepError::SourceDateEpoch { value } if value == bad));
    }
}

#[test]
fn what_no_bundle_carries_is_refused_by_name() {
    let refused = |prepare: &dyn Fn(&Scene)| {
        let scene = Scene::new();
        prepare(&scene);
        from_folder(&scene.folder()).unwrap_err()
    };
    let error = refused(&|scene| scene.file("share/aux.txt", "", 0o644));
    assert!(matches!(error, BundleStepError::Name { path, .. } if path.ends_with("share/aux.txt")));
    let error = refused(&|scene| scene.file("share/a\\b", "", 0o644));
    assert!(matches!(error, BundleStepError::Name { .. }));
    let error = refused(&|scene| {
        use std::os::unix::ffi::OsStrExt as _;
        let odd = scene.folder().join(std::ffi::OsStr::from_bytes(b"odd\xff"));
        std::fs::write(odd, "").unwrap();
    });
    assert!(matches!(error, BundleStepError::NotUtf8 { .. }));
    for target in ["/etc/passwd", "../../outside", "../share/../../x"] {
        let error = refused(&|scene| symlink(target, scene.folder().join("share/link")).unwrap());
        assert!(matches!(error, BundleStepError::LinkOutside { target: found, .. } if found == target));
    }
    let error = refused(&|scene| {
        drop(std::os::unix::net::UnixListener::bind(scene.folder().join("socket")).unwrap());
    });
    assert!(matches!(error, BundleStepError::Special { kind: "a socket", .. }));
    let error = refused(&|scene| std::fs::remove_dir_all(scene.folder()).unwrap());
    assert!(matches!(error, BundleStepError::NoFolder { .. }));
    let error = refused(&|scene| {
        std::fs::remove_dir_all(scene.folder()).unwrap();
        std::fs::create_dir_all(scene.folder().join("empty")).unwrap();
    });
    assert!(matches!(error, BundleStepError::Empty { .. }));
}

#[test]
fn files_that_are_no_release_together_are_refused() {
    let scene = Scene::new();
    scene.file("bin/other", "", 0o755);
    let error = scene.bundle().unwrap_err();
    assert!(matches!(&error, BundleStepError::WhichEntry { programs } if programs.len() == 2));
    assert_eq!(error.to_string(), "2 programs could be the entry: bin/hello, bin/other ...");
    let scene = Scene::new();
    scene.file("bin/hello", "", 0o644);
    assert!(matches!(scene.bundle(), Err(BundleStepError::WhichEntry { programs }) if programs.is_empty()));
    let scene = Scene::new();
    scene.file("share/ReadMe.txt", "", 0o644);
    let error = scene.bundle().unwrap_err();
    assert!(
        matches!(&error, BundleStepError::Manifest { source } if source.to_string().contains("case only")),
        "{error}"
    );
    let scene = Scene::new();
    symlink("nowhere", scene.folder().join("dangling")).unwrap();
    let error = scene.bundle().unwrap_err();
    assert!(
        matches!(&error, BundleStepError::Manifest { source } if source.to_string().contains("nothing")),
        "{error}"
    );
}

#[test]
fn a_program_for_another_processor_is_refused_and_libc_is_read() {
    let scene = Scene::new();
    let exe = std::env::current_exe().unwrap();
    std::fs::copy(exe, scene.folder().join("bin/hello")).unwrap();
    let mut wanted = scene.contents();
    wanted.platform = Platform::parse("mips-unknown-linux-gnu").unwrap();
    let error = describe(&wanted).unwrap_err();
    assert!(matches!(error, BundleStepError::Machine { path, .. } if path.ends_with("bin/hello")));
    if cfg!(all(target_arch = "x86_64", target_env = "gnu")) {
        // Described and not packed: this program is large.
        let libc = describe(&scene.contents()).unwrap().1.unwrap().to_string();
        assert!(libc.starts_with("2."), "{libc}");
    }
}

#[test]
fn a_bundle_that_changed_is_not_taken_for_its_part() {
    let scene = Scene::new();
    let bundled = scene.bundle().unwrap();
    let mut bytes = std::fs::read(&bundled.path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&bundled.path, bytes).unwrap();
    let part = bundled.path.with_file_name("hello-1.4.0-x86_64-unknown-linux-gnu.json");
    assert!(matches!(Bundled::read(&part), Err(BundleStepError::Changed { path }) if path == bundled.path));
}

#[test]
fn include_takes_files_where_they_lie_in_the_package() {
    let scene = Scene::new();
    scene.file("target/release/hello", "built", 0o755);
    scene.file("target/other.txt", "not ours", 0o644);
    scene.file(".git/config.txt", "not ours", 0o644);
    let package = scene.folder();
    let built = [Built { name: "hello".to_owned(), path: package.join("target/release/hello") }];
    let entry = FilePath::parse("bin/hello-app").unwrap();
    let choose = |include: &[&str]| {
        let include: Vec<PathPattern> = include.iter().map(|glob| PathPattern::parse(glob).unwrap()).collect();
        from_build(&built, &entry, &package, &package.join("target"), &include)
    };
    let paths = |chosen: Vec<Chosen>| chosen.iter().map(|c| c.path.to_string()).collect::<Vec<_>>();
    assert_eq!(paths(choose(&[]).unwrap()), ["bin/hello"]);
    assert_eq!(paths(choose(&["**/*.txt"]).unwrap()), ["bin/hello", "share/readme.txt"]);
    assert_eq!(paths(choose(&["share/*"]).unwrap()), ["bin/hello", "share/README", "share/readme.txt"]);
    assert!(matches!(choose(&["*.txt"]), Err(BundleStepError::GlobEmpty { glob, .. }) if glob == "*.txt"));
    // An odd name that a pattern means is refused, one that none means is nobody's business.
    for odd in ["share/aux.txt", "share/a:b", "share/end."] {
        scene.file(odd, "", 0o644);
        assert!(matches!(choose(&["share/*"]), Err(BundleStepError::Name { path, .. }) if path.ends_with(odd)));
        assert_eq!(choose(&["bin/*"]).unwrap().len(), 2);
        std::fs::remove_file(package.join(odd)).unwrap();
    }
}

#[test]
fn a_program_must_carry_its_root_and_its_names() {
    let scene = Scene::new();
    let (root, program) = (scene.temp.path().join("root.json"), scene.temp.path().join("program"));
    let contents = scene.contents();
    let check = |text: &str| {
        std::fs::write(&program, text).unwrap();
        check_embedded(&program, &root, &contents)
    };
    assert!(matches!(check(""), Err(BundleStepError::NoRoot { path, .. }) if path == root));
    std::fs::write(&root, "{\"signed\":{}}").unwrap();
    assert!(matches!(check("hello 1.4.0"), Err(BundleStepError::RootNotEmbedded { .. })));
    let old = "..{\"signed\":{}}..hello..1.3.0..x86_64-unknown-linux-gnu..";
    assert!(matches!(check(old), Err(BundleStepError::OtherRelease { missing, .. }) if missing == "1.4.0"));
    check(&old.replace("1.3.0", "1.4.0")).unwrap();
}

#[test]
fn every_error_says_what_to_do() {
    use crate::error::Explain as _;
    let temp = tempfile::tempdir().unwrap();
    let errors = [
        from_folder(&temp.path().join("none")).unwrap_err(),
        Part::read(&temp.path().join("none")).unwrap_err(),
        Packing::new(9, Some("x")).unwrap_err(),
        describe(&contents(Vec::new())).unwrap_err(),
    ];
    for error in errors {
        assert!(error.hints().iter().all(|hint| !hint.is_empty()), "{error}");
    }
}

#[test]
fn threads_stay_within_the_memory() {
    for level in 0..=9 {
        let taken = u64::from(threads(level)) * DICTIONARIES[level as usize] * MEMORY_PER_DICTIONARY_BYTE;
        assert!(taken <= PACK_MEMORY, "level {level} takes {taken} bytes");
    }
    assert!(threads(99) >= 1);
}
