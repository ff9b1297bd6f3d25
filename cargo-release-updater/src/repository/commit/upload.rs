//! The files of a release on their way into the storage: several at a time, each tried again when the service stumbles.

use super::{Commit, Upload};
use crate::storage::{Created, Storage, StorageError};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// What becomes of a file on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileProgress {
    /// It has come further by so many bytes; back, when a request failed and is repeated.
    Further(i64),
    /// It begins again from its first byte: the connection broke.
    Again,
    /// It is there, and was read back: sent now, or found.
    Done(Created),
}

impl Commit<'_> {
    /// Uploads the files of a release. May be done any time before [`Commit::publish`]; what is there already, by its
    /// hash, is skipped. `sent` is told what becomes of each file.
    /// # Errors
    /// [`StorageError`] when the storage fails; running it again continues.
    pub fn upload(&self, files: &[Upload], mut sent: impl FnMut(&str, FileProgress)) -> Result<(), StorageError> {
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
                            let tell = {
                                let sender = sender.clone();
                                move |progress| {
                                    let _ = sender.send((index, progress));
                                }
                            };
                            let put = || {
                                let tell = tell.clone();
                                put(storage, file, move |bytes| tell(FileProgress::Further(bytes)))
                            };
                            let created = patiently(put, || tell(FileProgress::Again))
                                .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
                            tell(FileProgress::Done(created));
                        }
                        Ok(())
                    })
                })
                .collect();
            drop(sender);
            for (index, what) in receiver {
                sent(&files[index].name(), what);
            }
            let mut joined = workers.into_iter().map(|worker| worker.join());
            joined.try_for_each(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }
}

/// Uploads one file and its signature.
fn put(storage: &Storage, file: &Upload, sent: impl Fn(i64) + Send + Sync + 'static) -> Result<Created, StorageError> {
    let path = storage.artifact_path(&file.artifact, file.release());
    let created = storage.put_file(&path, &file.content, sent)?;
    if let Some(signature) = &file.minisig {
        storage.put_mutable(&Storage::signature_path(&file.artifact), signature.clone().into_bytes())?;
    }
    Ok(created)
}

/// Tries again what failed for now, after a pause that doubles. Single requests are repeated below this already; this
/// is for a connection that broke in the middle of a file.
fn patiently<T>(mut upload: impl FnMut() -> Result<T, StorageError>, again: impl Fn()) -> Result<T, StorageError> {
    let mut pause = FIRST_PAUSE;
    loop {
        match upload() {
            Err(error) if error.is_temporary() && pause <= LAST_PAUSE => std::thread::sleep(pause),
            result => return result,
        }
        again();
        pause *= 2;
    }
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Three tries more, seven seconds in all: whoever wants longer runs the command again, and it continues.
const LAST_PAUSE: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_for_now_is_tried_again_and_what_fails_for_good_is_not() {
        let tries = std::cell::Cell::new(0);
        let not_as_sent = || StorageError::NotAsSent { path: "p".to_owned(), storage: "s".to_owned() };
        let again = std::cell::Cell::new(0);
        let upload = || {
            tries.set(tries.get() + 1);
            if tries.get() < 2 { Err(not_as_sent()) } else { Ok(tries.get()) }
        };
        assert_eq!(patiently(upload, || again.set(again.get() + 1)).unwrap(), 2);
        assert_eq!(again.get(), 1);
        let error = patiently(|| Err::<(), _>(StorageError::ReadOnly { storage: "s".to_owned() }), || panic!("again"));
        assert!(matches!(error, Err(StorageError::ReadOnly { .. })));
    }
}
