//! The lock beside a repository in a folder. The system releases it when its holder dies, however it dies.

use super::error::StorageError;
use std::fs::File;
use std::path::Path;

/// Held by one publisher of a folder at a time. Dropping it releases it.
#[derive(Debug)]
pub struct StorageLock {
    _file: File,
}

impl StorageLock {
    /// Waits for the lock of a folder. `waiting` is called once when somebody else holds it.
    pub(super) fn acquire(folder: &Path, waiting: impl FnOnce()) -> Result<Self, StorageError> {
        let path = folder.join(LOCK_FILE);
        let failed = |action| {
            let path = path.clone();
            move |source| StorageError::Io { action, path, source }
        };
        std::fs::create_dir_all(folder).map_err(failed("create"))?;
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                waiting();
                file.lock().map_err(failed("lock"))?;
            }
            Err(std::fs::TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        Ok(Self { _file: file })
    }
}

/// Hidden, so that web servers leave it alone.
const LOCK_FILE: &str = ".updater-lock";
