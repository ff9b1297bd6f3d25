//! What a test does when a tool it needs is absent: says so, or fails where everything is required.

#![expect(clippy::print_stderr, reason = "a test that skips says so")]

use std::process::{Command, Stdio};

/// Tells whether a command can be started. When it cannot, prints `skipped: NAME (install with HOW)`, or panics under
/// `UPDATER_REQUIRE=all`.
///
/// # Panics
/// When the command is absent and the environment requires all.
#[must_use]
pub fn command(name: &str, how: &str) -> bool {
    let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    found || absent(name, how)
}

/// Reports that something a test needs is not there; returns false.
///
/// # Panics
/// Under `UPDATER_REQUIRE=all`.
#[must_use]
pub fn absent(what: &str, how: &str) -> bool {
    assert!(std::env::var("UPDATER_REQUIRE").as_deref() != Ok("all"), "{what} is required here (install with {how})");
    eprintln!("skipped: {what} (install with {how})");
    false
}

/// Reports that a test was left out because it takes too long to be part of every run.
pub fn opt_in(what: &str, how: &str) {
    eprintln!("skipped: {what} (opt in with {how})");
}

/// Tells whether the test runs as root, which some faults need.
///
/// # Panics
/// Under `UPDATER_REQUIRE=all`, when it does not.
#[must_use]
pub fn root(why: &str) -> bool {
    rustix::process::geteuid().is_root() || absent(why, "sudo: the tests must run as root")
}

/// Tells whether the test may mount file systems: it runs as root, and nothing around it, a container for example, forbids
/// that.
///
/// # Panics
/// Under `UPDATER_REQUIRE=all`, when it may not.
#[must_use]
pub fn mounts(why: &str) -> bool {
    if !root(why) {
        return false;
    }
    let Ok(folder) = tempfile::tempdir() else { return absent(why, "a folder for temporary files") };
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let mounted = run("mount", &["-t", "tmpfs", "-o", "size=64k", "tmpfs"]) && run("umount", &[]);
    mounted || absent(why, "the right to mount: CAP_SYS_ADMIN, as `docker run --privileged` gives it")
}
