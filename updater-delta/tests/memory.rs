//! Applying a large program's delta in little memory: opt-in, because it takes real programs.
//!
//!     UPDATER_CORPUS=target/corpus cargo test --release -p updater-delta --features encode --test memory
#![cfg(all(feature = "encode", target_os = "linux"))]

use std::path::Path;
use std::process::Command;

/// Address space of the applying process, in bytes: 64 MiB, of which the program and its libraries take some.
const MEMORY: u64 = 64 << 20;

#[test]
fn programs_are_patched_in_64_mib() {
    let Some(corpus) = std::env::var_os("UPDATER_CORPUS") else {
        println!("skipped: name a folder with NAME/old and NAME/new by UPDATER_CORPUS");
        return;
    };
    // Tests run in their crate's folder, people in the workspace's.
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(corpus);
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (patch, made) = (scratch.join("memory.delta"), scratch.join("memory.new"));
    let mut pairs = 0;
    for pair in std::fs::read_dir(&corpus).unwrap() {
        let pair = pair.unwrap().path();
        let tool = env!("CARGO_BIN_EXE_updater-delta");
        let (old, new) = (pair.join("old"), pair.join("new"));
        let diffed = Command::new(tool).arg("diff").args([&old, &new, &patch]).status().unwrap();
        assert!(diffed.success(), "{}", pair.display());
        let applied = Command::new("prlimit")
            .arg(format!("--as={MEMORY}"))
            .args([tool, "apply"])
            .args([&old, &patch, &made])
            .status()
            .unwrap();
        assert!(applied.success(), "{} was not patched in {MEMORY} bytes", pair.display());
        assert!(std::fs::read(&made).unwrap() == std::fs::read(&new).unwrap(), "{}", pair.display());
        pairs += 1;
    }
    assert!(pairs > 0, "no pairs in {}", corpus.display());
}
