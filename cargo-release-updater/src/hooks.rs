//! Hooks: programs of the project that run between the steps of a release. Argument lists, no shell; a time limit; an
//! environment that is documented in `docs/hooks.md` and never holds a secret of ours.

use crate::config::{Project, ProjectError};
use crate::error::{ExitCode, Explain};
use crate::shell::Shell;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use updater_build::hooks::{Argv, fill, values_of};

/// Where programs can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before a bundle is built or gathered, once for each triple.
    BeforeBundle,
    /// After the build, once for each program: code signing.
    AfterBuild,
    /// After the rehearsal, before anything is uploaded.
    BeforeUpload,
    /// In place of a storage service.
    Upload,
    /// When clients can see the release.
    AfterPublish,
}

impl Hook {
    /// Returns its key in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeBundle => "before-bundle",
            Self::AfterBuild => "after-build",
            Self::BeforeUpload => "before-upload",
            Self::Upload => "upload",
            Self::AfterPublish => "after-publish",
        }
    }
}

/// The hooks of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hooks {
    table: updater_build::hooks::Hooks,
    /// The package's folder, in which they run.
    folder: PathBuf,
}

/// A value that a hook is given: as `{{name}}` in its arguments, and as a variable.
pub type Value<'a> = (&'static str, &'a str);

impl Hooks {
    /// Returns the hooks of a project.
    /// # Errors
    /// [`ProjectError::NotSetUp`] before `cargo updater init`.
    pub fn of(project: &Project) -> Result<Self, ProjectError> {
        Ok(Self { table: project.table()?.hooks.clone(), folder: project.folder().to_owned() })
    }

    /// Returns the programs of a hook.
    #[must_use]
    pub fn programs(&self, hook: Hook) -> &[Argv] {
        match hook {
            Hook::BeforeBundle => &self.table.before_bundle,
            Hook::AfterBuild => &self.table.after_build,
            Hook::BeforeUpload => &self.table.before_upload,
            Hook::Upload => &self.table.upload,
            Hook::AfterPublish => &self.table.after_publish,
        }
    }

    /// Tells what a hook would start, as a dry run shows it: values that are not known yet stand there by their names.
    pub fn tell(&self, hook: Hook, shell: &Shell) {
        for argv in self.programs(hook) {
            shell.status("Run", format_args!("{}: {}", hook.name(), shown(argv)));
        }
    }

    /// Runs the programs of a hook, one after the other, in the package's folder. What they write goes to stderr as it
    /// comes. `input` is their stdin.
    /// # Errors
    /// [`HookError`] for the first that cannot be started, fails, or takes too long; those after it are not started.
    pub fn run(&self, hook: Hook, values: &[Value<'_>], input: &str) -> Result<(), HookError> {
        for argv in self.programs(hook) {
            let mut words = Vec::with_capacity(argv.len());
            for word in argv {
                let value = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
                words.push(fill(word, value).map_err(|value| HookError::Value { hook: hook.name(), value })?);
            }
            self.start(hook, &words, values, input)?;
        }
        Ok(())
    }

    fn start(&self, hook: Hook, argv: &[String], values: &[Value<'_>], input: &str) -> Result<(), HookError> {
        let Some((program, arguments)) = argv.split_first() else { return Ok(()) };
        let failed = |source| HookError::Start { hook: hook.name(), program: program.clone(), source };
        let mut command = without_ours(&self.program(program));
        command.args(arguments).current_dir(&self.folder).env("UPDATER_HOOK", hook.name());
        for (name, value) in values {
            command.env(variable(name), value);
        }
        // Stdout is for programs that read our results.
        command.stdin(Stdio::piped()).stdout(stderr().map_err(failed)?);
        let mut child = spawn(&mut command).map_err(failed)?;
        let stdin = child.stdin.take();
        let status = std::thread::scope(|scope| {
            // Beside the waiting: one that reads nothing is no error, and must not stop us.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
            wait(&mut child, self.table.limit)
        });
        match status.map_err(failed)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(HookError::Failed { hook: hook.name(), program: program.clone(), status }),
            None => {
                let seconds = self.table.limit.as_secs();
                Err(HookError::Late { hook: hook.name(), program: program.clone(), seconds })
            }
        }
    }

    /// Finds a program: with a slash it is one of the package, without one it is looked for in PATH.
    fn program(&self, name: &str) -> PathBuf {
        if name.contains('/') { self.folder.join(name) } else { PathBuf::from(name) }
    }
}

/// Returns the variable of a value.
#[must_use]
pub fn variable(name: &str) -> String {
    format!("UPDATER_{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// Writes an argument list for people, each argument that is not plain in quotes.
fn shown(argv: &[String]) -> String {
    let plain = |word: &String| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
    let word = |word: &String| if plain(word) { word.clone() } else { format!("{word:?}") };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Prepares a program that is told nothing of ours: keys, passwords and their folder stand in such variables.
fn without_ours(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
        command.env_remove(name);
    }
    command
}

fn is_ours(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with("UPDATER_")
}

/// Returns stderr of this process, for a child's stdout.
fn stderr() -> std::io::Result<Stdio> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        std::io::stderr().as_fd().try_clone_to_owned().map(Stdio::from)
    }
    #[cfg(not(unix))]
    Ok(Stdio::inherit())
}

/// Starts a program. A script that was just written is busy for a moment when another thread forks meanwhile.
fn spawn(command: &mut Command) -> std::io::Result<Child> {
    let begin = Instant::now();
    loop {
        match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy && begin.elapsed() < BUSY => {
                std::thread::sleep(LOOK);
            }
            spawned => return spawned,
        }
    }
}

/// Waits for a program; `None` when it took too long and was ended: asked to first, then by force.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    if let Some(status) = wait_until(child, Instant::now() + limit)? {
        return Ok(Some(status));
    }
    #[cfg(unix)]
    {
        // It may have ended just now.
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::TERM);
        if wait_until(child, Instant::now() + GRACE)?.is_some() {
            return Ok(None);
        }
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn wait_until(child: &mut Child, end: Instant) -> std::io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        std::thread::sleep(LOOK.min(left));
    }
}

/// Why a hook stops a release.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// A program could not be started.
    #[error("hook `{hook}` cannot start {program}")]
    Start {
        /// The hook.
        hook: &'static str,
        /// The program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program ended with an error.
    #[error("hook `{hook}` failed: {program} ended with {status}; what it said stands above")]
    Failed {
        /// The hook.
        hook: &'static str,
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// A program took too long.
    #[error("hook `{hook}` failed: {program} took longer than {seconds} s and was ended")]
    Late {
        /// The hook.
        hook: &'static str,
        /// The program.
        program: String,
        /// The limit in seconds.
        seconds: u64,
    },
    /// An argument asks for a value that there is none of.
    #[error("hook `{hook}` asks for {{{{{value}}}}}, which has no value here")]
    Value {
        /// The hook.
        hook: &'static str,
        /// The value.
        value: String,
    },
    /// A hook changed what was signed already.
    #[error("{file} is not what was signed: a hook has changed it after that")]
    Changed {
        /// The file.
        file: String,
    },
    /// `storage = "command"` without the hook for it.
    #[error("storage \"command\" needs the hook `upload`, and the table has none")]
    NoUpload,
}

impl Explain for HookError {
    fn code(&self) -> ExitCode {
        match self {
            Self::NoUpload => ExitCode::Config,
            _ => ExitCode::Hook,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Start { program, .. } if program.contains('/') => {
                "a program with a slash is one of the package's folder; it must be executable".to_owned()
            }
            Self::Start { .. } => {
                "install it, or write where it is: a name without a slash is looked for in PATH".to_owned()
            }
            Self::Failed { .. } => "mend what it says, then run the same command again; it continues".to_owned(),
            Self::Late { .. } => "give it more time with `limit = \"1h\"` in the table `hooks`".to_owned(),
            Self::Value { hook, .. } => {
                let known: Vec<_> = values_of(hook).iter().map(|name| format!("{{{{{name}}}}}")).collect();
                format!("it is given {}", known.join(", "))
            }
            Self::Changed { .. } => {
                "`before-upload` may look, not change; what changes programs is the hook `after-build`".to_owned()
            }
            Self::NoUpload => "add `hooks = { upload = [\"PROGRAM\", ...] }`; docs/hooks.md has examples".to_owned(),
        }]
    }
}

/// Between two looks at a running program.
const LOOK: Duration = Duration::from_millis(20);
/// How long a program may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);
/// How long a program that was just written may be busy.
const BUSY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn hooks(after_publish: &[&str], limit: Duration) -> (tempfile::TempDir, Hooks) {
        let folder = tempfile::tempdir().unwrap();
        let mut table = updater_build::hooks::Hooks::default();
        table.after_publish = vec![after_publish.iter().map(|word| (*word).to_owned()).collect()];
        table.limit = limit;
        let at = folder.path().to_owned();
        (folder, Hooks { table, folder: at })
    }

    #[test]
    fn values_are_arguments_and_variables_and_the_input_is_stdin() {
        let script = "echo \"$1 $UPDATER_HOOK $UPDATER_VERSION $(env | grep -c ^UPDATER_)\" > told; cat >> told";
        let (folder, hooks) = hooks(&["/bin/sh", "-c", script, "sh", "v{{version}}"], Duration::from_secs(60));
        hooks.run(Hook::AfterPublish, &[("version", "1.2.0")], "line\n").unwrap();
        let told = std::fs::read_to_string(folder.path().join("told")).unwrap();
        assert_eq!(told, "v1.2.0 after-publish 1.2.0 2\nline\n");
        hooks.run(Hook::BeforeBundle, &[], "").unwrap();
    }

    #[test]
    fn what_fails_is_told_with_its_code_and_what_hangs_is_ended() {
        let run = |words: &[&str], limit| {
            let (_folder, hooks) = hooks(words, limit);
            hooks.run(Hook::AfterPublish, &[], &"x".repeat(1 << 20)).unwrap_err()
        };
        let minute = Duration::from_secs(60);
        let error = run(&["/bin/sh", "-c", "exit 3"], minute);
        assert!(error.to_string().contains("`after-publish` failed: /bin/sh ended with exit status: 3"), "{error}");
        assert_eq!(error.code(), ExitCode::Hook);
        assert!(matches!(run(&["./absent"], minute), HookError::Start { .. }));
        assert!(matches!(run(&["true", "{{version}}"], minute), HookError::Value { .. }));
        let begin = Instant::now();
        let error = run(&["sleep", "600"], Duration::from_millis(200));
        assert!(matches!(error, HookError::Late { .. }) && begin.elapsed() < minute, "{error}");
    }
}
