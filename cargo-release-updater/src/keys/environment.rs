//! Secrets in variables of the environment. They leave it before anything else happens: every program that is started
//! would inherit them, also one that a library starts (`ssh`), and the system shows a process's first environment to
//! whoever runs as the same user for as long as it runs.
//!
//! A process cannot clean what it was started with. So it puts the secrets into a pipe and starts itself anew in its own
//! place, without them.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use zeroize::Zeroizing;

/// Reads a secret; an empty variable counts as none.
pub(super) fn environment(name: &str) -> Option<Zeroizing<String>> {
    let taken = TAKEN.get().and_then(|taken| taken.get(name).cloned());
    let found = taken.or_else(|| std::env::var(name).ok().map(Zeroizing::new));
    found.filter(|value| !value.is_empty())
}

/// Takes the secrets out of the environment, by starting this program anew in place of this process when there are any.
/// Where that cannot be, they stay: the programs that we start ourselves are not given them all the same.
#[cfg(unix)]
pub(crate) fn take_secrets() {
    if let Some(taken) = std::env::var(PIPE).ok().and_then(|number| received(&number)) {
        drop(TAKEN.set(taken));
        return;
    }
    let secrets: BTreeMap<&str, String> =
        super::SECRET_VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?))).collect();
    if secrets.is_empty() || std::env::var_os(PIPE).is_some() {
        return;
    }
    // A failure of any step changes nothing.
    drop(start_anew(&secrets));
}

/// Nothing is inherited where no program is started by a library.
#[cfg(not(unix))]
pub(crate) fn take_secrets() {}

#[cfg(unix)]
fn start_anew(secrets: &BTreeMap<&str, String>) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::process::CommandExt as _;
    let text = Zeroizing::new(serde_json::to_vec(secrets)?);
    if text.len() > ROOM {
        return Ok(());
    }
    let (reader, mut writer) = std::io::pipe()?;
    writer.write_all(&text)?;
    drop(writer);
    rustix::io::fcntl_setfd(&reader, rustix::io::FdFlags::empty())?;
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new(std::env::current_exe()?);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    for name in secrets.keys() {
        command.env_remove(name);
    }
    Err(command.args(arguments).env(PIPE, reader.as_raw_fd().to_string()).exec())
}

/// Reads what the process before this one has put into the pipe. Afterwards it is empty, for whoever inherits it.
#[cfg(unix)]
fn received(number: &str) -> Option<BTreeMap<String, Zeroizing<String>>> {
    use std::io::Read as _;
    let number: u32 = number.parse().ok()?;
    let file = std::fs::File::open(format!("/dev/fd/{number}")).ok()?;
    let mut text = Zeroizing::new(Vec::with_capacity(ROOM));
    file.take(ROOM as u64).read_to_end(&mut text).ok()?;
    let secrets: BTreeMap<String, String> = serde_json::from_slice(&text).ok()?;
    Some(secrets.into_iter().map(|(name, secret)| (name, Zeroizing::new(secret))).collect())
}

static TAKEN: OnceLock<BTreeMap<String, Zeroizing<String>>> = OnceLock::new();
/// The variable with the number of the pipe.
pub(super) const PIPE: &str = "UPDATER_SECRETS_PIPE";
/// Bytes that a pipe holds without a reader, on the systems with the smallest ones; four keys have 2,000.
const ROOM: usize = 16 * 1024;
