//! The repository around a package, by git itself. Where git cannot be asked although there is a repository, that is told.

use super::secrets::{Secret, find};
use crate::keys::SECRET_VARIABLES;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A repository with a work tree.
#[derive(Debug, Clone)]
pub(super) struct Repository {
    /// The top folder of the work tree.
    pub(super) top: PathBuf,
}

/// How far a search through the history went.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Searched {
    /// The objects with secret keys.
    pub(super) found: Vec<(String, Secret)>,
    /// Whether there was more than is searched.
    pub(super) cut_short: bool,
}

impl Repository {
    /// Finds the repository around a folder.
    pub(super) fn around(folder: &Path) -> Option<Self> {
        let top = read(folder, &["rev-parse", "--show-toplevel"])?;
        Some(Self { top: PathBuf::from(top.trim_end()) })
    }

    /// Says why git does not show a repository that is there: it is not installed, or refuses this one.
    pub(super) fn unread(folder: &Path) -> Option<String> {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let top = folder.ancestors().find(|folder| folder.join(".git").exists())?;
        let output = match git(top).stderr(Stdio::piped()).args(["rev-parse", "--show-toplevel"]).output() {
            Err(error) => return Some(format!("git does not start: {error}")),
            Ok(output) => output,
        };
        let told = String::from_utf8_lossy(&output.stderr);
        let first = told.lines().next().unwrap_or("git refuses it").trim_start_matches("fatal: ");
        (!output.status.success()).then(|| first.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    }

    /// Tells whether the clone has only the newest part of the history.
    pub(super) fn is_shallow(&self) -> bool {
        read(&self.top, &["rev-parse", "--is-shallow-repository"]).is_some_and(|answer| answer.trim() == "true")
    }

    /// Tells whether git would leave a file alone.
    pub(super) fn ignores(&self, path: &Path) -> bool {
        let status = git(&self.top).arg("check-ignore").arg("--quiet").arg("--").arg(path).status();
        status.is_ok_and(|status| status.success())
    }

    /// Returns a commit and a path by which people know an object, when a branch or tag leads to it.
    pub(super) fn describe(&self, object: &str) -> Option<String> {
        let find = format!("--find-object={object}");
        let text = read(&self.top, &["log", "--all", "--max-count=1", "--format=%h", "--name-only", &find])?;
        let mut lines = text.lines().filter(|line| !line.is_empty());
        Some(format!("commit {}, {}", lines.next()?, lines.next()?))
    }

    /// Searches every object of the repository, also those that no branch leads to any more.
    pub(super) fn search(&self) -> Option<Searched> {
        let listing = read(
            &self.top,
            &[
                "cat-file",
                "--batch-all-objects",
                "--unordered",
                "--batch-check=%(objectname) %(objecttype) %(objectsize)",
            ],
        )?;
        let mut searched = Searched { found: Vec::new(), cut_short: false };
        let (mut names, mut total) = (String::new(), 0);
        for line in listing.lines() {
            let [name, "blob", size] = line.split(' ').collect::<Vec<_>>()[..] else { continue };
            let size: u64 = size.parse().ok()?;
            if !(MIN_OBJECT..=MAX_OBJECT).contains(&size) {
                continue;
            }
            if total + size > MAX_SEARCHED {
                searched.cut_short = true;
                break;
            }
            total += size;
            names.push_str(name);
            names.push('\n');
        }
        let mut child = git(&self.top)
            .args(["cat-file", "--batch", "--buffer"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        // On a thread of its own: git answers before it has read everything.
        let mut stdin = child.stdin.take()?;
        let writer = std::thread::spawn(move || stdin.write_all(names.as_bytes()));
        let mut stdout = BufReader::new(child.stdout.take()?);
        let mut header = String::new();
        while stdout.read_line(&mut header).ok()? > 0 {
            let [name, _, size] = header.split_whitespace().collect::<Vec<_>>()[..] else { return None };
            let mut bytes = vec![0; usize::try_from(size.parse::<u64>().ok()?.min(MAX_OBJECT)).ok()?];
            stdout.read_exact(&mut bytes).ok()?;
            stdout.read_exact(&mut [0]).ok()?;
            searched.found.extend(find(&bytes).into_iter().map(|secret| (name.to_owned(), secret)));
            header.clear();
        }
        drop(writer.join());
        child.wait().ok()?.success().then_some(searched)
    }
}

/// Runs git and returns what it wrote; `None` when it is absent or refuses.
fn read(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = git(folder).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).stdin(Stdio::null()).stderr(Stdio::null());
    // A repository may configure programs for git to run; they get no secret of ours.
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
    command
}

/// The smallest text that can hold a secret key, in bytes: its line of base64.
const MIN_OBJECT: u64 = 211;
/// Files above this size, in bytes, are no place where a key is kept by hand: 64 KiB.
const MAX_OBJECT: u64 = 64 * 1024;
/// How much is searched in all, in bytes: 256 MiB, some seconds.
const MAX_SEARCHED: u64 = 256 * 1024 * 1024;
