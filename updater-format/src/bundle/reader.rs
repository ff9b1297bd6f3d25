//! Reads a bundle member by member against its manifest; whatever the manifest does not list is refused.

use super::{BLOCK, BundleError, CHUNK, MemberProblem};
use crate::digest::{Sha256, Sha256Hasher};
use crate::error::FormatError;
use crate::length::{MAX_MANIFEST, MAX_PATH};
use crate::manifest::{EntryContent, MANIFEST_PATH, Manifest, ManifestEntry};
use crate::path::FilePath;
use crate::xz::{bounded_decoder, explain};
use std::io::{BufRead as _, BufReader, Read, Write};

/// What the signed entry of a bundle says about its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleExpectation {
    /// Digest of the manifest's exact bytes.
    pub manifest: Sha256,
    /// Sum of the lengths of all files, in bytes.
    pub unpacked: u64,
    /// How many files and links the manifest lists.
    pub entries: u64,
}

impl BundleExpectation {
    /// Returns what is to be signed about a bundle of this manifest.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            manifest: Sha256::of(&manifest.encode()),
            unpacked: manifest.unpacked(),
            entries: manifest.entries().len() as u64,
        }
    }
}

/// Reads the manifest of a bundle and nothing else, for tools that look at a file before anything is signed.
/// Returns it with its exact bytes.
/// # Errors
/// As [`BundleReader::open`], without the checks against signed numbers.
pub fn read_manifest(input: impl Read) -> Result<(Manifest, Vec<u8>), BundleError> {
    let mut blocks = Blocks::open(input)?;
    let bytes = blocks.manifest_bytes()?;
    Ok((Manifest::parse(&bytes)?, bytes))
}

/// Reads one bundle. Each file's bytes can be taken out once, in order, and are checked while they pass.
pub struct BundleReader<R: Read> {
    blocks: Blocks<R>,
    manifest: Manifest,
    manifest_bytes: Vec<u8>,
    next: usize,
    /// Whether the content of entry `next - 1` is still in the archive.
    unread: bool,
}

impl<R: Read> BundleReader<R> {
    /// Reads the first member, checks it against what was signed, and only then parses it as the manifest.
    /// # Errors
    /// [`BundleError::ManifestDigest`] and [`BundleError::Totals`] when it is not what was signed,
    /// [`BundleError::Format`] when it is not a manifest, [`BundleError::Memory`] when the xz header asks for more than
    /// 128 MiB, [`BundleError::Compression`], [`BundleError::Member`] or [`BundleError::Read`] when the archive is not
    /// readable.
    pub fn open(input: R, expected: &BundleExpectation) -> Result<Self, BundleError> {
        let mut blocks = Blocks::open(input)?;
        let manifest_bytes = blocks.manifest_bytes()?;
        let got = Sha256::of(&manifest_bytes);
        if got != expected.manifest {
            return Err(BundleError::ManifestDigest { expected: expected.manifest, got });
        }
        let manifest = Manifest::parse(&manifest_bytes)?;
        for (unit, expected, got) in [
            ("bytes unpacked", expected.unpacked, manifest.unpacked()),
            ("entries", expected.entries, manifest.entries().len() as u64),
        ] {
            if expected != got {
                return Err(BundleError::Totals { unit, expected, got });
            }
        }
        Ok(Self { blocks, manifest, manifest_bytes, next: 0, unread: false })
    }

    /// Returns the manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the exact bytes of the manifest.
    #[must_use]
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest_bytes
    }

    /// Returns the next member, `None` after the last when the archive ends there too. A file that was not copied is
    /// read and checked all the same.
    /// # Errors
    /// [`BundleError::Member`] with the rule that a member breaks; [`BundleError::Trailing`] when anything follows the
    /// last one; [`BundleError::Compression`] or [`BundleError::Read`].
    pub fn next_member(&mut self) -> Result<Option<Member<'_, R>>, BundleError> {
        if self.unread {
            let entry = &self.manifest.entries()[self.next - 1];
            FileMember { entry, blocks: &mut self.blocks, unread: &mut self.unread }.copy_to(&mut std::io::sink())?;
        }
        let Some(raw) = self.blocks.header()? else {
            if let Some(missing) = self.manifest.entries().get(self.next) {
                return Err(BundleError::member(missing.path.as_str(), MemberProblem::Missing));
            }
            self.blocks.expect_end()?;
            return Ok(None);
        };
        let entry = expected_entry(&self.manifest, self.next, &raw)?;
        self.next += 1;
        match &entry.content {
            EntryContent::Link { target } => {
                check_link(entry, target, &raw)?;
                Ok(Some(Member::Link { path: &entry.path, target }))
            }
            EntryContent::File { length, mode, .. } => {
                let refuse = |problem| Err(BundleError::member(entry.path.as_str(), problem));
                if raw.kind != tar::EntryType::Regular {
                    return refuse(MemberProblem::Kind("link where a file is listed"));
                }
                if raw.mode != mode.bits() {
                    return refuse(MemberProblem::Mode { expected: mode.bits(), got: raw.mode });
                }
                if raw.size != *length {
                    return refuse(MemberProblem::Length { expected: *length, got: raw.size });
                }
                self.unread = true;
                Ok(Some(Member::File(FileMember { entry, blocks: &mut self.blocks, unread: &mut self.unread })))
            }
        }
    }
}

impl<R: Read> std::fmt::Debug for BundleReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BundleReader").field("next", &self.next).finish_non_exhaustive()
    }
}

/// One member of a bundle, which is the next one that the manifest lists.
#[derive(Debug)]
pub enum Member<'a, R: Read> {
    /// A regular file.
    File(FileMember<'a, R>),
    /// A symbolic link; its target stays inside the install.
    Link {
        /// Where it lies.
        path: &'a FilePath,
        /// Where it leads, relative to its own folder.
        target: &'a str,
    },
}

/// A file in a bundle whose content was not read yet.
pub struct FileMember<'a, R: Read> {
    entry: &'a ManifestEntry,
    blocks: &'a mut Blocks<R>,
    unread: &'a mut bool,
}

impl<'a, R: Read> FileMember<'a, R> {
    /// Returns what the manifest says about this file.
    #[must_use]
    pub fn entry(&self) -> &'a ManifestEntry {
        self.entry
    }

    /// Writes the content and checks its digest. What was written is of no use unless this returns `Ok`.
    /// # Errors
    /// [`BundleError::Member`] when the content is not what the manifest says, [`BundleError::Write`] when `output`
    /// fails, [`BundleError::Compression`] or [`BundleError::Read`] when the archive does.
    pub fn copy_to(self, output: &mut impl Write) -> Result<(), BundleError> {
        let EntryContent::File { length, sha256, .. } = self.entry.content else {
            return Ok(());
        };
        let mut hasher = Sha256Hasher::new();
        let mut buffer = vec![0; CHUNK];
        while hasher.length() < length {
            let want = usize::try_from(length - hasher.length()).unwrap_or(CHUNK).min(CHUNK);
            self.blocks.exact(&mut buffer[..want])?;
            hasher.update(&buffer[..want]);
            output.write_all(&buffer[..want]).map_err(|source| BundleError::Write { source })?;
        }
        self.blocks.skip_padding(length)?;
        *self.unread = false;
        let got = hasher.finish();
        if got != sha256 {
            return Err(BundleError::member(self.entry.path.as_str(), MemberProblem::Digest { expected: sha256, got }));
        }
        Ok(())
    }
}

impl<R: Read> std::fmt::Debug for FileMember<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileMember").field("path", &self.entry.path).finish_non_exhaustive()
    }
}

/// Finds the manifest's entry for a member, which must be the next one.
fn expected_entry<'a>(manifest: &'a Manifest, next: usize, raw: &RawMember) -> Result<&'a ManifestEntry, BundleError> {
    let shown = String::from_utf8_lossy(&raw.name).into_owned();
    let refuse = |problem| BundleError::member(shown.clone(), problem);
    if let Some(kind) = refused_kind(raw.kind) {
        return Err(refuse(MemberProblem::Kind(kind)));
    }
    let path = parse_name(&raw.name).map_err(|error| refuse(MemberProblem::Name(error)))?;
    match manifest.position(&path) {
        None => Err(refuse(MemberProblem::NotListed)),
        Some(at) if at < next => Err(refuse(MemberProblem::OutOfOrder)),
        Some(at) if at > next => {
            Err(BundleError::member(manifest.entries()[next].path.as_str(), MemberProblem::Missing))
        }
        Some(at) => Ok(&manifest.entries()[at]),
    }
}

fn check_link(entry: &ManifestEntry, target: &str, raw: &RawMember) -> Result<(), BundleError> {
    let refuse = |problem| Err(BundleError::member(entry.path.as_str(), problem));
    if raw.kind != tar::EntryType::Symlink {
        return refuse(MemberProblem::Kind("file where a link is listed"));
    }
    if raw.size != 0 {
        return refuse(MemberProblem::Length { expected: 0, got: raw.size });
    }
    if raw.target != target.as_bytes() {
        let got = String::from_utf8_lossy(&raw.target).into_owned();
        return refuse(MemberProblem::Target { expected: target.to_owned(), got });
    }
    Ok(())
}

fn parse_name(name: &[u8]) -> Result<FilePath, FormatError> {
    let refuse = |_| FormatError::invalid("file path", &String::from_utf8_lossy(name), "it must be UTF-8");
    FilePath::parse(std::str::from_utf8(name).map_err(refuse)?)
}

/// Names what a bundle never carries.
fn refused_kind(kind: tar::EntryType) -> Option<&'static str> {
    Some(match kind {
        tar::EntryType::Regular | tar::EntryType::Symlink => return None,
        tar::EntryType::Link => "hard link",
        tar::EntryType::Directory => "folder (folders follow from the paths)",
        tar::EntryType::Char | tar::EntryType::Block => "device",
        tar::EntryType::Fifo => "named pipe",
        tar::EntryType::GNUSparse => "sparse file",
        tar::EntryType::XHeader | tar::EntryType::XGlobalHeader => "pax header",
        _ => "member of an unknown kind",
    })
}

/// The header of one member, with long names resolved. Nothing of it is trusted.
struct RawMember {
    name: Vec<u8>,
    target: Vec<u8>,
    kind: tar::EntryType,
    mode: u32,
    size: u64,
}

/// The blocks of the decompressed archive.
struct Blocks<R: Read> {
    decoder: xz2::bufread::XzDecoder<BufReader<R>>,
}

impl<R: Read> Blocks<R> {
    fn open(input: R) -> Result<Self, BundleError> {
        Ok(Self { decoder: bounded_decoder(BufReader::with_capacity(CHUNK, input))? })
    }

    /// Reads the first member, which must be the manifest, within its limit.
    fn manifest_bytes(&mut self) -> Result<Vec<u8>, BundleError> {
        let missing = || BundleError::member(MANIFEST_PATH, MemberProblem::Missing);
        let raw = self.header()?.ok_or_else(missing)?;
        if raw.name != MANIFEST_PATH.as_bytes() || raw.kind != tar::EntryType::Regular {
            return Err(missing());
        }
        if raw.size > MAX_MANIFEST {
            return Err(FormatError::TooLarge { what: "manifest", limit: MAX_MANIFEST, unit: "bytes" }.into());
        }
        self.bounded(raw.size)
    }

    /// Reads the next header and the long names before it; `None` at the two zero blocks that end the archive.
    fn header(&mut self) -> Result<Option<RawMember>, BundleError> {
        let (mut long_name, mut long_target) = (None, None);
        loop {
            let mut block = [0; BLOCK];
            self.exact(&mut block)?;
            if block == [0; BLOCK] {
                if long_name.is_some() || long_target.is_some() {
                    return Err(damaged("a long name without its member"));
                }
                self.exact(&mut block)?;
                return if block == [0; BLOCK] { Ok(None) } else { Err(damaged("a single block of zeros")) };
            }
            let header = tar::Header::from_byte_slice(&block);
            check_checksum(header)?;
            let size = header.entry_size().map_err(|_| damaged("its size is not a number"))?;
            let slot = match header.entry_type() {
                tar::EntryType::GNULongName => &mut long_name,
                tar::EntryType::GNULongLink => &mut long_target,
                kind => {
                    let mode = header.mode().map_err(|_| damaged("its mode is not a number"))?;
                    let target = || header.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
                    return Ok(Some(RawMember {
                        name: long_name.unwrap_or_else(|| header.path_bytes().into_owned()),
                        target: long_target.unwrap_or_else(target),
                        kind,
                        mode,
                        size,
                    }));
                }
            };
            if size > MAX_PATH as u64 + 1 {
                return Err(damaged("its name is longer than 1,024 bytes"));
            }
            let mut text = self.bounded(size)?;
            if text.pop() != Some(0) || slot.is_some() {
                return Err(damaged("its long name is not ended or comes twice"));
            }
            *slot = Some(text);
        }
    }

    /// Reads a content of checked length and its padding.
    fn bounded(&mut self, length: u64) -> Result<Vec<u8>, BundleError> {
        let mut bytes = Vec::new();
        let got = (&mut self.decoder).take(length).read_to_end(&mut bytes).map_err(explain)?;
        if got as u64 != length {
            return Err(BundleError::Compression { detail: "the archive inside is cut short".to_owned() });
        }
        self.skip_padding(length)?;
        Ok(bytes)
    }

    fn exact(&mut self, buffer: &mut [u8]) -> Result<(), BundleError> {
        Ok(self.decoder.read_exact(buffer).map_err(explain)?)
    }

    fn skip_padding(&mut self, length: u64) -> Result<(), BundleError> {
        let over = (length % BLOCK as u64) as usize;
        if over > 0 { self.exact(&mut [0; BLOCK][over..]) } else { Ok(()) }
    }

    /// Checks that the stream, and the file around it, end here.
    fn expect_end(&mut self) -> Result<(), BundleError> {
        // Reading on also makes the decoder check the index and the digest at the end of the xz stream.
        if self.decoder.read(&mut [0; 1]).map_err(explain)? != 0 {
            return Err(BundleError::Trailing);
        }
        let rest = self.decoder.get_mut().fill_buf().map_err(|source| BundleError::Read { source })?;
        if rest.is_empty() { Ok(()) } else { Err(BundleError::Trailing) }
    }
}

fn check_checksum(header: &tar::Header) -> Result<(), BundleError> {
    let stored = header.cksum().map_err(|_| damaged("its checksum is not a number"))?;
    let mut copy = header.clone();
    copy.set_cksum();
    match copy.cksum() {
        Ok(computed) if computed == stored => Ok(()),
        _ => Err(damaged("its checksum is wrong")),
    }
}

fn damaged(detail: &'static str) -> BundleError {
    BundleError::member("(header)", MemberProblem::Header(detail))
}
