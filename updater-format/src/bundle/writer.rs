//! Writes a bundle: the same bytes for the same files, whatever the machine, the clock and the number of threads.

use super::{BLOCK, BundleError, CHUNK, MemberProblem};
use crate::digest::Sha256Hasher;
use crate::manifest::{EntryContent, MANIFEST_PATH, Manifest, ManifestEntry};
use crate::path::FilePath;
use crate::xz;
use std::io::{Read, Write};

/// How a bundle is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleOptions {
    /// The xz preset, 0 to 9; higher ones count as 9.
    pub level: u32,
    /// How many threads compress, 1 to 256. The output is the same for every number.
    pub threads: u32,
    /// The modification time of every member, in seconds since 1970: 0, or the value of `SOURCE_DATE_EPOCH`.
    pub mtime: u64,
}

impl Default for BundleOptions {
    /// Level 6 (9 MiB to decode), one thread, mtime 0.
    fn default() -> Self {
        Self { level: 6, threads: 1, mtime: 0 }
    }
}

/// Writes one bundle from its manifest and the files that it lists.
pub struct BundleWriter<W: Write> {
    output: xz2::write::XzEncoder<W>,
    manifest: Manifest,
    mtime: u64,
}

impl<W: Write> BundleWriter<W> {
    /// Starts a bundle: writes the manifest, which is its first member.
    /// # Errors
    /// [`BundleError::Write`] when the output fails.
    pub fn new(output: W, manifest: &Manifest, options: &BundleOptions) -> Result<Self, BundleError> {
        let output = xz::encoder(output, options.level, options.threads)?;
        let mut writer = Self { output, manifest: manifest.clone(), mtime: options.mtime };
        let bytes = manifest.encode();
        writer.header(MANIFEST_PATH, tar::EntryType::Regular, 0o644, bytes.len() as u64, "")?;
        writer.write(&bytes)?;
        writer.pad(bytes.len() as u64)?;
        Ok(writer)
    }

    /// Writes every listed file and link in order, asking `open` for the content of each file, and ends the bundle.
    /// Files are streamed: memory does not grow with them.
    /// # Errors
    /// [`BundleError::Source`] when a file cannot be read, [`BundleError::Member`] when its content is not what the
    /// manifest says (it changed meanwhile), [`BundleError::Write`] when the output fails.
    pub fn write_all<R: Read>(
        mut self,
        mut open: impl FnMut(&FilePath) -> std::io::Result<R>,
    ) -> Result<W, BundleError> {
        let manifest = self.manifest.clone();
        for entry in manifest.entries() {
            match &entry.content {
                EntryContent::Link { target } => {
                    self.header(entry.path.as_str(), tar::EntryType::Symlink, 0o777, 0, target)?;
                }
                EntryContent::File { length, mode, .. } => {
                    let content = open(&entry.path)
                        .map_err(|source| BundleError::Source { path: entry.path.to_string(), source })?;
                    self.header(entry.path.as_str(), tar::EntryType::Regular, mode.bits(), *length, "")?;
                    self.file(entry, content)?;
                }
            }
        }
        // A tar archive ends with two blocks of zeros.
        self.write(&[0; 2 * BLOCK])?;
        self.output.finish().map_err(|source| BundleError::Write { source })
    }

    /// Copies one file and holds it against the manifest.
    fn file(&mut self, entry: &ManifestEntry, mut content: impl Read) -> Result<(), BundleError> {
        let EntryContent::File { length, sha256, .. } = entry.content else {
            return Ok(());
        };
        let refuse = |problem| BundleError::member(entry.path.as_str(), problem);
        let mut hasher = Sha256Hasher::new();
        let mut buffer = vec![0; CHUNK];
        loop {
            let n = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    return Err(BundleError::Source { path: entry.path.to_string(), source });
                }
            };
            hasher.update(&buffer[..n]);
            if hasher.length() > length {
                return Err(refuse(MemberProblem::Length { expected: length, got: hasher.length() }));
            }
            self.write(&buffer[..n])?;
        }
        if hasher.length() != length {
            return Err(refuse(MemberProblem::Length { expected: length, got: hasher.length() }));
        }
        let got = hasher.finish();
        if got != sha256 {
            return Err(refuse(MemberProblem::Digest { expected: sha256, got }));
        }
        self.pad(length)
    }

    /// Writes a member's header, preceded by GNU's long name and long link members where 100 bytes do not hold them.
    fn header(
        &mut self,
        path: &str,
        kind: tar::EntryType,
        mode: u32,
        size: u64,
        target: &str,
    ) -> Result<(), BundleError> {
        self.long(tar::EntryType::GNULongLink, target)?;
        self.long(tar::EntryType::GNULongName, path)?;
        let mut header = self.plain_header(kind, mode, size);
        if let Some(gnu) = header.as_gnu_mut() {
            copy_prefix(&mut gnu.name, path);
            copy_prefix(&mut gnu.linkname, target);
        }
        header.set_cksum();
        self.write(header.as_bytes())
    }

    fn long(&mut self, kind: tar::EntryType, text: &str) -> Result<(), BundleError> {
        if text.len() <= SHORT_NAME {
            return Ok(());
        }
        let mut header = self.plain_header(kind, 0o644, text.len() as u64 + 1);
        if let Some(gnu) = header.as_gnu_mut() {
            copy_prefix(&mut gnu.name, "././@LongLink");
        }
        header.set_mtime(0);
        header.set_cksum();
        self.write(header.as_bytes())?;
        self.write(text.as_bytes())?;
        self.write(&[0])?;
        self.pad(text.len() as u64 + 1)
    }

    fn plain_header(&self, kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.mtime);
        header.set_size(size);
        header
    }

    /// Fills the last block of a member with zeros.
    fn pad(&mut self, length: u64) -> Result<(), BundleError> {
        let over = (length % BLOCK as u64) as usize;
        if over == 0 { Ok(()) } else { self.write(&[0; BLOCK][over..]) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        self.output.write_all(bytes).map_err(|source| BundleError::Write { source })
    }
}

impl<W: Write> std::fmt::Debug for BundleWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BundleWriter").field("version", self.manifest.version()).finish_non_exhaustive()
    }
}

/// Copies as much of a text as a header field takes.
fn copy_prefix(field: &mut [u8; SHORT_NAME], text: &str) {
    let length = text.len().min(SHORT_NAME);
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
}

/// The longest name that fits a header, in bytes.
const SHORT_NAME: usize = 100;
