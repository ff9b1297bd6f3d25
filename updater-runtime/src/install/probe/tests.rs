use super::{Identity, ProbeError, is_nonce, nonce, probe};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use updater_format::{AppId, Platform, ReleaseVersion};

const LIMIT: Duration = Duration::from_secs(20);

fn run(script: &str, limit: Duration) -> Result<(), ProbeError> {
    let folder = tempfile::tempdir().unwrap();
    probe_at(&write(folder.path(), script), limit)
}

fn write(folder: &Path, script: &str) -> PathBuf {
    let program = folder.join("program");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

fn probe_at(program: &Path, limit: Duration) -> Result<(), ProbeError> {
    let identity = Identity {
        app: &AppId::parse("hello").unwrap(),
        version: &ReleaseVersion::parse("1.1.0").unwrap(),
        platform: &Platform::parse("x86_64-unknown-linux-gnu").unwrap(),
    };
    probe(program, &identity, limit)
}

const ANSWER: &str = "echo \"updater-probe 1 $UPDATER_PROBE hello 1.1.0 x86_64-unknown-linux-gnu\"";

#[test]
fn the_right_answer_passes() {
    run(ANSWER, LIMIT).unwrap();
    run(&format!("echo starting; {ANSWER}; exit 0"), LIMIT).unwrap();
}

#[test]
fn every_other_answer_is_shown_beside_the_expected_one() {
    for script in [
        "exit 0",
        "echo hello",
        "echo \"updater-probe 1 $UPDATER_PROBE hello 1.0.0 x86_64-unknown-linux-gnu\"",
        "echo \"updater-probe 1 $UPDATER_PROBE other 1.1.0 x86_64-unknown-linux-gnu\"",
        "echo \"updater-probe 1 $UPDATER_PROBE hello 1.1.0 x86_64-unknown-linux-musl\"",
        "echo \"updater-probe 1 00000000000000000000000000000000 hello 1.1.0 x86_64-unknown-linux-gnu\"",
        "echo \"x $(updater-probe 1 $UPDATER_PROBE hello 1.1.0 x86_64-unknown-linux-gnu)\"",
    ] {
        let result = run(script, LIMIT);
        assert!(matches!(result, Err(ProbeError::Answer { .. })), "{script}: {result:?}");
    }
    let Err(ProbeError::Answer { got, .. }) = run("printf '\\033[2Jhacked'", LIMIT) else { panic!("accepted") };
    assert!(!got.contains('\u{1b}') && got.contains("hacked"));
}

#[test]
fn an_answer_before_a_failure_is_no_answer() {
    let result = run(&format!("{ANSWER}; exit 3"), LIMIT);
    assert!(matches!(result, Err(ProbeError::Ended { status, .. }) if status.code() == Some(3)));
    let result = run(&format!("{ANSWER}; kill -9 $$"), LIMIT);
    assert!(matches!(result, Err(ProbeError::Ended { status, .. }) if status.code().is_none()));
}

#[test]
fn what_a_program_says_as_it_fails_is_told() {
    let result =
        run("printf 'thread main panicked at src/main.rs:2:5:\\n\\033[2Jno words\\nmore\\n' >&2; exit 101", LIMIT);
    let text = result.unwrap_err().to_string();
    assert!(text.contains("it wrote \"thread main panicked at src/main.rs:2:5: / \\u{1b}[2Jno words\""), "{text}");
    assert_eq!(run("exit 1", LIMIT).unwrap_err().to_string(), "it ended with exit status: 1 instead of an answer");
    // More than is read, and an answer.
    run(&format!("head -c 300000 /dev/zero >&2 && {ANSWER}"), LIMIT).unwrap();
}

#[test]
fn a_program_that_hangs_is_killed_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let program = write(folder.path(), "sleep 600 & echo $! > child; wait");
    let begin = Instant::now();
    let result = probe_at(&program, Duration::from_millis(500));
    assert!(matches!(result, Err(ProbeError::TimedOut { .. })), "{result:?}");
    assert!(begin.elapsed() < Duration::from_secs(60));
    let child = std::fs::read_to_string(folder.path().join("child")).unwrap();
    let stat = PathBuf::from(format!("/proc/{}/stat", child.trim()));
    let is_gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_gone() {
        assert!(Instant::now() < deadline, "{} still runs", child.trim());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_it_leaves_behind_does_not_hold_us() {
    let begin = Instant::now();
    run(&format!("{ANSWER}; exec 1>&-; sleep 600 >/dev/null & exit 0"), LIMIT).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_program_that_floods_is_refused() {
    let result =
        run("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx || exit 1; done", LIMIT);
    assert!(matches!(result, Err(ProbeError::Ended { .. } | ProbeError::TimedOut { .. })), "{result:?}");
}

#[test]
fn what_cannot_be_started_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    std::fs::write(&program, "\x7fELF but not really").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(probe_at(&program, LIMIT), Err(ProbeError::Start { .. })));
    std::fs::write(&program, "#!/no/such/interpreter\n").unwrap();
    assert!(matches!(probe_at(&program, LIMIT), Err(ProbeError::Start { .. })));
}

#[test]
fn it_gets_the_probe_and_next_to_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let program = write(folder.path(), &format!("env > env; pwd > pwd; cat > stdin; echo $# > args; {ANSWER}"));
    probe_at(&program, LIMIT).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let known = ["UPDATER_PROBE", "PATH", "LD_LIBRARY_PATH", "PWD", "OLDPWD", "SHLVL", "_"];
    for line in read("env").lines() {
        let name = line.split('=').next().unwrap();
        assert!(known.contains(&name), "{name} was passed on");
    }
    assert_eq!(read("pwd").trim(), folder.path().canonicalize().unwrap().to_str().unwrap());
    assert_eq!((read("stdin").as_str(), read("args").trim()), ("", "0"));
}

#[test]
fn nonces_differ_and_are_recognised() {
    let (one, two) = (nonce(Path::new("a")), nonce(Path::new("a")));
    assert!(is_nonce(&one) && one != two);
    let upper = "A".repeat(32);
    for other in ["", "1", "yes", &upper, &format!("{one}0"), "../../../../../../etc/passwd000"] {
        assert!(!is_nonce(other), "{other}");
    }
}
