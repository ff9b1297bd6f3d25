//! The steps of a release, one file each: what goes in and what comes out are types, so that no step can be left out.
//!
//! | step | takes | gives |
//! |---|---|---|
//! | [`bundle`] | a built package or any folder | [`Bundled`](bundle::Bundled): archive and unsigned part |
//! | [`merge`] | folders of several machines | the same, for all triples |
//! | [`diff`] | the bundle and those of earlier releases | [`Patch`](diff::Patch)es, each applied and compared |
//! | [`sign`] | [`Release`](release::Release) and the keys | [`SignedRelease`](sign::SignedRelease) in a local repository |
//! | [`rehearse`] | the signed release, earlier bundles | [`Rehearsed`](rehearse::Rehearsed): the real client took it |
//! | [`publish`] | only what was rehearsed | [`Published`](publish::Published) |

pub mod bundle;
pub mod diff;
pub mod fetch;
pub mod folders;
pub mod merge;
pub mod notes;
pub mod promote;
pub mod publish;
pub mod rehearse;
pub mod release;
pub mod sign;
pub mod stand_in;
pub mod steer;
#[cfg(test)]
pub(crate) mod testing;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

/// Writes a small file of a step: a reader sees the old content or the new, never half.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    publish_mode(file.as_file())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Lets everybody read a file that was made as a private temporary one: it is going to be published.
pub(crate) fn publish_mode(file: &File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}
