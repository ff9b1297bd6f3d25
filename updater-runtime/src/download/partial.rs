//! The file that a download grows in. All raw file calls of downloading are here.

use super::{DownloadError, VerifiedFile};
use crate::fs;
use crate::transport::{Resume, Url};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use updater_format::digest::Sha256Hasher;
use updater_format::{Sha256, release::Artifact};

/// A file that holds the first bytes of an artifact, and the hash of exactly these bytes.
#[derive(Debug)]
pub(super) struct Partial {
    file: File,
    path: PathBuf,
    hasher: Sha256Hasher,
    /// Which entity tag the bytes came under, and from where: another server's tags are other tags.
    etag: Option<(String, String)>,
}

impl Partial {
    /// Opens what an earlier attempt left, hashing it from the start, or a new file.
    pub(super) fn open(folder: &Path, artifact: &Artifact) -> Result<Self, DownloadError> {
        let path = folder.join(format!("{}.part", artifact.sha256));
        let failed = |source: std::io::Error| DownloadError::Disk { path: path.clone(), source };
        let file = match open_own(&path) {
            Ok(file) => file,
            // A link, a folder, a file of somebody else: not what an attempt of ours leaves.
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                log::debug!("dropping {}: {error}", path.display());
                fs::remove_file(&path).map_err(|error| failed(error.source))?;
                create(&path).map_err(failed)?
            }
            Err(_) => create(&path).map_err(failed)?,
        };
        let mut partial = Self { file, hasher: Sha256Hasher::new(), etag: read_etag(&etag_path(&path)), path };
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let n = partial.file.read(&mut buffer).map_err(|source| partial.failed(source))?;
            partial.hasher.update(&buffer[..n]);
            if n == 0 {
                break;
            }
            if partial.hasher.length() > artifact.length {
                partial.restart()?;
                break;
            }
        }
        Ok(partial)
    }

    pub(super) fn length(&self) -> u64 {
        self.hasher.length()
    }

    pub(super) fn digest(&self) -> Sha256 {
        self.hasher.clone().finish()
    }

    /// Returns where to go on, with the entity tag if it is one of this server.
    pub(super) fn resume_from(&self, url: &Url) -> Option<Resume> {
        let etag = self.etag.as_ref().filter(|(from, _)| *from == url.to_string()).map(|(_, etag)| etag.clone());
        (self.length() > 0).then(|| Resume { offset: self.length(), etag })
    }

    /// Remembers the entity tag under which the bytes come, also for another process. Losing it costs a digest.
    pub(super) fn note_etag(&mut self, url: &Url, etag: Option<&str>) {
        let etag = etag.map(|etag| (url.to_string(), etag.to_owned()));
        if etag == self.etag {
            return;
        }
        let path = etag_path(&self.path);
        remove(&path);
        if let Some((url, etag)) = &etag {
            let written = create(&path).and_then(|mut file| file.write_all(format!("{url}\n{etag}\n").as_bytes()));
            if let Err(error) = written {
                log::debug!("cannot write {}: {error}", path.display());
            }
        }
        self.etag = etag;
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), DownloadError> {
        self.file.write_all(bytes).map_err(|source| self.failed(source))?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// Throws the bytes away.
    pub(super) fn restart(&mut self) -> Result<(), DownloadError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|source| self.failed(source))?;
        self.hasher = Sha256Hasher::new();
        self.etag = None;
        remove(&etag_path(&self.path));
        Ok(())
    }

    /// Gives the handle on once the digest is that of the artifact.
    pub(super) fn into_verified(self, artifact: &Artifact) -> Result<VerifiedFile, DownloadError> {
        remove(&etag_path(&self.path));
        let (length, sha256) = (artifact.length, artifact.sha256);
        let mut verified = VerifiedFile { file: self.file, path: self.path, length, sha256 };
        verified.reader()?;
        Ok(verified)
    }

    fn failed(&self, source: std::io::Error) -> DownloadError {
        DownloadError::Disk { path: self.path.clone(), source }
    }
}

/// Removes a file; that it cannot be removed is logged and nothing more.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        log::debug!("{error}");
    }
}

fn etag_path(path: &Path) -> PathBuf {
    path.with_extension("etag")
}

fn read_etag(path: &Path) -> Option<(String, String)> {
    let mut text = String::new();
    open_own(path).ok()?.take(MAX_ETAG_FILE).read_to_string(&mut text).ok()?;
    let (url, etag) = text.trim_end().split_once('\n')?;
    Some((url.to_owned(), etag.to_owned()))
}

/// Opens an existing file that an attempt of this user left: regular, without other names, reached without a link.
fn open_own(path: &Path) -> std::io::Result<File> {
    fs::open_own(path, false)
}

fn create(path: &Path) -> std::io::Result<File> {
    fs::open_own(path, true)
}

/// Bytes of the file that keeps an entity tag: a URL and a tag.
const MAX_ETAG_FILE: u64 = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use updater_format::TargetName;

    fn artifact(content: &[u8]) -> Artifact {
        let name = TargetName::parse("x.tar.xz").unwrap();
        Artifact { name, length: content.len() as u64, sha256: Sha256::of(content) }
    }

    #[test]
    fn what_is_there_is_hashed_and_continued() {
        let folder = tempfile::tempdir().unwrap();
        let artifact = artifact(b"0123456789");
        let url = Url::parse("https://example.com/x").unwrap();
        let mut partial = Partial::open(folder.path(), &artifact).unwrap();
        partial.note_etag(&url, Some("\"a\""));
        partial.append(b"01234").unwrap();
        drop(partial);
        let mut partial = Partial::open(folder.path(), &artifact).unwrap();
        assert_eq!(partial.resume_from(&url), Some(Resume { offset: 5, etag: Some("\"a\"".into()) }));
        let other = Url::parse("https://mirror.example.com/x").unwrap();
        assert_eq!(partial.resume_from(&other), Some(Resume { offset: 5, etag: None }));
        partial.append(b"56789").unwrap();
        assert_eq!(partial.digest(), artifact.sha256);
        let mut verified = partial.into_verified(&artifact).unwrap();
        let mut content = String::new();
        verified.reader().unwrap().read_to_string(&mut content).unwrap();
        assert_eq!(content, "0123456789");
        verified.discard();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn more_than_there_can_be_is_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let artifact = artifact(b"0123456789");
        std::fs::write(folder.path().join(format!("{}.part", artifact.sha256)), [0; 100_000]).unwrap();
        let partial = Partial::open(folder.path(), &artifact).unwrap();
        assert_eq!((partial.length(), partial.file.metadata().unwrap().len()), (0, 0));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_never_written_through() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let artifact = artifact(b"0123456789");
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let path = folder.path().join(format!("{}.part", artifact.sha256));
        for plant in [symlink::<&Path, &Path> as fn(_, _) -> _, std::fs::hard_link::<&Path, &Path>] {
            plant(&victim, &path).unwrap();
            let mut partial = Partial::open(folder.path(), &artifact).unwrap();
            partial.append(b"01234").unwrap();
            assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
            assert_eq!(partial.file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            remove(&path);
        }
        std::fs::create_dir(&path).unwrap();
        assert!(matches!(Partial::open(folder.path(), &artifact), Err(DownloadError::Disk { .. })));
    }
}
