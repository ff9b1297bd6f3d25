//! Makes the payloads of patches: several at once, within a memory budget, each pair of files once however many
//! releases share it.

use super::pairs::{Origin, files};
use super::{DiffLimits, DiffStepError, Tree};
use crate::progress::{Progress, human_bytes};
use crate::shell::Shell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Cursor, Read, Seek as _, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use updater_delta::{Codec, Delta, DiffError, DiffOptions, Reading, Stage};
use updater_format::patch::pack_added;
use updater_format::{FilePath, Sha256};

/// What was made for one file of the new release.
#[derive(Debug, Clone)]
pub(super) enum Made {
    /// The installed file serves as it is.
    Copy,
    /// A delta against an installed file, and what both were taken for.
    Delta { codec: Codec, reading: Reading, payload: Payload },
    /// The file itself, packed.
    Add { payload: Payload },
    /// The first of the files that one delta makes.
    Joint { payload: Payload, from: Vec<FilePath> },
    /// Another of them.
    Part,
}

/// Bytes of a patch, in an unnamed file: payloads may be as large as what they make.
#[derive(Debug, Clone)]
pub(super) struct Payload {
    file: Arc<File>,
    pub(super) length: u64,
}

impl Made {
    /// Returns the bytes of the payload.
    pub(super) const fn length(&self) -> u64 {
        match self {
            Self::Copy | Self::Part => 0,
            Self::Delta { payload, .. } | Self::Add { payload } | Self::Joint { payload, .. } => payload.length,
        }
    }

    /// Opens the payload from its start; empty for what has none.
    pub(super) fn open(&self) -> std::io::Result<Box<dyn Read + '_>> {
        match self {
            Self::Copy | Self::Part => Ok(Box::new(std::io::empty())),
            Self::Delta { payload, .. } | Self::Add { payload } | Self::Joint { payload, .. } => {
                let mut file: &File = &payload.file;
                file.rewind()?;
                Ok(Box::new(file))
            }
        }
    }
}

/// What decides a payload: the two contents and the codecs of the old release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    old: Option<Sha256>,
    new: Sha256,
    codecs: Vec<Codec>,
}

/// One payload to make.
struct Job {
    key: Key,
    name: FilePath,
    old: Option<PathBuf>,
    new: PathBuf,
    /// What it is expected to take, in bytes.
    memory: u64,
    /// The lengths of both files, which are held in memory beside what the comparison takes.
    files: u64,
}

/// Makes payloads and remembers them.
pub(super) struct Maker {
    limits: DiffLimits,
    folder: PathBuf,
    jobs: BTreeMap<Key, Job>,
    made: HashMap<Key, Made>,
    /// How many were made at the same time, at most.
    #[cfg(test)]
    pub(super) side_by_side: usize,
}

/// What the files of one release need, in the order of its manifest.
pub(super) struct Noted(Vec<Option<Key>>);

impl Maker {
    pub(super) fn new(limits: DiffLimits, folder: &Path) -> Self {
        Self {
            limits,
            folder: folder.to_owned(),
            jobs: BTreeMap::new(),
            made: HashMap::new(),
            #[cfg(test)]
            side_by_side: 0,
        }
    }

    /// Notes what each file of `new` needs, in the order of its manifest. [`Maker::run`] makes it, together with what was
    /// noted for other releases.
    pub(super) fn note(&mut self, old: &Tree, new: &Tree, origins: &[Option<Origin>], codecs: &[Codec]) -> Noted {
        let mut keys = Vec::with_capacity(origins.len());
        for ((entry, length, sha256), origin) in files(new.manifest()).zip(origins) {
            let similar = match origin {
                Some(Origin::Same(_)) => {
                    keys.push(None);
                    continue;
                }
                Some(Origin::Similar(path)) => files(old.manifest()).find(|(entry, ..)| entry.path == *path),
                None => None,
            };
            let key = Key {
                old: similar.map(|(_, _, sha256)| sha256),
                new: sha256,
                codecs: if similar.is_some() { codecs.to_vec() } else { Vec::new() },
            };
            if !self.made.contains_key(&key) && !self.jobs.contains_key(&key) {
                let old_length = similar.map_or(0, |(_, length, _)| length);
                let (memory, files) = (memory_of(old_length, length), old_length.saturating_add(length));
                let (old, new) = (similar.map(|(entry, ..)| old.path(&entry.path)), new.path(&entry.path));
                self.jobs
                    .insert(key.clone(), Job { key: key.clone(), name: entry.path.clone(), old, new, memory, files });
            }
            keys.push(Some(key));
        }
        Noted(keys)
    }

    /// Returns what was made of what was noted.
    /// # Errors
    /// [`DiffStepError::Incomplete`] before [`Maker::run`].
    pub(super) fn made(&self, noted: &Noted) -> Result<Vec<Made>, DiffStepError> {
        let found = |key: &Option<Key>| match key {
            None => Ok(Made::Copy),
            Some(key) => {
                self.made.get(key).cloned().ok_or_else(|| DiffStepError::Incomplete { path: self.folder.clone() })
            }
        };
        noted.0.iter().map(found).collect()
    }

    /// Makes everything that was noted, several at once.
    /// # Errors
    /// [`DiffStepError`] for the first that cannot be made.
    pub(super) fn run(&mut self, shell: &Shell) -> Result<(), DiffStepError> {
        // The largest first, so that none is left to a single thread at the end.
        let mut jobs: Vec<Job> = std::mem::take(&mut self.jobs).into_values().collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.memory));
        let threads = self.limits.threads.clamp(1, jobs.len().max(1));
        let progress = Progress::bytes(shell, "Diffing", jobs.iter().map(Job::length).sum());
        let queue = Mutex::new(jobs.into_iter());
        let gate = Gate::new(self.limits.memory);
        let (limits, folder) = (self.limits, self.folder.as_path());
        let work = || {
            let mut made = Vec::new();
            loop {
                let Some(job) = locked(&queue).next() else { return Ok(made) };
                let _held = gate.take(job.memory);
                let watch = Watch { progress: &progress, length: job.length(), told: AtomicU64::new(0) };
                progress.name(job.name.to_string());
                made.push((job.key.clone(), job.run(limits, folder, shell, &watch)?));
                watch.tell(watch.length);
            }
        };
        let results: Vec<Result<Vec<(Key, Made)>, DiffStepError>> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let joined = workers.into_iter().map(|worker| worker.join().unwrap_or(Err(DiffStepError::Panicked)));
            joined.collect()
        });
        #[cfg(test)]
        {
            self.side_by_side = locked(&gate.inside).1;
        }
        for result in results {
            self.made.extend(result?);
        }
        Ok(())
    }
}

/// Moves the bar of all payloads along with one of them.
struct Watch<'a> {
    progress: &'a Progress,
    /// The bytes of the new file.
    length: u64,
    /// How many of them the bar has.
    told: AtomicU64,
}

impl Watch<'_> {
    /// Says how many bytes are done. What was told is not taken back: a second way of comparing begins again.
    fn tell(&self, done: u64) {
        let before = self.told.fetch_max(done, Ordering::Relaxed);
        self.progress.add(done.saturating_sub(before));
    }

    /// Understands what the engine says of its stages, each of which goes over the whole file.
    fn stage(&self, of: updater_delta::Progress) {
        let before = match of.stage {
            Stage::Matching => 0,
            Stage::Encoding => 1,
            _ => 2,
        };
        let part = (before * of.total + of.done.min(of.total)) as f64 / (3 * of.total.max(1)) as f64;
        self.tell((part * self.length as f64) as u64);
    }
}

impl Job {
    /// Returns the bytes of the new file.
    fn length(&self) -> u64 {
        std::fs::metadata(&self.new).map_or(0, |metadata| metadata.len())
    }

    fn run(&self, limits: DiffLimits, folder: &Path, shell: &Shell, watch: &Watch<'_>) -> Result<Made, DiffStepError> {
        let read =
            |path: &Path| std::fs::read(path).map_err(|source| DiffStepError::Read { path: path.to_owned(), source });
        let Some(memory) = limits.memory.checked_sub(self.files).filter(|left| *left >= LEAST_MEMORY) else {
            return self.add(limits, folder, shell);
        };
        let new = read(&self.new)?;
        let delta = match &self.old {
            Some(old) => self.delta(&read(old)?, &new, memory, (shell, watch))?,
            None => None,
        };
        if let Some(delta) = &delta
            && delta.bytes().len() < new.len() / CLEARLY_SMALLER
        {
            return delta_of(delta, folder);
        }
        let packed = pack_added(Cursor::new(&new), Vec::new(), ADD_LEVEL)
            .map_err(|source| DiffStepError::Patch { path: self.new.clone(), source })?;
        Ok(match delta {
            Some(delta) if delta.bytes().len() < packed.len() => delta_of(&delta, folder)?,
            _ => Made::Add { payload: store(&packed, folder)? },
        })
    }

    /// Packs a file that does not fit into memory together with its predecessor: piece by piece, so it travels whole.
    fn add(&self, limits: DiffLimits, folder: &Path, shell: &Shell) -> Result<Made, DiffStepError> {
        if self.old.is_some() {
            shell.note(format_args!(
                "{} travels whole: a delta of these two files takes more than {} of memory; allow more with `--memory`",
                self.name,
                human_bytes(limits.memory)
            ));
        }
        let unreadable = |source| DiffStepError::Read { path: self.new.clone(), source };
        let failed = |source| DiffStepError::Write { path: folder.to_owned(), source };
        let file = tempfile::tempfile_in(folder).map_err(failed)?;
        let new = File::open(&self.new).map_err(unreadable)?;
        let file = pack_added(new, file, ADD_LEVEL)
            .map_err(|source| DiffStepError::Patch { path: self.new.clone(), source })?;
        let length = file.metadata().map_err(failed)?.len();
        Ok(Made::Add { payload: Payload { file: Arc::new(file), length } })
    }

    /// Makes the delta; `None` when it takes more memory than there is, so that the file travels whole.
    fn delta(
        &self,
        old: &[u8],
        new: &[u8],
        memory: u64,
        (shell, watch): (&Shell, &Watch<'_>),
    ) -> Result<Option<Delta>, DiffStepError> {
        let progress = |of: updater_delta::Progress| watch.stage(of);
        let options = DiffOptions {
            codecs: &self.key.codecs,
            // The jobs themselves run in parallel.
            threads: NonZeroUsize::MIN,
            memory,
            progress: Some(&progress),
            ..DiffOptions::default()
        };
        match updater_delta::diff(old, new, &options) {
            Ok(delta) => Ok(Some(delta)),
            Err(DiffError::Memory { needed, limit }) => {
                shell.note(format_args!(
                    "{} travels whole: a delta takes {} of memory, there is {}",
                    self.name,
                    human_bytes(needed),
                    human_bytes(limit)
                ));
                Ok(None)
            }
            Err(source) => Err(DiffStepError::Diff { path: self.new.clone(), source }),
        }
    }
}

fn delta_of(delta: &Delta, folder: &Path) -> Result<Made, DiffStepError> {
    let (codec, reading) = (delta.codec(), delta.reading());
    Ok(Made::Delta { codec, reading, payload: store(delta.bytes(), folder)? })
}

pub(super) fn store(bytes: &[u8], folder: &Path) -> Result<Payload, DiffStepError> {
    let failed = |source| DiffStepError::Write { path: folder.to_owned(), source };
    let mut file = tempfile::tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    Ok(Payload { file: Arc::new(file), length: bytes.len() as u64 })
}

/// Estimates what one job takes, in bytes: both files, as they are and normalised twice, and the sorted places of the old one.
fn memory_of(old: u64, new: u64) -> u64 {
    8u64.saturating_mul(old).saturating_add(3u64.saturating_mul(new)).saturating_add(32 << 20)
}

/// Lets jobs in as long as there is memory for them. A job larger than everything runs alone.
struct Gate {
    free: Mutex<u64>,
    total: u64,
    changed: Condvar,
    /// How many are inside, and how many were at most.
    #[cfg(test)]
    inside: Mutex<(usize, usize)>,
}

/// Memory that a job holds until it is dropped.
struct Held<'a> {
    gate: &'a Gate,
    bytes: u64,
}

impl Gate {
    fn new(total: u64) -> Self {
        Self {
            free: Mutex::new(total),
            total,
            changed: Condvar::new(),
            #[cfg(test)]
            inside: Mutex::default(),
        }
    }

    fn take(&self, bytes: u64) -> Held<'_> {
        let bytes = bytes.min(self.total);
        let free = locked(&self.free);
        let mut free = self.changed.wait_while(free, |free| *free < bytes).unwrap_or_else(PoisonError::into_inner);
        *free -= bytes;
        #[cfg(test)]
        {
            let mut inside = locked(&self.inside);
            inside.0 += 1;
            inside.1 = inside.1.max(inside.0);
        }
        Held { gate: self, bytes }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        #[cfg(test)]
        {
            locked(&self.gate.inside).0 -= 1;
        }
        *locked(&self.gate.free) += self.bytes;
        self.gate.changed.notify_all();
    }
}

/// A panic while a lock was held leaves plain data behind.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A delta this many times smaller than the file is taken without packing the file for comparison: xz halves programs
/// twice at most.
const CLEARLY_SMALLER: usize = 8;
/// The least memory in which two files are compared block by block, in bytes: 128 MiB.
pub(super) const LEAST_MEMORY: u64 = 128 << 20;
/// The xz preset of files that travel whole.
const ADD_LEVEL: u32 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_never_hold_more_than_the_budget() {
        let gate = Gate::new(100);
        let most = Mutex::new((0u64, 0u64));
        std::thread::scope(|scope| {
            for bytes in [60, 50, 40, 30, 1000, 10] {
                let (gate, most) = (&gate, &most);
                scope.spawn(move || {
                    let held = gate.take(bytes);
                    {
                        let mut most = locked(most);
                        most.0 += held.bytes;
                        most.1 = most.1.max(most.0);
                    }
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    locked(most).0 -= held.bytes;
                });
            }
        });
        let (left, most) = *locked(&most);
        assert_eq!(left, 0);
        assert!((60..=100).contains(&most), "{most}");
        assert_eq!(*locked(&gate.free), 100);
    }
}
