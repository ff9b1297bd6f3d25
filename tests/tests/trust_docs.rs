//! The worked example of `docs/format/metadata.md` is real: the very documents of a simulated repository, which a client
//! then verifies from the first to the last.

#![expect(clippy::unwrap_used, reason = "in a test a wrong set-up is a failure like any other")]

use updater_format::json;
use updater_format::signed::Untrusted;
use updater_format::trust::{Rules, TrustedSet};
use updater_format::{Channel, SignaturePolicy};
use updater_runtime::Clock as _;
use updater_tests::simulator::RepositorySimulator;

/// Returns the JSON blocks of the page, each under the file name in the line `**name**` before it.
fn examples() -> Vec<(String, Vec<u8>)> {
    let path = updater_tests::workspace().join("docs/format/metadata.md");
    let page = std::fs::read_to_string(path).unwrap();
    let mut found = Vec::new();
    let mut name = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(bold) = line.strip_prefix("**`").and_then(|line| line.split_once("`**")) {
            name = bold.0.to_owned();
        }
        if line == "```json" {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let value = json::parse("example", block.join("\n").as_bytes()).unwrap();
            found.push((name.clone(), json::compact(&value)));
        }
    }
    found
}

fn repository() -> RepositorySimulator {
    let sim = RepositorySimulator::new();
    sim.repo().release("stable", "1.0.0", b"the bytes of the bundle");
    sim
}

#[test]
fn the_examples_are_the_files_of_a_repository() {
    let sim = repository();
    let examples = examples();
    let names: Vec<&str> = examples.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["1.root.json", "timestamp.json", "2.snapshot.json", "1.targets.json", "2.stable.json"]);
    for (name, example) in &examples {
        let served = sim.file(&format!("metadata/{name}"));
        assert_eq!(String::from_utf8_lossy(example), String::from_utf8_lossy(&served), "{name}");
    }
}

#[test]
fn a_client_verifies_the_examples() {
    let [root, timestamp, snapshot, targets, stable] =
        <[_; 5]>::try_from(examples()).unwrap().map(|(_, bytes)| Untrusted::new(bytes));
    let sim = repository();
    let rules = Rules { now: sim.clock.now(), policy: SignaturePolicy::default(), app: Some("hello".parse().unwrap()) };
    let set = TrustedSet::new(rules, &root).unwrap().finish_root().unwrap();
    let set = set.timestamp(&timestamp, None).unwrap().snapshot(&snapshot, None).unwrap().targets(&targets).unwrap();
    let channel = set.channel(&Channel::stable(), &stable).unwrap();
    assert_eq!(channel.contents().bundles[0].version.to_string(), "1.0.0");
}

/// Prints the blocks for the page: `cargo test -p updater-tests --test trust_docs -- --ignored --nocapture`.
#[test]
#[ignore = "writes nothing; prints what the page must show"]
fn print_the_examples() {
    let sim = repository();
    for path in sim.files().iter().filter(|path| path.starts_with("metadata/") && !path.contains("beta")) {
        let value = json::parse("example", &sim.file(path)).unwrap();
        let name = path.trim_start_matches("metadata/");
        println!("**`{name}`**\n\n```json\n{}\n```\n", serde_json::to_string_pretty(&value).unwrap());
    }
}
