//! A model of a disk: what was written, what was made durable, and what a power cut may leave.
//!
//! Its rules, which are no stronger than what file systems promise:
//!
//! * a file's bytes and permissions are durable once the file was synced after them;
//! * a change of names (create, link, rename, exchange, remove) is one step, in one folder or in two: it happens or does
//!   not. It is durable once one of its folders was synced after it, and so is every earlier change in these folders;
//! * what is not durable may be there or not: [`Loss`] names the ways that are tried.

use super::record::Record;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// What a power cut takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// Everything that was not made durable.
    Everything,
    /// As a journal on disk does it: all names up to the last one that had to be durable are kept, in order. Bytes that
    /// were not synced are lost.
    Later,
    /// All names are kept; bytes and permissions that were not synced are lost.
    Bytes,
    /// All names and lengths are kept; files that were not synced hold zeros.
    Zeros,
    /// All names are kept; of files that were not synced, the second half is lost.
    Half,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Everything, Self::Later, Self::Bytes, Self::Zeros, Self::Half];

    /// Returns its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Later => "later",
            Self::Bytes => "bytes",
            Self::Zeros => "zeros",
            Self::Half => "half",
        }
    }
}

/// One folder of a disk.
#[derive(Debug, Clone)]
pub struct Disk {
    at: PathBuf,
    nodes: Vec<Node>,
    /// All changes of names, in order.
    changes: Vec<Change>,
    /// Where the next byte of an open file goes, by descriptor.
    offsets: BTreeMap<i64, usize>,
    umask: u32,
}

/// A file, a folder or a link, whatever its names.
#[derive(Debug, Clone)]
struct Node {
    content: Content,
    mode: u32,
    durable_mode: u32,
}

#[derive(Debug, Clone)]
enum Content {
    File(File),
    Folder { entries: Entries, first: Entries },
    Link(PathBuf),
}

#[derive(Debug, Clone)]
struct File {
    bytes: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    /// How often the bytes have changed, and how often they had when they were synced.
    version: usize,
    durable_version: usize,
}

type Entries = BTreeMap<OsString, usize>;

/// Names that change in one step: which folder has which node under which name afterwards.
#[derive(Debug, Clone)]
struct Change {
    names: Vec<(usize, OsString, Option<usize>)>,
    is_durable: bool,
}

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Item<Bytes> {
    /// A file: its bytes and permission bits.
    File(Bytes, u32),
    /// A folder: its permission bits.
    Folder(u32),
    /// Where a link leads.
    Link(PathBuf),
}

/// Everything below a folder, by path below it.
pub type Image<Bytes = Arc<Vec<u8>>> = BTreeMap<PathBuf, Item<Bytes>>;

/// Tells the bytes of a file apart without comparing them: the node, the version, and what a cut made of it.
pub type Mark = (usize, usize, Loss);

impl Disk {
    /// Takes a folder `at` of which everything is durable; its content is read from a copy of it.
    /// # Errors
    /// When it cannot be read.
    pub fn load(at: &Path, from: &Path) -> io::Result<Self> {
        let mut disk = Self {
            at: at.to_owned(),
            nodes: Vec::new(),
            changes: Vec::new(),
            offsets: BTreeMap::new(),
            umask: umask()?,
        };
        disk.take(from, &mut BTreeMap::new())?;
        Ok(disk)
    }

    fn take(&mut self, path: &Path, seen: &mut BTreeMap<(u64, u64), usize>) -> io::Result<usize> {
        let metadata = std::fs::symlink_metadata(path)?;
        if let Some(node) = seen.get(&(metadata.dev(), metadata.ino())) {
            return Ok(*node);
        }
        let node = self.nodes.len();
        let mode = metadata.permissions().mode() & 0o7777;
        // Before its content, so that the folder itself is number 0.
        self.nodes.push(Node { content: Content::Link(PathBuf::new()), mode, durable_mode: mode });
        seen.insert((metadata.dev(), metadata.ino()), node);
        self.nodes[node].content = if metadata.is_dir() {
            let mut entries = Entries::new();
            for entry in std::fs::read_dir(path)? {
                let entry = entry?;
                entries.insert(entry.file_name(), self.take(&entry.path(), seen)?);
            }
            Content::Folder { first: entries.clone(), entries }
        } else if metadata.is_symlink() {
            Content::Link(std::fs::read_link(path)?)
        } else {
            let bytes = Arc::new(std::fs::read(path)?);
            Content::File(File { durable: bytes.clone(), bytes, version: 0, durable_version: 0 })
        };
        Ok(node)
    }

    /// Applies a call; calls that concern other folders change nothing.
    /// # Errors
    /// When the model does not know what the call does.
    pub fn apply(&mut self, record: &Record) -> Result<(), String> {
        self.step(record).ok_or_else(|| format!("the model of the disk does not know {record}"))
    }

    fn step(&mut self, record: &Record) -> Option<()> {
        let own = |path: &Path| path.starts_with(&self.at) && !path.to_string_lossy().ends_with(" (deleted)");
        let behind = |at: usize| record.descriptor(at).is_some_and(|(_, path)| own(path));
        let concerns = match record.name.as_str() {
            "write" | "pwrite64" | "lseek" | "ftruncate" | "fchmod" | "fsync" | "fdatasync" | "sendfile" => behind(0),
            "copy_file_range" => behind(2),
            _ => (0..record.arguments.len()).any(|at| !record.bytes(at).is_empty() && own(&record.path(at))),
        };
        if !concerns {
            return Some(());
        }
        match record.name.as_str() {
            "open" => self.open(record, 0),
            "openat" => self.open(record, 1),
            "write" => {
                let (descriptor, path) = record.descriptor(0)?;
                let node = self.find(path)?;
                let at = self.offsets.get(&descriptor).copied().unwrap_or(0);
                let bytes = record.bytes(1).get(..usize::try_from(record.result).ok()?)?;
                self.offsets.insert(descriptor, at + bytes.len());
                self.write(node, at, bytes)
            }
            "copy_file_range" => {
                let ((from, source), (to, path)) = (record.descriptor(0)?, record.descriptor(2)?);
                // With offsets of its own nothing here copies.
                let is_plain = record.word(1) == "NULL" && record.word(3) == "NULL";
                let Content::File(File { bytes, .. }) = &self.nodes[self.find(source).filter(|_| is_plain)?].content
                else {
                    return None;
                };
                let count = usize::try_from(record.result).ok()?;
                let (first, at) = [from, to].map(|number| self.offsets.get(&number).copied().unwrap_or(0)).into();
                let copied = bytes.get(first..first + count)?.to_vec();
                self.offsets.extend([(from, first + count), (to, at + count)]);
                let node = self.find(path)?;
                self.write(node, at, &copied)
            }
            "lseek" => {
                self.offsets.insert(record.descriptor(0)?.0, usize::try_from(record.result).ok()?);
                Some(())
            }
            "ftruncate" => {
                let node = self.find(record.descriptor(0)?.1)?;
                let length = record.word(1).parse().ok()?;
                let Content::File(file) = &mut self.nodes[node].content else { return None };
                Arc::make_mut(&mut file.bytes).resize(length, 0);
                file.version += 1;
                Some(())
            }
            "chmod" => self.set_mode(&record.path(0), record.word(1)),
            "fchmod" => self.set_mode(record.descriptor(0)?.1, record.word(1)),
            "fchmodat" | "fchmodat2" => self.set_mode(&record.path(1), record.word(2)),
            "mkdir" => self.make_folder(&record.path(0), record.word(1)),
            "mkdirat" => self.make_folder(&record.path(1), record.word(2)),
            "symlinkat" => self.make_link(record.bytes(0), &record.path(2)),
            "symlink" => self.make_link(record.bytes(0), &record.path(1)),
            "linkat" => {
                let node = self.find(&record.path(1))?;
                let (folder, name) = self.place(&record.path(3))?;
                self.change(vec![(folder, name, Some(node))])
            }
            "rename" => self.rename(&record.path(0), &record.path(1), false),
            "renameat" => self.rename(&record.path(1), &record.path(3), false),
            "renameat2" => self.rename(&record.path(1), &record.path(3), record.word(4).contains("EXCHANGE")),
            "unlink" | "rmdir" => self.remove(&record.path(0)),
            "unlinkat" => self.remove(&record.path(1)),
            "fsync" | "fdatasync" => self.sync(record.descriptor(0)?.1),
            _ => None,
        }
    }

    fn open(&mut self, record: &Record, at: usize) -> Option<()> {
        let (path, flags) = (record.path(at), record.word(at + 1));
        self.offsets.insert(record.result, 0);
        if flags.contains("O_CREAT") && self.find(&path).is_none() {
            let mode = parse_mode(record.word(at + 2))? & !self.umask;
            let empty = Arc::new(Vec::new());
            let file = File { bytes: empty.clone(), durable: empty, version: 1, durable_version: 0 };
            return self.add(&path, Content::File(file), mode);
        }
        // Nothing here appends or empties by opening; a model that guessed would not notice when it begins to.
        let is_plain = !flags.contains("O_TRUNC") && !flags.contains("O_APPEND");
        is_plain.then_some(())
    }

    fn write(&mut self, node: usize, at: usize, new: &[u8]) -> Option<()> {
        let Content::File(file) = &mut self.nodes[node].content else { return None };
        let bytes = Arc::make_mut(&mut file.bytes);
        bytes.resize(bytes.len().max(at + new.len()), 0);
        bytes[at..at + new.len()].copy_from_slice(new);
        file.version += 1;
        Some(())
    }

    fn set_mode(&mut self, path: &Path, mode: &str) -> Option<()> {
        let node = self.find(path)?;
        self.nodes[node].mode = parse_mode(mode)?;
        Some(())
    }

    fn make_folder(&mut self, path: &Path, mode: &str) -> Option<()> {
        let mode = parse_mode(mode)? & !self.umask;
        self.add(path, Content::Folder { entries: Entries::new(), first: Entries::new() }, mode)
    }

    fn make_link(&mut self, target: &[u8], path: &Path) -> Option<()> {
        use std::os::unix::ffi::OsStrExt as _;
        self.add(path, Content::Link(PathBuf::from(OsStr::from_bytes(target))), 0o777)
    }

    fn add(&mut self, path: &Path, content: Content, mode: u32) -> Option<()> {
        let (folder, name) = self.place(path)?;
        let node = self.nodes.len();
        self.nodes.push(Node { content, mode, durable_mode: mode });
        self.change(vec![(folder, name, Some(node))])
    }

    fn rename(&mut self, from: &Path, to: &Path, exchanges: bool) -> Option<()> {
        let node = self.find(from)?;
        let replaced = self.find(to).filter(|_| exchanges);
        let (from, to) = (self.place(from)?, self.place(to)?);
        self.change(vec![(from.0, from.1, replaced), (to.0, to.1, Some(node))])
    }

    fn remove(&mut self, path: &Path) -> Option<()> {
        let (folder, name) = self.place(path)?;
        self.change(vec![(folder, name, None)])
    }

    fn change(&mut self, names: Vec<(usize, OsString, Option<usize>)>) -> Option<()> {
        for (folder, name, node) in &names {
            let Content::Folder { entries, .. } = &mut self.nodes[*folder].content else { return None };
            set(entries, name, *node);
        }
        self.changes.push(Change { names, is_durable: false });
        Some(())
    }

    fn sync(&mut self, path: &Path) -> Option<()> {
        let node = self.find(path)?;
        self.nodes[node].durable_mode = self.nodes[node].mode;
        match &mut self.nodes[node].content {
            Content::File(file) => {
                file.durable = file.bytes.clone();
                file.durable_version = file.version;
            }
            Content::Link(_) => return None,
            Content::Folder { .. } => {
                // From the last one back: what is durable in a folder makes what came before it there durable too.
                let mut folders = BTreeSet::from([node]);
                for change in self.changes.iter_mut().rev() {
                    if change.names.iter().any(|(folder, ..)| folders.contains(folder)) {
                        change.is_durable = true;
                        folders.extend(change.names.iter().map(|(folder, ..)| *folder));
                    }
                }
            }
        }
        Some(())
    }

    /// Returns what can be read now.
    #[must_use]
    pub fn now(&self) -> Image {
        let entries = |node: usize| match &self.nodes[node].content {
            Content::Folder { entries, .. } => entries.clone(),
            _ => Entries::new(),
        };
        self.image(entries, |_, file| file.bytes.clone(), |node| node.mode)
    }

    /// Returns what can be read after a power cut at this moment.
    #[must_use]
    pub fn after(&self, loss: Loss) -> Image {
        self.cut(loss, |_, file| match loss {
            _ if file.version == file.durable_version => file.durable.clone(),
            Loss::Zeros => Arc::new(vec![0; file.bytes.len()]),
            Loss::Half => Arc::new(file.bytes[..file.bytes.len() / 2].to_vec()),
            Loss::Everything | Loss::Later | Loss::Bytes => file.durable.clone(),
        })
    }

    /// Returns the same with a mark in place of the bytes: where it is the same, so is what can be read.
    #[must_use]
    pub fn marks_after(&self, loss: Loss) -> Image<Mark> {
        self.cut(loss, |node, file| match loss {
            Loss::Zeros | Loss::Half if file.version != file.durable_version => (node, file.version, loss),
            _ => (node, file.durable_version, Loss::Bytes),
        })
    }

    fn cut<Bytes>(&self, loss: Loss, bytes: impl Fn(usize, &File) -> Bytes) -> Image<Bytes> {
        let first = self.nodes.iter().enumerate().filter_map(|(node, Node { content, .. })| match content {
            Content::Folder { first, .. } => Some((node, first.clone())),
            _ => None,
        });
        let mut folders: BTreeMap<usize, Entries> = first.collect();
        let last = self.changes.iter().rposition(|change| change.is_durable).map_or(0, |last| last + 1);
        for (at, change) in self.changes.iter().enumerate() {
            let is_kept = match loss {
                Loss::Everything => change.is_durable,
                Loss::Later => at < last,
                Loss::Bytes | Loss::Zeros | Loss::Half => true,
            };
            for (folder, name, node) in change.names.iter().filter(|_| is_kept) {
                set(folders.entry(*folder).or_default(), name, *node);
            }
        }
        let entries = |node: usize| folders.get(&node).cloned().unwrap_or_default();
        self.image(entries, bytes, |node| match loss {
            Loss::Zeros | Loss::Half => node.mode,
            Loss::Everything | Loss::Later | Loss::Bytes => node.durable_mode,
        })
    }

    fn image<Bytes>(
        &self,
        entries: impl Fn(usize) -> Entries,
        bytes: impl Fn(usize, &File) -> Bytes,
        mode: impl Fn(&Node) -> u32,
    ) -> Image<Bytes> {
        let mut image = Image::new();
        let mut pending = vec![(PathBuf::new(), 0)];
        while let Some((path, number)) = pending.pop() {
            let node = &self.nodes[number];
            let item = match &node.content {
                Content::File(file) => Item::File(bytes(number, file), mode(node)),
                Content::Link(target) => Item::Link(target.clone()),
                Content::Folder { .. } => {
                    pending.extend(entries(number).into_iter().map(|(name, node)| (path.join(name), node)));
                    Item::Folder(mode(node))
                }
            };
            image.insert(path, item);
        }
        image
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let mut node = 0;
        for part in path.strip_prefix(&self.at).ok()?.components() {
            let (Content::Folder { entries, .. }, Component::Normal(name)) = (&self.nodes[node].content, part) else {
                return None;
            };
            node = *entries.get(name)?;
        }
        Some(node)
    }

    fn place(&self, path: &Path) -> Option<(usize, OsString)> {
        Some((self.find(path.parent()?)?, path.file_name()?.to_owned()))
    }
}

/// Makes a folder hold exactly an image; nothing may be there.
/// # Errors
/// When the real disk refuses.
pub fn write(image: &Image, at: &Path) -> io::Result<()> {
    let mut folders = Vec::new();
    for (path, item) in image {
        let path = at.join(path);
        match item {
            Item::Link(target) => symlink(target, &path)?,
            Item::File(bytes, mode) => {
                std::fs::write(&path, bytes.as_slice())?;
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode))?;
            }
            Item::Folder(mode) => {
                std::fs::create_dir(&path)?;
                folders.push((path, *mode));
            }
        }
    }
    // A folder may be closed to its owner.
    for (path, mode) in folders.into_iter().rev() {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Reads what is in a folder.
/// # Errors
/// When it cannot be read.
pub fn read(at: &Path) -> io::Result<Image> {
    Ok(Disk::load(at, at)?.now())
}

fn set(entries: &mut Entries, name: &OsStr, node: Option<usize>) {
    match node {
        Some(node) => drop(entries.insert(name.to_owned(), node)),
        None => drop(entries.remove(name)),
    }
}

fn parse_mode(octal: &str) -> Option<u32> {
    u32::from_str_radix(octal, 8).ok()
}

/// Returns which permission bits new files do not get here.
fn umask() -> io::Result<u32> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    umask.and_then(|umask| parse_mode(umask.trim())).ok_or_else(|| io::Error::other("the umask cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::super::record::Argument;
    use super::*;

    const AT: &str = "/slot";

    fn call(name: &str, arguments: &[&str]) -> Record {
        let argument = |text: &&str| match (text.strip_prefix("fd:"), text.strip_prefix("word:")) {
            (Some(path), _) => Argument::Descriptor(3, PathBuf::from(path)),
            (_, Some(word)) => Argument::Other(word.to_owned()),
            _ => Argument::Bytes(text.as_bytes().to_vec()),
        };
        let result = if name == "write" { arguments[1].len() as i64 } else { 3 };
        Record { name: name.to_owned(), arguments: arguments.iter().map(argument).collect(), result }
    }

    /// A new file is written beside an old one and takes its place; `left_out` is not done.
    fn replace(left_out: &str) -> (tempfile::TempDir, Disk) {
        let before = tempfile::tempdir().unwrap();
        std::fs::write(before.path().join("app"), "old").unwrap();
        let mut disk = Disk::load(Path::new(AT), before.path()).unwrap();
        let steps = [
            ("create", call("openat", &["fd:/", "/slot/new", "word:O_WRONLY|O_CREAT|O_EXCL", "word:0600"])),
            ("write", call("write", &["fd:/slot/new", "whole"])),
            ("file", call("fsync", &["fd:/slot/new"])),
            ("rename", call("renameat", &["fd:/", "/slot/new", "fd:/", "/slot/app"])),
            ("folder", call("fsync", &["fd:/slot"])),
        ];
        for (step, record) in steps {
            if !left_out.split(' ').any(|left_out| left_out == step) {
                disk.apply(&record).unwrap();
            }
        }
        (before, disk)
    }

    fn app(disk: &Disk, loss: Loss) -> String {
        match &disk.after(loss)[Path::new("app")] {
            Item::File(bytes, _) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_synced_in_order_outlives_every_cut() {
        let (_before, disk) = replace("");
        for loss in Loss::ALL {
            assert_eq!(app(&disk, loss), "whole", "{loss:?}");
            assert!(!disk.after(loss).contains_key(Path::new("new")), "{loss:?}");
        }
    }

    #[test]
    fn a_file_that_was_not_synced_loses_its_bytes() {
        let (_before, disk) = replace("file");
        let left: Vec<String> = Loss::ALL.into_iter().map(|loss| app(&disk, loss)).collect();
        assert_eq!(left, ["", "", "", "\0\0\0\0\0", "wh"]);
    }

    #[test]
    fn a_name_that_was_not_synced_may_be_the_old_one() {
        let (_before, disk) = replace("folder");
        let left: Vec<String> = Loss::ALL.into_iter().map(|loss| app(&disk, loss)).collect();
        assert_eq!(left, ["old", "old", "whole", "whole", "whole"]);
    }

    #[test]
    fn a_call_that_the_model_does_not_know_is_an_error() {
        let (_before, mut disk) = replace("");
        let problem = disk.apply(&call("setxattr", &["/slot/app"])).unwrap_err();
        assert!(problem.contains("does not know setxattr"), "{problem}");
        disk.apply(&call("setxattr", &["/elsewhere"])).unwrap();
    }
}
