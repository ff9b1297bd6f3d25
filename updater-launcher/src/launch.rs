//! What an app is started with, and whether it can be started at all: asked before anything that runs is stopped for it.

use crate::error::{Error, Result};
use crate::release::{Install, Version};
use crate::settings::Merged;
use std::path::Path;
use updater_format::ReleaseVersion;

/// The command of an app.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    /// Program and arguments.
    pub(crate) argv: Vec<String>,
    /// What the settings add to its environment.
    pub(crate) env: Vec<(String, String)>,
}

impl Install {
    /// Makes the command of a version's app, with every variable replaced.
    /// # Errors
    /// [`Error::Variable`].
    pub(crate) fn launch(
        &self,
        version: &Version,
        previous: Option<&ReleaseVersion>,
        merged: &Merged,
    ) -> Result<Launch> {
        let variables = self.variables(version, previous, merged);
        let settings = &merged.settings;
        let mut argv = vec![version.dir.join(program(version, merged)).to_string_lossy().into_owned()];
        for arg in &settings.args {
            argv.push(variables.expand(arg)?);
        }
        let expanded = |(name, value): (&String, &String)| Ok((name.clone(), variables.expand(value)?));
        let env = settings.env.iter().map(expanded).collect::<Result<_>>()?;
        Ok(Launch { argv, env })
    }

    /// Makes sure that these settings lead to a start: every variable is known, and the program is there.
    /// # Errors
    /// [`Error::Variable`]; [`Error::Start`].
    pub(crate) fn check_start(&self, version: &Version, merged: &Merged) -> Result<()> {
        let variables = self.variables(version, None, merged);
        let launch = self.launch(version, None, merged)?;
        let hooks = &merged.settings.hooks;
        let commands = [&hooks.before_start, &hooks.after_swap, &hooks.after_start].into_iter().flatten();
        for argv in commands.chain(&merged.settings.health.command) {
            variables.command(argv)?;
        }
        // What these do first may be to make the program.
        if hooks.before_start.is_empty() && hooks.after_swap.is_empty() {
            launch.argv.first().map_or(Ok(()), |program| check_program(program, &version.dir))?;
        }
        Ok(())
    }
}

/// Returns the path of a version's program in its folder.
pub(crate) fn program<'a>(version: &'a Version, merged: &'a Merged) -> &'a str {
    merged.settings.exec.as_ref().unwrap_or(&version.entry).as_str()
}

/// Makes sure that a program can be run, as far as a look at its file tells. `dir` is the folder that people know it in.
/// # Errors
/// [`Error::Start`] with what is wrong with it.
pub(crate) fn check_program(program: &str, dir: &Path) -> Result<()> {
    let found = if program.contains(std::path::is_separator) {
        runnable(Path::new(program))
    } else if in_path(program) {
        Ok(())
    } else {
        Err("no such program in PATH".to_owned())
    };
    found.map_err(|problem| Error::Start { program: shown(program, dir), problem })
}

/// Returns the name of a program for people: relative to its version's folder when it lies there.
pub(crate) fn shown(program: &str, dir: &Path) -> String {
    let path = Path::new(program);
    path.strip_prefix(dir).unwrap_or(path).display().to_string()
}

#[cfg(unix)]
fn runnable(path: &Path) -> std::result::Result<(), String> {
    regular(path)?;
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).map_err(|_| "it is not executable".to_owned())?;
    match beginning(path) {
        Some(start) if start.is_empty() => Err("the file is empty".to_owned()),
        Some(start) if is_binary(&start) && !has_other_formats() => Err("it is no program of this system".to_owned()),
        // What may be run and not be read is the kernel's to judge.
        _ => Ok(()),
    }
}

#[cfg(windows)]
fn runnable(path: &Path) -> std::result::Result<(), String> {
    // The system adds the ending itself.
    let with_ending = path.with_extension("exe");
    regular(if path.extension().is_none() && with_ending.exists() { &with_ending } else { path })
}

fn regular(path: &Path) -> std::result::Result<(), String> {
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(metadata) if metadata.is_dir() => Err("it is a folder".to_owned()),
        Ok(_) => Err("it is no file".to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err("no such file".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns the first bytes of a file, if it can be read.
#[cfg(unix)]
fn beginning(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let mut start = Vec::new();
    std::fs::File::open(path).ok()?.take(BEGINNING).read_to_end(&mut start).ok()?;
    Some(start)
}

/// Tells whether this is neither a program of the system nor a text, which a shell would read: what shells themselves ask.
#[cfg(unix)]
fn is_binary(start: &[u8]) -> bool {
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    !start.starts_with(b"\x7fELF") && !start.starts_with(b"#!") && line.contains(&0)
}

/// Tells whether the kernel was told of formats besides its own.
#[cfg(unix)]
fn has_other_formats() -> bool {
    let known = std::fs::read_dir("/proc/sys/fs/binfmt_misc").into_iter().flatten().flatten();
    known.into_iter().any(|entry| !matches!(entry.file_name().to_str(), Some("register" | "status")))
}

#[cfg(unix)]
fn in_path(name: &str) -> bool {
    let Some(path) = std::env::var_os("PATH") else { return true };
    // Which of them is run is the system's choice; that there is none can be told here.
    std::env::split_paths(&path).any(|folder| runnable(&folder.join(name)).is_ok())
}

#[cfg(windows)]
fn in_path(_name: &str) -> bool {
    // The system looks in more places than this variable names.
    true
}

/// How much of a program is looked at: 256 bytes, as much as the kernel reads to tell what it is.
#[cfg(unix)]
const BEGINNING: u64 = 256;

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_cannot_run_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let put = |name: &str, bytes: &[u8], mode: u32| {
            std::fs::write(path(name), bytes).unwrap();
            std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        put("script", b"#!/bin/sh\n", 0o755);
        put("plain", b"echo without a first line of its own\n", 0o755);
        put("data", b"#!/bin/sh\n", 0o644);
        put("empty", b"", 0o755);
        put("garbage", b"\x00\x01\x02", 0o755);
        std::fs::create_dir(path("sub")).unwrap();
        let problem = |name: &str| match check_program(path(name).to_str().unwrap(), folder.path()) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        assert_eq!((problem("script"), problem("plain")), (String::new(), String::new()));
        assert_eq!(problem("bin/none"), "cannot start bin/none: no such file");
        assert_eq!(problem("sub"), "cannot start sub: it is a folder");
        assert_eq!(problem("data"), "cannot start data: it is not executable");
        assert_eq!(problem("empty"), "cannot start empty: the file is empty");
        if !has_other_formats() {
            assert_eq!(problem("garbage"), "cannot start garbage: it is no program of this system");
        }
        assert!(check_program("sh", folder.path()).is_ok());
        let error = check_program("no-such-program", folder.path()).unwrap_err();
        assert_eq!(error.to_string(), "cannot start no-such-program: no such program in PATH");
    }
}
