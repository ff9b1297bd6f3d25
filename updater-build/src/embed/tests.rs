//! What lands in `OUT_DIR`, for good packages and for bad ones.

use super::*;
use crate::check::fixtures;

struct Package {
    folder: tempfile::TempDir,
    environment: BuildEnvironment,
}

/// Makes a package whose table has these lines, with or without a good root for the keys 1 and 2.
fn package(lines: &str, root: Option<&[u8]>) -> Package {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("package");
    let out = folder.path().join("out");
    std::fs::create_dir_all(path.join("updater")).unwrap();
    std::fs::create_dir_all(&out).unwrap();
    std::fs::write(path.join("Cargo.toml"), format!("[package]\nname = \"hello\"\n{lines}\n")).unwrap();
    if let Some(root) = root {
        std::fs::write(path.join("updater/root.json"), root).unwrap();
    }
    let environment = BuildEnvironment {
        package: path,
        out,
        version: "1.2.3".to_owned(),
        target: "x86_64-unknown-linux-gnu".to_owned(),
        source_date_epoch: None,
        commit_time: Some(UtcTime::from_unix(1000)),
    };
    Package { folder, environment }
}

fn good_table() -> String {
    format!(
        "[package.metadata.updater]\nurl = [\"https://a.example/x\", \"https://b.example\"]\nchannel = \"beta\"\n\
         channels = {{ stable = [], beta = [\"stable\"] }}\npublic-key = [{}]\n",
        [1, 2].map(|seed| format!("{:?}", fixtures::public_line(seed))).join(", ")
    )
}

fn read(package: &Package, name: &str) -> String {
    std::fs::read_to_string(package.environment.out.join(name)).unwrap()
}

#[test]
fn a_good_package_embeds_the_root_byte_for_byte() {
    let root = fixtures::signed(&fixtures::root(&[1, 2], 2), &[1, 2]);
    let package = package(&good_table(), Some(&root));
    let embedding = write(&package.environment, UtcTime::from_unix(10)).unwrap();
    assert_eq!(embedding.warnings, [""; 0]);
    assert_eq!(embedding.inputs.len(), 2);
    assert_eq!(read(&package, "updater_root.json").as_bytes(), root);
    let expected = r#"::updater_runtime::Embedded {
    schema: 1,
    app: "hello",
    version: "1.2.3",
    triple: "x86_64-unknown-linux-gnu",
    channel: ::core::hint::black_box("cargo-updater-channels=beta,stable;").split_at(23).1.split_at(4).0,
    fallback: &["stable"],
    urls: &["https://a.example/x", "https://b.example"],
    root: include_bytes!(concat!(env!("OUT_DIR"), "/updater_root.json")),
    install: "executable",
    entry: "hello",
    trial: "start",
    missing_status: &[404],
    build_time: 1000,
    disabled: ::core::option::Option::None,
}
"#;
    assert_eq!(read(&package, "updater_embedded.rs"), expected);
}

#[test]
fn the_build_time_is_source_date_epoch_then_the_commit_then_now() {
    let root = fixtures::signed(&fixtures::root(&[1, 2], 2), &[1, 2]);
    let mut package = package(&good_table(), Some(&root));
    let mut build_time = |epoch: Option<&str>, commit: Option<i64>| {
        package.environment.source_date_epoch = epoch.map(str::to_owned);
        package.environment.commit_time = commit.map(UtcTime::from_unix);
        write(&package.environment, UtcTime::from_unix(10)).map(|_| {
            let text = read(&package, "updater_embedded.rs");
            let line = text.lines().find_map(|line| line.trim().strip_prefix("build_time: ")).unwrap().to_owned();
            line.trim_end_matches(',').parse::<i64>().unwrap()
        })
    };
    assert_eq!(build_time(Some("77"), Some(1000)).unwrap(), 77);
    assert_eq!(build_time(None, Some(1000)).unwrap(), 1000);
    assert_eq!(build_time(None, None).unwrap(), 10);
    for bad in ["yesterday", "-1", "1.5"] {
        assert!(matches!(build_time(Some(bad), None), Err(EmbedError::SourceDateEpoch { .. })), "{bad}");
    }
}

#[test]
fn a_package_without_table_or_root_builds_with_a_disabled_updater() {
    for (lines, reason) in [(String::new(), "cargo updater init"), (good_table(), "no trusted root")] {
        let package = package(&lines, None);
        let embedding = write(&package.environment, UtcTime::from_unix(10)).unwrap();
        assert!(embedding.warnings[0].contains(reason), "{:?}", embedding.warnings);
        let text = read(&package, "updater_embedded.rs");
        assert!(text.contains("version: \"1.2.3\"") && text.contains("root: &[]"), "{text}");
        let disabled = text.lines().find(|line| line.trim().starts_with("disabled:")).unwrap();
        assert!(disabled.contains("Some(") && disabled.contains(reason), "{disabled}");
    }
}

#[test]
fn a_root_that_is_refused_or_a_missing_url_fails_the_build() {
    let unsigned = fixtures::signed(&fixtures::root(&[1, 2], 2), &[1]);
    let package_with_bad_root = package(&good_table(), Some(&unsigned));
    let result = write(&package_with_bad_root.environment, UtcTime::from_unix(10));
    assert!(matches!(result, Err(EmbedError::Root { source: RootError::NotSigned { .. }, .. })));
    assert!(!package_with_bad_root.environment.out.join("updater_embedded.rs").exists());

    let root = fixtures::signed(&fixtures::root(&[1, 2], 2), &[1, 2]);
    let no_url = package("[package.metadata.updater]\n", Some(&root));
    let result = write(&no_url.environment, UtcTime::from_unix(10));
    assert!(matches!(result, Err(EmbedError::Table(TableError::Missing { key: "url" }))));
    drop(no_url.folder);
}

#[test]
fn a_second_run_leaves_the_files_alone() {
    let root = fixtures::signed(&fixtures::root(&[1, 2], 2), &[1, 2]);
    let package = package(&good_table(), Some(&root));
    write(&package.environment, UtcTime::from_unix(10)).unwrap();
    let changed =
        || std::fs::metadata(package.environment.out.join("updater_embedded.rs")).unwrap().modified().unwrap();
    let before = changed();
    write(&package.environment, UtcTime::from_unix(20)).unwrap();
    assert_eq!(before, changed());
}
