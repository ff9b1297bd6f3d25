//! A few rounds of the race of publishers (`publish-race` runs a hundred): nothing is lost, and every state that a client
//! sees verifies.

#![expect(clippy::unwrap_used, reason = "in a test a wrong set-up is a failure like any other")]

use std::process::Command;

fn race(on: &str, rounds: usize) {
    let output = Command::new(env!("CARGO_BIN_EXE_publish-race"))
        .args(["--on", on, "--rounds", &rounds.to_string()])
        .output()
        .unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{errors}");
    if errors.contains("skipped: ") {
        return;
    }
    let last = text.lines().last().unwrap_or_default();
    let polls = last.split(' ').rev().nth(5).and_then(|number| number.parse::<u64>().ok()).unwrap_or_default();
    let releases = 2 * rounds;
    assert_eq!(last, format!("publish race: {releases} releases on {on}, {polls} polls, 0 lost, 0 broken"));
    assert!(polls > 0, "{last}");
}

#[test]
fn two_publishers_of_a_folder_lose_nothing() {
    race("fs", 5);
}

#[test]
fn two_publishers_of_a_bucket_lose_nothing() {
    race("s3", 5);
}

#[test]
fn two_publishers_by_sftp_lose_nothing() {
    race("sftp", 3);
}
