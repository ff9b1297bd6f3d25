//! What must be durable before each step that counts on it, told from the calls of an undisturbed run.
//!
//! A power cut may undo whatever was not synced. So at each commit (the visible change, each change of the journal, the
//! start of the other version) no file that was written and no folder whose entries changed may be waiting for its sync.

use super::scenario::replaces;
use super::trace::Call;
use super::world::World;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Returns every commit that relies on something that was not made durable before it.
#[must_use]
pub fn violations(calls: &[Call], world: &World) -> Vec<String> {
    let mut disk = Disk { world, journal: world.hidden().join("state.json"), waiting: BTreeMap::new() };
    let mut found = Vec::new();
    for call in calls.iter().filter(|call| call.succeeded) {
        if disk.is_commit(call) {
            found.extend(disk.waiting.iter().map(|(path, why)| {
                format!("{} ({why}) is not durable before {} {}", path.display(), call.name, call.arguments)
            }));
        }
        disk.apply(call);
    }
    found
}

struct Disk<'a> {
    world: &'a World,
    journal: PathBuf,
    /// What was changed and not synced since, with what changed it.
    waiting: BTreeMap<PathBuf, String>,
}

impl Disk<'_> {
    fn is_commit(&self, call: &Call) -> bool {
        let of_journal = ["rename", "unlink"].iter().any(|name| call.name.starts_with(name))
            && paths(&call.arguments).last() == Some(&self.journal);
        let restarts = call.name == "execve" && call.number > 0;
        of_journal || restarts || replaces(call, &self.world.root().to_string_lossy())
    }

    fn apply(&mut self, call: &Call) {
        let paths = paths(&call.arguments);
        let Some(first) = paths.first() else { return };
        match call.name.as_str() {
            "write" | "pwrite64" | "copy_file_range" | "ftruncate" | "chmod" | "fchmod" | "fchmodat" => {
                self.wait(paths.last().unwrap_or(first), call);
            }
            "open" | "openat" if call.arguments.contains("O_CREAT") => self.entry(first, call),
            "mkdir" | "mkdirat" | "symlink" => self.entry(paths.last().unwrap_or(first), call),
            "symlinkat" | "link" | "linkat" => self.entry(paths.last().unwrap_or(first), call),
            "rename" | "renameat" | "renameat2" => {
                let Some(target) = paths.get(1) else { return };
                let exchanges = call.arguments.contains("RENAME_EXCHANGE");
                self.moved(first, target, exchanges);
                self.entry(target, call);
                if exchanges {
                    self.entry(first, call);
                }
            }
            "unlink" | "unlinkat" | "rmdir" => {
                self.waiting.retain(|path, _| !path.starts_with(first));
                if *first == self.journal {
                    self.entry(first, call);
                }
            }
            "fsync" | "fdatasync" => drop(self.waiting.remove(first)),
            _ => {}
        }
    }

    /// An entry of a folder was made, replaced or removed.
    fn entry(&mut self, path: &Path, call: &Call) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_passing = name.ends_with(".tmp") || name.starts_with("exchange-") || name == "lock";
        if let Some(folder) = path.parent().filter(|_| !is_passing) {
            self.wait(folder, call);
        }
    }

    fn wait(&mut self, path: &Path, call: &Call) {
        let hidden = self.world.hidden();
        // What lies in these is checked before it is used, or made anew.
        let is_volatile = ["lock", "download", "attempts", "exchange-1", "exchange-2"];
        let counts = path.starts_with(self.world.slot.join("place"))
            && !is_volatile.iter().any(|name| path.starts_with(hidden.join(name)));
        if counts {
            self.waiting.insert(path.to_owned(), call.name.clone());
        }
    }

    /// What waits moves along with the names.
    fn moved(&mut self, from: &Path, to: &Path, exchanges: bool) {
        let waiting = std::mem::take(&mut self.waiting);
        let renamed = |path: PathBuf| {
            let swap = |a: &Path, b: &Path| path.strip_prefix(a).ok().map(|below| b.join(below));
            match (swap(from, to), swap(to, from)) {
                (Some(path), _) => Some(path),
                (None, Some(path)) if exchanges => Some(path),
                // Replaced: gone with what it was.
                (None, Some(_)) => None,
                (None, None) => Some(path),
            }
        };
        self.waiting = waiting.into_iter().filter_map(|(path, why)| Some((renamed(path)?, why))).collect();
    }
}

/// Returns the paths in the arguments of a call: each name below the descriptor before it, and bare descriptors.
fn paths(arguments: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folder: Option<PathBuf> = None;
    for part in arguments.split(", ") {
        let quoted = part.strip_prefix('"').and_then(|part| part.strip_suffix('"'));
        let behind = part.split_once('<').and_then(|(_, rest)| Some(PathBuf::from(rest.rsplit_once('>')?.0)));
        match (quoted, behind) {
            (Some(name), _) => {
                let base = folder.take().unwrap_or_default();
                found.push(base.join(name).components().collect());
            }
            (None, Some(path)) => {
                found.extend(folder.replace(path));
            }
            (None, None) => found.extend(folder.take()),
        }
    }
    found.extend(folder);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use updater_format::InstallKind;

    fn call(name: &str, arguments: &str) -> Call {
        Call { name: name.to_owned(), number: 2, arguments: arguments.to_owned(), succeeded: true }
    }

    #[test]
    fn paths_are_read_from_arguments() {
        let cases: [(&str, &[&str]); 4] = [
            (r"5</s/a>, ..., 10", &["/s/a"]),
            (r#"AT_FDCWD</w>, "/s/a", O_RDONLY"#, &["/s/a"]),
            (r#"7</s/tree>, "b", O_WRONLY|O_CREAT, 0600"#, &["/s/tree/b"]),
            (r#"AT_FDCWD</w>, "/s/a", AT_FDCWD</w>, "/s/b", RENAME_EXCHANGE"#, &["/s/a", "/s/b"]),
        ];
        for (arguments, expected) in cases {
            assert_eq!(paths(arguments), expected.iter().map(PathBuf::from).collect::<Vec<_>>(), "{arguments}");
        }
    }

    #[test]
    fn a_missing_sync_is_found() {
        let world = World { slot: PathBuf::from("/s"), kind: InstallKind::Executable };
        let write = call("write", r"5</s/place/.hello.updater/staged/tree/hello>, ..., 10");
        let sync = call("fsync", r"5</s/place/.hello.updater/staged/tree/hello>");
        let rename = call(
            "renameat",
            r#"AT_FDCWD</>, "/s/place/.hello.updater/staged/tree/hello", AT_FDCWD</>, "/s/place/hello""#,
        );
        let folder = call("fsync", "5</s/place>");
        let restart = call("execve", r#""/s/place/hello", ..."#);
        let of = |calls: &[&Call]| {
            let calls: Vec<Call> = calls.iter().map(|call| (*call).clone()).collect();
            violations(&calls, &world).len()
        };
        assert_eq!(of(&[&write, &sync, &rename, &folder, &restart]), 0);
        assert_eq!(of(&[&write, &rename, &folder, &restart]), 2, "the file, at the change and at the restart");
        assert_eq!(of(&[&write, &sync, &rename, &restart]), 1, "the folder");
        assert_eq!(of(&[&write, &sync, &write, &rename, &folder]), 1, "written again after the sync");
    }
}
