//! A few rounds of the race of publishers (`publish-race` runs a hundred): nothing is lost, and every state that a client
//! sees verifies.

#![expect(clippy::unwrap_used, reason = "in a test a wrong set-up is a failure like any other")]

use std::process::Command;

/// Runs the race; returns its last line, `None` where the server is absent.
fn last_line(arguments: &[&str]) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_publish-race")).args(arguments).output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}\n{errors}");
    if errors.contains("skipped: ") {
        return None;
    }
    Some(text.lines().last().unwrap_or_default().to_owned())
}

fn race(on: &str, rounds: usize) {
    let Some(last) = last_line(&["--on", on, "--rounds", &rounds.to_string()]) else { return };
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

/// Of a server that looks first and writes later, so that both of two conditional requests succeed: the publishers find out and
/// take turns.
#[test]
fn two_publishers_of_a_bucket_whose_conditions_fail_lose_nothing() {
    race("careless", 3);
}

#[test]
fn two_publishers_by_sftp_lose_nothing() {
    race("sftp", 3);
}

/// A sample of the operations; `publish-race --stop-every 1` stops at each.
#[test]
fn a_stopped_publish_is_continued_by_another_one() {
    for (on, every) in [("fs", 4), ("s3", 9)] {
        let Some(last) = last_line(&["--on", on, "--stop-every", &every.to_string()]) else { continue };
        let stops = last.split(' ').nth(2).and_then(|number| number.parse::<usize>().ok()).unwrap_or_default();
        let polls = 2 * stops;
        assert_eq!(last, format!("publish stops: {stops} releases on {on}, {polls} polls, 0 lost, 0 broken"));
        assert!(stops * every > 20, "only {stops} stops on {on}: they do not reach the protocol");
    }
}
