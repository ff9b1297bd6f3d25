//! Files on their way into a storage: streamed, hashed on the way, and read back.

use super::error::StorageError;
use super::objects::Created;
use super::opendal::Storage;
use super::service::Service;
use opendal::options;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use updater_format::Sha256;
use updater_format::digest::HashingReader;

impl Storage {
    /// Uploads a file under a name that says its content. Skipped when the object is there with the same bytes; written
    /// again when an interrupted upload, or anything else, left other ones. What was written is read back.
    ///
    /// `sent` is told by how many bytes the upload has come further, and back when a request failed and is repeated.
    /// # Errors
    /// [`StorageError`] when the file cannot be read or the service fails; [`StorageError::NotAsSent`] when the storage
    /// gives back something else.
    pub fn put_file(
        &self,
        path: &str,
        file: &Path,
        sent: impl Fn(i64) + Send + Sync + 'static,
    ) -> Result<Created, StorageError> {
        let sent: Tell = Arc::new(sent);
        let further = |bytes: u64| sent(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.must_be_writable()?;
        let unreadable = |source| StorageError::Io { action: "read", path: file.to_owned(), source };
        let mut input = HashingReader::new(File::open(file).map_err(unreadable)?);
        let length = file.metadata().map_err(unreadable)?.len();
        if let Some(github) = &self.github {
            std::io::copy(&mut input, &mut std::io::sink()).map_err(unreadable)?;
            self.spend()?;
            return github.put_file(path, file, input.finish(), &mut |bytes| further(bytes));
        }
        if self.length(path)? == Some(length) {
            let mut local = HashingReader::new(File::open(file).map_err(unreadable)?);
            std::io::copy(&mut local, &mut std::io::sink()).map_err(unreadable)?;
            if self.digest(path)? == Some(local.finish()) {
                further(length);
                return Ok(Created::Exists);
            }
        }
        self.spend()?;
        let chunk = self.capability.write_can_multi.then(|| self.piece());
        // Where a file is one request it is one piece, in memory: WebDAV.
        let size = chunk.unwrap_or(usize::try_from(length).unwrap_or(usize::MAX)).max(1);
        let how = options::WriteOptions { chunk, ..self.write_options(path) };
        let telling = self.telling(&sent).map_err(|e| self.failed("create", path, e))?;
        let operator = telling.as_ref().unwrap_or(&self.operator);
        let mut writer = operator.writer_options(path, how).map_err(|e| self.failed("create", path, e))?;
        loop {
            let mut piece = vec![0; size];
            let n = fill(&mut input, &mut piece).map_err(unreadable)?;
            if n == 0 {
                break;
            }
            piece.truncate(n);
            writer.write(piece).map_err(|e| self.failed("write", path, e))?;
            if telling.is_none() {
                further(n as u64);
            }
        }
        writer.close().map_err(|e| self.failed("write", path, e))?;
        self.settle(path)?;
        self.written(path)?;
        if self.is_read_back() && self.digest(path)? != Some(input.finish()) {
            return Err(StorageError::NotAsSent { path: path.to_owned(), storage: self.name().to_owned() });
        }
        Ok(Created::New)
    }

    /// Opens an object to be read piece by piece; `None` when there is none.
    /// # Errors
    /// [`StorageError::Service`] for anything but absence.
    pub fn reader(&self, path: &str) -> Result<Option<Box<dyn Read>>, StorageError> {
        if let Some(github) = &self.github {
            self.spend()?;
            return github.reader(path);
        }
        let Some(length) = self.length(path)? else { return Ok(None) };
        self.spend()?;
        let how = options::ReaderOptions { chunk: Some(self.piece()), ..Default::default() };
        let reader = self.reading(path).reader_options(path, how).map_err(|e| self.failed("read", path, e))?;
        let reader = reader.into_std_read(0..length).map_err(|e| self.failed("read", path, e))?;
        Ok(Some(Box::new(reader)))
    }

    /// Reads an object piece by piece; returns its length and digest, `None` when there is none.
    /// # Errors
    /// [`StorageError::Service`] for anything but absence.
    pub fn digest(&self, path: &str) -> Result<Option<(u64, Sha256)>, StorageError> {
        let Some(reader) = self.reader(path)? else { return Ok(None) };
        let mut reader = HashingReader::new(reader);
        std::io::copy(&mut reader, &mut std::io::sink()).map_err(|error| match error.downcast::<opendal::Error>() {
            Ok(error) => self.failed("read back", path, error),
            Err(source) => StorageError::Io { action: "read back", path: path.into(), source },
        })?;
        Ok(Some(reader.finish()))
    }
}

/// Who is told by how many bytes an upload has come further, and back when a request failed and is repeated.
pub(super) type Tell = Arc<dyn Fn(i64) + Send + Sync>;

/// Reads until the piece is full or the input ends.
fn fill(input: &mut impl Read, piece: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match input.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl Storage {
    /// Without a service that takes files in requests, nothing tells by itself.
    #[cfg(not(feature = "network"))]
    #[expect(clippy::unnecessary_wraps, reason = "as with such services")]
    fn telling(&self, _: &Tell) -> opendal::Result<Option<opendal::blocking::Operator>> {
        Ok(None)
    }

    /// Returns how many bytes go at once. Several pieces of each file that is on its way are in memory.
    fn piece(&self) -> usize {
        match self.service {
            Service::Folder | Service::Sftp => PIECE_OF_FILE,
            _ => PIECE,
        }
    }
}

/// Bytes per piece of an upload: above the least part that S3 takes (5 MiB), and 10,000 of them, its most, are 80 GiB.
const PIECE: usize = 8 * 1024 * 1024;
/// The same where a piece is no request of its own.
const PIECE_OF_FILE: usize = 256 * 1024;
