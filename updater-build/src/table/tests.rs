//! The table as people write it: defaults, inheritance, and every refusal with its name.

use super::*;

/// Writes a package manifest with these lines in its table, and reads the table.
fn table(lines: &str) -> Result<Table, TableError> {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("Cargo.toml");
    std::fs::write(&manifest, format!("[package]\nname = \"hello\"\n[package.metadata.updater]\n{lines}\n")).unwrap();
    Ok(Table::read(&manifest)?.expect("the table is there"))
}

#[test]
fn an_empty_table_has_the_documented_defaults() {
    let table = table("").unwrap();
    assert_eq!(table.app.as_str(), "hello");
    assert_eq!(table.root, Path::new("updater/root.json"));
    assert_eq!((table.channel.as_str(), table.patches_from, table.keep), ("stable", 3, 3));
    assert_eq!((table.trial, table.probe, table.allow_single_root_key), (Trial::Start, true, false));
    assert_eq!((table.missing_status, table.kind, table.urls), (vec![404], None, vec![]));
    assert_eq!(table.channels, [ChannelEntry { name: Channel::stable(), fallback: vec![] }]);
}

#[test]
fn every_key_is_read() {
    let table = table(
        r#"
        app = "other"
        public-key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
        root = "trust/root.json"
        allow-single-root-key = true
        url = ["https://a.example/x/", "https://b.example"]
        storage = "fs:/srv/repository"
        channel = "beta"
        channels = { stable = [], beta = ["stable"] }
        kind = "directory"
        bins = ["one", "two"]
        targets = ["x86_64-unknown-linux-musl"]
        profile = "dist"
        features = ["full"]
        include = ["share/**"]
        entry = "bin/one"
        patches-from = 0
        keep = 5
        keep-local = ["etc/*.toml"]
        layout = "hashed"
        trial = "confirm"
        probe = false
        missing-status = [404, 403]
        launcher = { restart = "always", stop = { grace = "3s" }, hooks = { before-start = [["bin/migrate"]] } }
        "#,
    )
    .unwrap();
    assert_eq!(table.app.as_str(), "other");
    assert_eq!(
        table.urls.iter().map(RepositoryUrl::as_str).collect::<Vec<_>>(),
        ["https://a.example/x", "https://b.example"]
    );
    assert_eq!(table.fallback(), [Channel::stable()]);
    assert_eq!(
        (table.install_kind(&linux()), table.trial, table.probe),
        (InstallKind::Directory, Trial::Confirm, false)
    );
    assert_eq!((table.patches_from, table.keep, table.missing_status), (0, 5, vec![404, 403]));
    assert_eq!((table.entry.unwrap().as_str(), table.bins), ("bin/one", vec!["one".to_owned(), "two".to_owned()]));
    assert_eq!((table.storage.as_deref(), table.profile.as_deref()), (Some("fs:/srv/repository"), Some("dist")));
}

#[test]
fn one_program_without_extra_files_is_an_executable() {
    assert_eq!(table("bins = [\"a\"]").unwrap().install_kind(&linux()), InstallKind::Executable);
    assert_eq!(table("bins = [\"a\", \"b\"]").unwrap().install_kind(&linux()), InstallKind::Directory);
    assert_eq!(table("include = [\"LICENSE\"]").unwrap().install_kind(&linux()), InstallKind::Directory);
}

#[test]
fn a_misspelled_key_is_refused_with_the_right_one() {
    let error = table("chanel = \"beta\"").unwrap_err();
    assert!(
        matches!(&error, TableError::UnknownKey { key, suggestion: Some(s), .. } if key == "chanel" && s == "channel")
    );
    assert_eq!(error.hint(), "did you mean `channel`?");
    let error = table("colour = 1").unwrap_err();
    assert!(matches!(error, TableError::UnknownKey { suggestion: None, .. }));
}

#[test]
fn an_app_bundle_is_one_on_macos_alone() {
    let mac = Platform::parse("aarch64-apple-darwin").unwrap();
    let with = |lines: &str| table(&format!("kind = \"app-bundle\"\n{lines}")).unwrap();
    let read = with("bins = [\"a\"]");
    assert_eq!(
        (read.install_kind(&mac), read.install_kind(&linux())),
        (InstallKind::AppBundle, InstallKind::Executable)
    );
    assert_eq!(with("include = [\"LICENSE\"]").install_kind(&linux()), InstallKind::Directory);
    assert_eq!((read.entry_for(&mac, "a"), read.entry_for(&linux(), "a")), ("Contents/MacOS/a".into(), "a".into()));
    let read = with("entry = \"bin/b\"");
    assert_eq!((read.entry_for(&mac, "a"), read.entry_for(&linux(), "a")), ("Contents/MacOS/b".into(), "bin/b".into()));
    assert_eq!(with("entry = \"Contents/MacOS/b\"").entry_for(&mac, "a"), "Contents/MacOS/b");
}

#[test]
fn values_of_another_type_or_out_of_range_are_refused() {
    for line in ["app = 1", "url = [1]", "keep = \"3\"", "probe = \"no\"", "channels = 1", "missing-status = 404"] {
        assert!(matches!(table(line), Err(TableError::WrongType { .. })), "{line}");
    }
    for line in [
        "keep = 0",
        "keep = 101",
        "patches-from = -1",
        "missing-status = [200]",
        "missing-status = []",
        "trial = \"never\"",
        "kind = \"file\"",
        "layout = \"flat\"",
        "layout = \"plain\"",
        "storage = \"github:o/r\"\nlayout = \"hashed\"",
        "storage = \"github:o/r\"\nurl = \"https://o.github.io/r\"",
        "channels = [\"a\", \"a\"]",
        "channels = { a = [\"a\"] }",
        "channels = { a = [\"b\"] }",
    ] {
        assert!(matches!(table(line), Err(TableError::Value { .. })), "{line}");
    }
    for line in [
        "app = \"He/llo\"",
        "channel = \"root\"",
        "targets = [\"linux\"]",
        "root = \"../r\"",
        "entry = \"/x\"",
        "public-key = \"RWQ\"",
        "include = [\"../x\"]",
    ] {
        assert!(matches!(table(line), Err(TableError::Format { .. })), "{line}");
    }
    assert!(matches!(table("url = \"http://example.com\""), Err(TableError::Url { .. })));
}

#[test]
fn the_launchers_table_is_checked_and_kept_as_written() {
    let read = table("[package.metadata.updater.launcher]\nkeep = 3\nargs = [\"-v\"]\nstop.grace = \"3s\"").unwrap();
    let launcher = read.launcher.clone().unwrap();
    assert_eq!(updater_format::json::compact(&launcher.into()), br#"{"args":["-v"],"keep":3,"stop":{"grace":"3s"}}"#);
    assert_eq!(read.install_kind(&linux()), InstallKind::Directory, "the table is a second file of the bundle");
    match table("launcher = { stop = { grase = \"3s\" } }") {
        Err(TableError::UnknownKey { key, suggestion, .. }) => {
            assert_eq!((key.as_str(), suggestion.as_deref()), ("stop.grase", Some("stop.grace")));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(table("launcher = { keep = 1.5 }"), Err(TableError::Value { key: "launcher", .. })));
    assert!(matches!(table("launcher = { interval = 2026-11-20 }"), Err(TableError::Value { key: "launcher", .. })));
}

#[test]
fn the_package_wins_over_the_workspace() {
    let folder = tempfile::tempdir().unwrap();
    let member = folder.path().join("crates/hello");
    std::fs::create_dir_all(&member).unwrap();
    let write = |path: &Path, text: &str| std::fs::write(path, text).unwrap();
    write(
        &folder.path().join("Cargo.toml"),
        "[workspace]\nexclude = [\"other\"]\n[workspace.metadata.updater]\nkeep = 7\nchannel = \"beta\"\n",
    );
    let manifest = member.join("Cargo.toml");
    write(&manifest, "[package]\nname = \"hello\"\n[package.metadata.updater]\nchannel = \"nightly\"\n");
    let table = Table::read(&manifest).unwrap().unwrap();
    assert_eq!((table.keep, table.channel.as_str()), (7, "nightly"));
    assert_eq!(Manifest::read(&manifest).unwrap().files().count(), 2);

    let outside = folder.path().join("other");
    std::fs::create_dir(&outside).unwrap();
    write(&outside.join("Cargo.toml"), "[package]\nname = \"other\"\n");
    assert_eq!(Table::read(&outside.join("Cargo.toml")).unwrap(), None);
}

#[test]
fn broken_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("Cargo.toml");
    assert!(matches!(Table::read(&manifest), Err(TableError::Read { .. })));
    std::fs::write(&manifest, "[package\n").unwrap();
    assert!(matches!(Table::read(&manifest), Err(TableError::Syntax { .. })));
    std::fs::write(&manifest, "[package.metadata.updater]\n").unwrap();
    assert!(matches!(Table::read(&manifest), Err(TableError::NotAPackage { .. })));
}

#[test]
fn the_page_lists_every_key_and_its_example_is_read() {
    let page = include_str!("../../../docs/format/table.md");
    let keys: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    for key in &keys {
        // A date is of no type that any key has, so a known key says that and an unknown one says that it is unknown.
        let error = table(&format!("{key} = 2026-11-20")).unwrap_err();
        assert!(matches!(&error, TableError::WrongType { key: found, .. } if found == key), "{key}: {error}");
    }
    let own = include_str!("tests.rs");
    let every = own.split("fn every_key_is_read").nth(1).unwrap().split("\"#").next().unwrap();
    let read = every.lines().filter_map(|line| line.trim().split_once(" = ")).map(|(key, _)| key);
    for key in read.filter(|key| !key.contains(' ')) {
        assert!(keys.contains(&key), "{key} is not on the page");
    }
    let example = page.split("```toml\n[package.metadata.updater]\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(table(example).unwrap().trial, Trial::Confirm);
}

#[test]
fn hooks_are_argument_lists_with_a_limit() {
    let hooks = table(
        "hooks = { after-build = [\"sign\", \"{{file}}\"], upload = [[\"a\"], [\"b\", \"c d\"]], limit = \"90s\" }",
    );
    let hooks = hooks.unwrap().hooks;
    assert_eq!(hooks.after_build, [["sign", "{{file}}"]]);
    assert_eq!(hooks.upload, [vec!["a"], vec!["b", "c d"]]);
    assert_eq!(hooks.limit, std::time::Duration::from_secs(90));
    assert!(hooks.before_bundle.is_empty() && hooks.before_upload.is_empty() && hooks.after_publish.is_empty());
    for (line, told) in [
        ("upload = []", "`upload` names no program"),
        ("upload = [\"\"]", "`upload` names no program"),
        ("upload = [\"x\", \"{{version}}\"]", "is given no {{version}}; it may have {{app}}, {{step}}, {{folder}}"),
        ("upload = [\"x\", \"{{step\"]", "`upload` is given no"),
        ("upload = [\"x\", \"a\\u0000\"]", "an argument with a NUL"),
        ("limit = \"soon\"", "no length of time"),
        ("limit = \"0s\"", "must leave some time"),
    ] {
        let error = table(&format!("hooks = {{ {line} }}")).unwrap_err();
        assert!(matches!(error, TableError::Value { key: "hooks", .. }) && error.to_string().contains(told), "{error}");
    }
    for line in ["upload = \"rclone copy\"", "upload = [1]", "upload = [[\"a\"], \"b\"]", "limit = 3"] {
        let error = table(&format!("hooks = {{ {line} }}")).unwrap_err();
        assert!(matches!(error, TableError::WrongType { .. }), "{line}: {error}");
    }
    let error = table("hooks = { after-biuld = [\"x\"] }").unwrap_err();
    assert_eq!(error.hint(), "did you mean `after-build`?");
}

#[test]
fn one_line_of_a_workspace_gives_each_app_a_place_of_its_own() {
    let read = table(
        "app = \"tool\"\nurl = \"https://example.com/{app}/\"\nstorage = \"s3://bucket/{app}\"\nprivate-storage = \"fs:/srv/{app}\"",
    );
    let read = read.unwrap();
    assert_eq!(read.urls[0].as_str().trim_end_matches('/'), "https://example.com/tool");
    assert_eq!(read.storage.as_deref(), Some("s3://bucket/tool"));
    assert_eq!(read.private_storage.as_deref(), Some("fs:/srv/tool"));
}

fn linux() -> Platform {
    Platform::parse("x86_64-unknown-linux-gnu").unwrap()
}
