//! What `install` wrote down: which app, from where, and which root it trusts. Nothing later changes it but `install`.

use crate::error::{Error, Result};
use crate::places::{Places, write_atomic};
use updater_format::{AppId, Channel, Platform, Sha256};

/// The record of an install.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    format: u64,
    /// The app: the one that the trusted root is for.
    pub(crate) app: AppId,
    /// The repository.
    pub(crate) url: String,
    /// The channel that is followed.
    pub(crate) channel: Channel,
    /// The target triple of the releases.
    pub(crate) platform: Platform,
    /// Digest of the root that was pinned.
    pub(crate) root: Sha256,
}

impl Record {
    /// Makes a record.
    pub(crate) fn new(app: AppId, url: String, channel: Channel, platform: Platform, root: &[u8]) -> Self {
        Self { format: FORMAT, app, url, channel, platform, root: Sha256::of(root) }
    }

    /// Reads the record and the root that it names.
    /// # Errors
    /// [`Error::NoInstall`], [`Error::Format`] when it is damaged or of a later launcher, or when the root is another one.
    pub(crate) fn read(places: &Places) -> Result<(Self, Vec<u8>)> {
        let path = places.record();
        let bytes = read_bounded(&path)?.ok_or_else(|| Error::NoInstall { path: places.root().to_owned() })?;
        let refuse = |path, problem: String| Error::Format { path, problem };
        let format: Format = serde_json::from_slice(&bytes).map_err(|e| refuse(path.clone(), e.to_string()))?;
        if format.format != FORMAT {
            let problem = format!("it has format {}, this launcher reads {FORMAT}", format.format);
            return Err(refuse(path, problem));
        }
        let record: Self = serde_json::from_slice(&bytes).map_err(|e| refuse(path, e.to_string()))?;
        let path = places.trusted_root();
        let root = read_bounded(&path)?.ok_or_else(|| refuse(path.clone(), "it is missing".to_owned()))?;
        if Sha256::of(&root) != record.root {
            return Err(refuse(path, format!("it is not the root that was pinned ({})", record.root)));
        }
        Ok((record, root))
    }

    /// Writes root and record, in this order: a record is never without its root.
    /// # Errors
    /// [`Error::File`].
    pub(crate) fn write(&self, places: &Places, root: &[u8]) -> Result<()> {
        write_atomic(&places.trusted_root(), root)?;
        let bytes = serde_json::to_vec(self).map_err(|source| Error::file("write", &places.record(), source))?;
        write_atomic(&places.record(), &bytes)
    }
}

/// Reads a small file; `None` when there is none.
/// # Errors
/// [`Error::File`].
pub(crate) fn read_bounded(path: &std::path::Path) -> Result<Option<Vec<u8>>> {
    use std::io::Read as _;
    let failed = |source| Error::file("read", path, source);
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::Format { path: path.to_owned(), problem: format!("it has more than {MAX_FILE} bytes") });
    }
    Ok(Some(bytes))
}

/// Any format, to be told by its number.
#[derive(serde::Deserialize)]
struct Format {
    format: u64,
}

/// The format that is written and read.
const FORMAT: u64 = 1;
/// The most bytes of a file that is read here: 1 MiB, twice the limit of a root.
const MAX_FILE: u64 = 1024 * 1024;
