//! Log files that do not grow without bound, and the streams that fill them.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A log file that begins anew at a size: `app.out.log`, then `app.out.log.1` and so on, the oldest last.
#[derive(Debug)]
pub(super) struct RotatingLog {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    /// Whether the last byte that was written ended a line.
    is_line_over: bool,
    /// The size at which a new file begins.
    bytes: u64,
    /// How many older ones stay.
    files: u32,
}

impl RotatingLog {
    /// Opens a log for appending.
    pub(super) fn open(path: &Path, bytes: u64, files: u32) -> Result<Self> {
        let file = append(path).map_err(|source| Error::file("open", path, source))?;
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        Ok(Self { path: path.to_owned(), file: Some(file), size, is_line_over: true, bytes, files })
    }

    /// Appends. What cannot be written is dropped: a full disk must not stop the app.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let (rest, next) = if self.size > 0 && self.size.saturating_add(bytes.len() as u64) > self.bytes {
            // A line is not cut, if its end is among these bytes.
            let end =
                if self.is_line_over { 0 } else { bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1) };
            bytes.split_at(end)
        } else {
            (bytes, &[][..])
        };
        self.append(rest);
        if !next.is_empty() {
            self.rotate();
            self.append(next);
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.file.is_none() {
            // Its folder may be back by now.
            self.file = append(&self.path).ok();
        }
        let is_written = self.file.as_mut().is_some_and(|file| file.write_all(bytes).is_ok());
        if is_written && let Some(last) = bytes.last() {
            self.size += bytes.len() as u64;
            self.is_line_over = *last == b'\n';
        }
    }

    fn rotate(&mut self) {
        self.file = None;
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        // Each step alone may fail, when somebody has removed a file: the next ones are tried all the same.
        let _ = std::fs::remove_file(numbered(self.files));
        for number in (1..self.files).rev() {
            let _ = std::fs::rename(numbered(number), numbered(number + 1));
        }
        if self.files > 0 {
            let _ = std::fs::rename(&self.path, numbered(1));
        } else {
            let _ = std::fs::remove_file(&self.path);
        }
        self.file = append(&self.path).ok();
        self.size = 0;
    }
}

fn append(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    crate::files::own(File::options().append(true).create(true), 0o640).open(path)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("app.out.log"), folder.path().join("precious"));
        std::fs::write(&target, "as it was").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        match RotatingLog::open(&path, 100, 2) {
            Err(Error::File { source, .. }) => {
                assert_eq!(source.raw_os_error(), Some(rustix::io::Errno::LOOP.raw_os_error()))
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "as it was");
    }

    #[test]
    fn a_line_is_not_cut_and_a_folder_that_was_removed_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log/app.out.log");
        let mut log = RotatingLog::open(&path, 10, 2).unwrap();
        for piece in ["12345", "678\nabc", "defgh\n", "next\n"] {
            log.write(piece.as_bytes());
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join("log").join(name)).unwrap();
        assert_eq!(read("app.out.log.2"), "12345678\n");
        assert_eq!((read("app.out.log.1").as_str(), read("app.out.log").as_str()), ("abcdefgh\n", "next\n"));
        std::fs::remove_dir_all(folder.path().join("log")).unwrap();
        log.write(b"too much\n");
        log.write(b"again\n");
        assert_eq!(read("app.out.log"), "again\n");
    }

    #[test]
    fn a_log_stays_within_its_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.out.log");
        let mut log = RotatingLog::open(&path, 100, 2).unwrap();
        for line in 0..50 {
            log.write(format!("line number {line:02}\n").as_bytes());
        }
        let names = updater_tests::app::names(folder.path());
        assert_eq!(names, ["app.out.log", "app.out.log.1", "app.out.log.2"]);
        for name in names {
            assert!(std::fs::metadata(folder.path().join(name)).unwrap().len() <= 100);
        }
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("line number 49\n"));
        drop(log);
        // Opened again it goes on, and without older files only the newest stays.
        let mut log = RotatingLog::open(&path, 100, 0).unwrap();
        log.write(&[b'x'; 99]);
        assert_eq!(std::fs::read(&path).unwrap(), [b'x'; 99]);
        assert_eq!(log.size, 99);
    }
}
