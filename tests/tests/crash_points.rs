//! A sample of the crash points (`cargo run -p updater-tests --bin crash-points -- --all` runs them all): real updates,
//! returns, trials and repairs are killed at a call, a call fails, or the power is cut, and what is left must start.

use std::process::Command;
use updater_tests::require;

#[test]
fn no_crash_point_leaves_a_broken_install() {
    if !require::command("strace", "apt install strace") {
        return;
    }
    let output =
        Command::new(env!("CARGO_BIN_EXE_crash-points")).args(["--runs", "200", "--seconds", "15"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    // The seed stands in the first line.
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let last = text.lines().last().unwrap_or_default();
    let numbers: Vec<usize> = last.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    let [calls, faults, kinds, runs, failures] = numbers[..] else { panic!("{text}") };
    let expected =
        format!("crash points: {calls} calls, {faults} faults, {kinds} kinds, {runs} runs, {failures} failures");
    assert_eq!((last, kinds, failures), (expected.as_str(), 5, 0));
    assert!(calls > 0 && faults > 0 && runs == calls + faults, "{last}");
}

#[test]
fn a_call_that_does_not_exist_is_an_error() {
    if !require::command("strace", "apt install strace") {
        return;
    }
    let run = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_crash-points")).args(arguments).output().unwrap();
    let output = run(&["--at", "executable/bundle/rename:999=KILL"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no call"));
    let output = run(&["--at", "executable/trial/cut:99999=later"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no call"));
    assert_eq!(run(&["--nonsense", "1"]).status.code(), Some(1));
}
