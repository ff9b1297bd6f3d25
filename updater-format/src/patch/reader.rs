//! Reads a patch operation by operation.

use super::{MAGIC, Operation, PatchError, PatchHeader};
use crate::digest::{HashingWriter, Sha256};
use crate::error::FormatError;
use crate::length::MAX_PATCH_HEADER;
use crate::manifest::{EntryContent, ManifestEntry};
use crate::xz::{bounded_decoder, explain};
use crate::{AppId, Platform, ReleaseVersion};
use std::io::{BufReader, Read, Write};

/// What the signed entries say about a patch and about the release that it makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchExpectation {
    /// Which app.
    pub app: AppId,
    /// Which triple.
    pub platform: Platform,
    /// The release that is installed.
    pub from: ReleaseVersion,
    /// The release that is made.
    pub to: ReleaseVersion,
    /// Digest of the manifest that the signed **bundle** entry of that release names.
    pub manifest: Sha256,
}

/// Reads one patch. The header is complete and consistent before any payload is touched.
pub struct PatchReader<R: Read> {
    input: R,
    header: PatchHeader,
    /// Places of the manifest's regular files, one for each operation.
    files: Vec<usize>,
    next: usize,
    /// Bytes of the current payload that nobody read yet.
    unread: u64,
}

impl<R: Read> PatchReader<R> {
    /// Reads the header and checks it against what was signed.
    /// # Errors
    /// [`PatchError::Mismatch`] when it is for something else; [`PatchError::Format`] when it breaks the format, with
    /// [`FormatError::NewerFormat`] for one of a later version; [`PatchError::Compression`], [`PatchError::Memory`] or
    /// [`PatchError::Read`].
    pub fn open(input: R, expected: &PatchExpectation) -> Result<Self, PatchError> {
        let reader = Self::open_unchecked(input)?;
        let header = &reader.header;
        let got = Sha256::of(header.manifest_bytes());
        for (field, expected, got) in [
            ("app", expected.app.to_string(), header.app().to_string()),
            ("triple", expected.platform.to_string(), header.platform().to_string()),
            ("old version", expected.from.to_string(), header.from().to_string()),
            ("new version", expected.to.to_string(), header.to().to_string()),
            ("sha256 of the manifest", expected.manifest.to_string(), got.to_string()),
        ] {
            if expected != got {
                return Err(PatchError::Mismatch { field, expected, got });
            }
        }
        Ok(reader)
    }

    /// Reads the header without anything to hold it against, for tools that look at a file before it is signed.
    /// # Errors
    /// As [`PatchReader::open`], but for [`PatchError::Mismatch`].
    pub fn open_unchecked(mut input: R) -> Result<Self, PatchError> {
        let mut start = [0; 16];
        input.read_exact(&mut start).map_err(cut_short)?;
        let damaged = |offset, detail: String| FormatError::Damaged { what: "patch", offset, detail };
        if start[..7] != MAGIC[..7] {
            return Err(damaged(0, "it does not begin as a patch does".to_owned()).into());
        }
        if start[7] != MAGIC[7] {
            let (found, supported) = (u64::from(start[7]), u64::from(MAGIC[7]));
            return Err(FormatError::NewerFormat { what: "patch", found, supported }.into());
        }
        let number =
            |at: usize| u64::from(u32::from_le_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]));
        let (packed, plain) = (number(8), number(12));
        if packed.max(plain) > MAX_PATCH_HEADER {
            return Err(FormatError::TooLarge { what: "patch header", limit: MAX_PATCH_HEADER, unit: "bytes" }.into());
        }
        let mut json = Vec::new();
        let mut decoder = bounded_decoder(BufReader::new((&mut input).take(packed)))?;
        (&mut decoder).take(plain + 1).read_to_end(&mut json).map_err(explain)?;
        if json.len() as u64 != plain {
            return Err(damaged(12, format!("the header has another length than {plain} bytes")).into());
        }
        let mut packed = decoder.into_inner();
        if packed.read(&mut [0; 1]).map_err(cut_short)? != 0 {
            return Err(damaged(8, "the compressed header ends early".to_owned()).into());
        }
        let header = PatchHeader::from_json(&json)?;
        let is_file = |at: &usize| matches!(header.manifest().entries()[*at].content, EntryContent::File { .. });
        let files = (0..header.manifest().entries().len()).filter(is_file).collect();
        Ok(Self { header, files, input, next: 0, unread: 0 })
    }

    /// Returns the header.
    #[must_use]
    pub fn header(&self) -> &PatchHeader {
        &self.header
    }

    /// Returns the next file to make, `None` after the last when the patch ends there too. A payload that was not read
    /// is passed over.
    /// # Errors
    /// [`PatchError::Payload`] when the patch is cut short, [`PatchError::Trailing`] when it goes on after the last
    /// payload, [`PatchError::Read`].
    pub fn next_step(&mut self) -> Result<Option<Step<'_, R>>, PatchError> {
        let read = |source| PatchError::Read { source };
        let passed = std::io::copy(&mut (&mut self.input).take(self.unread), &mut std::io::sink()).map_err(read)?;
        if passed != self.unread {
            let path = self.next.checked_sub(1).map(|at| self.entry(at).path.to_string());
            return Err(PatchError::Payload { path: path.unwrap_or_default(), expected: self.unread, got: passed });
        }
        let Some(operation) = self.header.operations().get(self.next) else {
            return if self.input.read(&mut [0; 1]).map_err(read)? == 0 { Ok(None) } else { Err(PatchError::Trailing) };
        };
        let entry = &self.header.manifest().entries()[self.files[self.next]];
        self.next += 1;
        self.unread = operation.packed();
        Ok(Some(Step { entry, operation, payload: Payload { input: &mut self.input, unread: &mut self.unread } }))
    }

    fn entry(&self, operation: usize) -> &ManifestEntry {
        &self.header.manifest().entries()[self.files[operation]]
    }
}

impl<R: Read> std::fmt::Debug for PatchReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PatchReader").field("next", &self.next).finish_non_exhaustive()
    }
}

/// One file to make.
#[derive(Debug)]
pub struct Step<'a, R: Read> {
    /// What is to be made.
    pub entry: &'a ManifestEntry,
    /// From what.
    pub operation: &'a Operation,
    /// The bytes of the patch that belong to this operation, and no others.
    pub payload: Payload<'a, R>,
}

impl<R: Read> Step<'_, R> {
    /// Writes the file of an [`Operation::Add`] and checks its digest. What was written is of no use unless this returns
    /// `Ok`. For other operations the payload is not an xz stream, which is an error.
    /// # Errors
    /// [`PatchError::Digest`] or [`PatchError::Payload`] when it is not the listed file, [`PatchError::Write`] when
    /// `output` fails, [`PatchError::Compression`], [`PatchError::Memory`] or [`PatchError::Read`].
    pub fn unpack_to(self, output: impl Write) -> Result<(), PatchError> {
        let EntryContent::File { length, sha256, .. } = self.entry.content else {
            return Ok(());
        };
        let path = || self.entry.path.to_string();
        let mut decoder = bounded_decoder(BufReader::new(self.payload))?;
        let mut output = HashingWriter::new(output);
        let mut buffer = vec![0; CHUNK];
        let mut got = 0;
        loop {
            let n = decoder.read(&mut buffer).map_err(explain)?;
            got += n as u64;
            if got > length || (n == 0 && got != length) {
                return Err(PatchError::Payload { path: path(), expected: length, got });
            }
            if n == 0 {
                break;
            }
            output.write_all(&buffer[..n]).map_err(|source| PatchError::Write { source })?;
        }
        let (_, _, got) = output.finish();
        if got != sha256 {
            return Err(PatchError::Digest { path: path(), expected: sha256, got });
        }
        Ok(())
    }
}

/// A reader of one payload, which ends where the payload ends.
#[derive(Debug)]
pub struct Payload<'a, R> {
    input: &'a mut R,
    unread: &'a mut u64,
}

impl<R: Read> Read for Payload<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.input.take(*self.unread).read(buffer)?;
        *self.unread -= n as u64;
        Ok(n)
    }
}

fn cut_short(source: std::io::Error) -> PatchError {
    if source.kind() == std::io::ErrorKind::UnexpectedEof {
        FormatError::Damaged { what: "patch", offset: 0, detail: "its header is cut short".to_owned() }.into()
    } else {
        PatchError::Read { source }
    }
}

/// Bytes moved at a time: 64 KiB.
const CHUNK: usize = 64 * 1024;
