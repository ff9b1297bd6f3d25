//! The files of a release on their way into the storage: several at a time, each tried again when the service stumbles.

use super::{Commit, Upload};
use crate::storage::{Storage, StorageError};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

impl Commit<'_> {
    /// Uploads the files of a release. May be done any time before [`Commit::publish`]; what is there already, by its
    /// hash, is skipped. `sent` is told the bytes of each piece.
    /// # Errors
    /// [`StorageError`] when the storage fails; running it again continues.
    pub fn upload(&self, files: &[Upload], mut sent: impl FnMut(&str, u64)) -> Result<(), StorageError> {
        let swept = self.storage.sweep()?;
        if swept > 0 {
            self.shell.detail(format_args!("removed {swept} interrupted uploads that were older than a day"));
        }
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.storage.parallel_uploads().min(files.len()))
                .map(|_| {
                    let (sender, next, failed, storage) = (sender.clone(), &next, &failed, self.storage);
                    scope.spawn(move || {
                        while !failed.load(Ordering::Relaxed) {
                            let index = next.fetch_add(1, Ordering::Relaxed);
                            let Some(file) = files.get(index) else { break };
                            // Nobody listens any more when the publisher has gone.
                            let tell = |bytes| {
                                let _ = sender.send((index, bytes));
                            };
                            patiently(|| put(storage, file, &tell))
                                .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
                        }
                        Ok(())
                    })
                })
                .collect();
            drop(sender);
            for (index, bytes) in receiver {
                sent(&files[index].name(), bytes);
            }
            let mut joined = workers.into_iter().map(|worker| worker.join());
            joined.try_for_each(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }
}

/// Uploads one file and its signature.
fn put(storage: &Storage, file: &Upload, sent: &impl Fn(u64)) -> Result<(), StorageError> {
    storage.put_file(&storage.artifact_path(&file.artifact, &file.version), &file.content, sent)?;
    match &file.minisig {
        Some(signature) => {
            storage.put_mutable(&Storage::signature_path(&file.artifact), signature.clone().into_bytes())
        }
        None => Ok(()),
    }
}

/// Tries again what failed for now, after a pause that doubles. Single requests are repeated below this already; this
/// is for a connection that broke in the middle of a file.
fn patiently(mut upload: impl FnMut() -> Result<(), StorageError>) -> Result<(), StorageError> {
    let mut pause = FIRST_PAUSE;
    loop {
        match upload() {
            Err(error) if error.is_temporary() && pause <= LAST_PAUSE => std::thread::sleep(pause),
            result => return result,
        }
        pause *= 2;
    }
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Three tries more, seven seconds in all: whoever wants longer runs the command again, and it continues.
const LAST_PAUSE: Duration = Duration::from_secs(4);
