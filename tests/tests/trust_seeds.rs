//! The seeds of the fuzz targets: genuine documents, and the crafted inputs of each attack, one file each in `fuzz/seeds`.
//!
//! `cargo test -p updater-tests --test trust_seeds -- --ignored` writes them anew; the other test reads what is there.

#![expect(clippy::unwrap_used, reason = "in a test a wrong set-up is a failure like any other")]

use std::io::Read as _;
use std::path::PathBuf;
use updater_format::bundle::{BundleOptions, BundleWriter};
use updater_format::json::{self, Value};
use updater_format::launcher::LauncherSettings;
use updater_format::role::{Payload as _, Targets};
use updater_format::state::InstallState;
use updater_format::{AppId, release::ChannelContents};
use updater_format::{EntryContent, FileMode, InstallKind, Manifest, ManifestEntry, ManifestParts, Sha256};
use updater_tests::simulator::RepositorySimulator;

fn seeds() -> PathBuf {
    updater_tests::workspace().join("fuzz/seeds")
}

/// Every seed: the target, a name, the bytes.
fn all() -> Vec<(&'static str, String, Vec<u8>)> {
    let sim = RepositorySimulator::new();
    sim.repo().release("stable", "1.0.0", b"bundle");
    let mut all = Vec::new();
    let mut add = |target, name: &str, bytes: &[u8]| all.push((target, name.to_owned(), bytes.to_vec()));
    let documents = [
        ("root", "metadata/1.root.json"),
        ("timestamp", "metadata/timestamp.json"),
        ("snapshot", "metadata/2.snapshot.json"),
        ("targets", "metadata/1.targets.json"),
        ("stable", "metadata/2.stable.json"),
    ];
    for (name, path) in documents {
        add("role", name, &sim.file(path));
        add("json", name, &sim.file(path));
    }
    let stable = json::parse("stable", &sim.file("metadata/2.stable.json")).unwrap();
    add("release", "bundle", &json::compact(&stable["signed"]));
    // Each attack on a document, as the tests of trust make it.
    let crafted = |path: &str, change: &dyn Fn(&mut Value)| {
        let mut document = json::parse("seed", &sim.file(path)).unwrap();
        change(&mut document);
        json::compact(&document)
    };
    let root = "metadata/1.root.json";
    let threshold = |n: u64| crafted(root, &|d| d["signed"]["roles"]["root"]["threshold"] = n.into());
    let launcher = LauncherSettings::default().to_map();
    add("launcher", "defaults", &json::compact(&Value::Object(launcher)));
    add("launcher", "two-tables", LAUNCHER);
    // The header of a Mach-O file for two processors, and that of a PE file.
    let fat = [0xcafe_babe_u32, 2, 0x0100_000c, 0, 0x4000, 100, 14, 0x0100_0007, 3, 0x8000, 100, 14];
    add("executables", "fat", &fat.map(u32::to_be_bytes).concat());
    let mut pe = vec![0; 64];
    (pe[0], pe[1], pe[60]) = (b'M', b'Z', 64);
    add("executables", "pe", &[pe, b"PE\0\0\x64\x86".to_vec()].concat());
    add("role", "threshold-0", &threshold(0));
    add("role", "threshold-above-the-keys", &threshold(9));
    add("role", "threshold-above-32-bits", &threshold(1 << 40));
    let signature = |d: &mut Value| {
        let again = d["signatures"][0].clone();
        d["signatures"].as_array_mut().unwrap().push(again);
    };
    add("role", "a-key-id-signs-twice", &crafted(root, &signature));
    let version = |n: u64| crafted("metadata/timestamp.json", &|d| d["signed"]["version"] = n.into());
    add("role", "version-0", &version(0));
    add("role", "version-2-to-the-53", &version(1 << 53));
    add("role", "spec-version-2", &crafted(root, &|d| d["signed"]["spec_version"] = "2.0.0".into()));
    add(
        "role",
        "reserved-role-name",
        &crafted("metadata/1.targets.json", &|d| {
            d["signed"]["delegations"]["roles"][0]["name"] = "root".into();
        }),
    );
    add(
        "role",
        "role-name-is-a-path",
        &crafted("metadata/1.targets.json", &|d| {
            d["signed"]["delegations"]["roles"][0]["name"] = "../../etc/passwd".into();
        }),
    );
    add(
        "role",
        "hash-bins",
        &crafted("metadata/1.targets.json", &|d| {
            d["signed"]["delegations"]["succinct_roles"] =
                serde_json::json!({"bit_length": 32, "keyids": [], "name_prefix": "bin", "threshold": 1});
        }),
    );
    add(
        "role",
        "p256-key",
        &crafted(root, &|d| {
            let pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n";
            let keys = d["signed"]["keys"].as_object_mut().unwrap();
            let key = keys.values_mut().next().unwrap();
            *key = serde_json::json!({"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": pem}});
        }),
    );
    for (name, text) in [
        ("duplicate-key", r#"{"a":1,"a":2}"#.to_owned()),
        ("duplicate-key-escaped", r#"{"a":1,"\u0061":2}"#.to_owned()),
        ("float", "[1.0,1e1,-0.0,-1]".to_owned()),
        ("beyond-2-to-the-53", "[9007199254740993,18446744073709551616]".to_owned()),
        ("deep", format!("{}{}", "[".repeat(70), "]".repeat(70))),
        ("strings", r#"["\"\\\/\b\f\n\r\t","é","\ud83d\ude00","\ud83d"]"#.to_owned()),
        ("after-the-end", "{} {}".to_owned()),
    ] {
        add("json", name, text.as_bytes());
    }
    for (name, text) in [
        ("path-up", "../up"),
        ("path-drive", "C:\\x"),
        ("path-nul", "a\0b"),
        ("device", "CON.tar.xz"),
        ("target", "hello-1.0.0-x86_64-unknown-linux-gnu.tar.xz"),
        ("version", "1.0.0-rc.1"),
        ("version-build", "1.0.0+build"),
        ("time", "2026-11-20T08:30:00Z"),
        ("time-leap", "2026-02-29T00:00:60Z"),
        ("minisign", "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"),
    ] {
        add("names", name, text.as_bytes());
    }
    for (name, tar) in archives() {
        add("bundle", name, &tar);
    }
    add("manifest", "executable-and-link", &manifest().encode());
    add("patch", "add-copy-delta", &patch_header());
    add("state", "on-trial", STATE.as_bytes());
    add("search", "slow-pattern", format!("{}\n{}", "*a".repeat(60), "a".repeat(120)).as_bytes());
    add("search", "pattern-with-parts", b"releases/*/*.zip\nreleases/1.0/a.zip");
    all
}

fn manifest() -> Manifest {
    let file = |path: &str, content: &[u8]| ManifestEntry {
        path: path.parse().unwrap(),
        content: EntryContent::File {
            length: content.len() as u64,
            sha256: Sha256::of(content),
            mode: FileMode::Program,
        },
    };
    let link =
        ManifestEntry { path: "bin/link".parse().unwrap(), content: EntryContent::Link { target: "hello".to_owned() } };
    Manifest::new(ManifestParts {
        app: "hello".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        platform: "x86_64-unknown-linux-gnu".parse().unwrap(),
        install: InstallKind::Directory,
        entry: "bin/hello".parse().unwrap(),
        keep_local: vec!["etc/*.toml".parse().unwrap()],
        entries: vec![file("bin/hello", PROGRAM), link, file("etc/hello.toml", b"x = 1\n")],
        component: None,
    })
    .unwrap()
}

/// A good bundle and hostile ones, without their compression: the fuzz target compresses what it is given.
fn archives() -> Vec<(&'static str, Vec<u8>)> {
    let writer = BundleWriter::new(Vec::new(), &manifest(), &BundleOptions::default()).unwrap();
    let content = |path: &updater_format::FilePath| Ok(if path.as_str() == "bin/hello" { PROGRAM } else { b"x = 1\n" });
    let packed = writer.write_all(content).unwrap();
    let mut good = Vec::new();
    xz2::read::XzDecoder::new(&packed[..]).read_to_end(&mut good).unwrap();
    // The header of the first program: the block that begins with its name.
    let at = (0..good.len()).step_by(512).find(|at| good[*at..].starts_with(b"bin/hello\0")).unwrap();
    let with = |change: fn(&mut [u8])| {
        let mut bad = good.clone();
        let header = &mut bad[at..at + 512];
        change(header);
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bad
    };
    vec![
        ("path-up", with(|header| header[..9].copy_from_slice(b"../../etc"))),
        ("path-absolute", with(|header| header[..9].copy_from_slice(b"/etc/evil"))),
        ("hard-link", with(|header| header[156] = b'1')),
        ("device", with(|header| header[156] = b'3')),
        ("sparse", with(|header| header[156] = b'S')),
        ("setuid", with(|header| header[100..108].copy_from_slice(b"0004755\0"))),
        ("endless-size", with(|header| header[124..136].copy_from_slice(b"77777777777\0"))),
        ("binary-size", with(|header| header[124..136].fill(0xff))),
        ("pax", with(|header| header[156] = b'x')),
        ("good", good.clone()),
    ]
}

/// The header of a patch, without its compression.
fn patch_header() -> Vec<u8> {
    let text = String::from_utf8(manifest().encode()).unwrap();
    let source = serde_json::json!({"path": "bin/old", "length": 3, "sha256": Sha256::of(b"old").to_string()});
    let header = serde_json::json!({
        "app": "hello",
        "from": "0.9.0",
        "to": "1.0.0",
        "triple": "x86_64-unknown-linux-gnu",
        "manifest": text,
        "sources": [source],
        "operations": [{"delta": {"codec": "bsdiff-1", "packed": 9, "source": 0}}, {"add": {"packed": 60}}],
    });
    json::compact(&header)
}

const LAUNCHER: &[u8] = br#"{"exec":"bin/web","args":["--port","{port}"],"health":{"http":"http://127.0.0.1:8080/"}}\0{"args":[],"keep":5}"#;
const PROGRAM: &[u8] = b"#!/bin/sh\necho hello\n";
const STATE: &str = r#"{"bad":[{"manifest":"2f05d4b689d270cafb02285f35f44866f7dc8a2d368a3f9d1124373eeab31fb1","since":"2026-11-20T08:30:00Z","version":"1.0.9"}],"format":1,"install":"2623172e56e876b94d3c16ed5cccd8e382d3878e4bf6fced096139ab9c33390f","phase":{"name":"trial","from":{"entry":"6b1cdefbe68cf3b10a0f0e599a5ece5216d9c400bbdc6e4b58c5769c6933c5a0","manifest":"f589b8d3120193b2dbb5933de069561bf388cb3aa61d1e477f8e3c54eef762db","version":"1.0.0"},"to":{"entry":"0ef0a0714281933b81ab0098fe58a407e43890a305177e7e3376adb0e4245df8","manifest":"141bd8baa069b64fc417104f8da50bc13e374e9507f269f4fdb4139c6c59539f","version":"1.1.0"},"trial":"confirm"}}"#;

#[test]
fn the_seeds_on_disk_are_these() {
    for (target, name, bytes) in all() {
        let path = seeds().join(target).join(&name);
        assert_eq!(std::fs::read(&path).ok(), Some(bytes), "{}: write it with --ignored", path.display());
    }
    // And the genuine role among them is read to the end: a seed that stops at the first field covers nothing.
    let role = json::parse("seed", &std::fs::read(seeds().join("release/bundle")).unwrap()).unwrap();
    let app: AppId = "hello".parse().unwrap();
    let contents = ChannelContents::read(&app, &Targets::from_value(role).unwrap()).unwrap();
    assert_eq!(contents.bundles.len(), 1);
    InstallState::parse(STATE.as_bytes()).unwrap();
}

#[test]
#[ignore = "writes fuzz/seeds"]
fn write_the_seeds() {
    for (target, name, bytes) in all() {
        let folder = seeds().join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

/// What fuzzing starts from must hold: a run that fails on its first input finds nothing else.
#[test]
fn the_seeds_of_the_readers_of_programs_hold() {
    for target in ["delta_elf", "delta_pe", "delta_macho"] {
        let files: Vec<PathBuf> =
            std::fs::read_dir(seeds().join(target)).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty(), "{target} has no seeds");
        for path in files {
            let seed = std::fs::read(&path).unwrap();
            // The length of the old file, then both.
            let (length, both) = seed.split_first_chunk().unwrap();
            let (old, new) = both.split_at(u32::from_le_bytes(*length) as usize);
            assert!(updater_delta::doors::programs(old, new) > 0, "{}", path.display());
        }
    }
}
