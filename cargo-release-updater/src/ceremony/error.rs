//! Why a ceremony cannot be begun or gone on with.

use crate::error::{ExitCode, Explain};
use std::path::PathBuf;
use updater_format::FormatError;

/// What stands in the way of a ceremony.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// A draft is there already.
    #[error("a ceremony is under way in {}", folder.display())]
    UnderWay {
        /// The folder of its drafts.
        folder: PathBuf,
    },
    /// What was asked for cannot be read back.
    #[error("{} cannot be gone on with: {rule}", path.display())]
    Request {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        rule: String,
    },
    /// What was asked for names no role.
    #[error(transparent)]
    Role {
        /// Why it is none.
        source: crate::keys::KeyError,
    },
    /// A draft is something else than what was asked for.
    #[error("{} is not the {what} that was asked for", path.display())]
    NotAsked {
        /// The draft.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
    },
    /// What is published cannot be taken back.
    #[error("version {version} of the role {role} is published already")]
    Out {
        /// The role.
        role: &'static str,
        /// Its version.
        version: u64,
    },
    /// There is no draft.
    #[error("no ceremony is under way")]
    None,
    /// A file of the ceremony could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A document is not what it is taken for.
    #[error("{} is no {what}", path.display())]
    NotADocument {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// Which rule it breaks.
        source: FormatError,
    },
    /// The bytes to be signed are not the only form of their content.
    #[error("{} is not in canonical form: its signature would be worth nothing", path.display())]
    NotCanonical {
        /// The file.
        path: PathBuf,
    },
    /// The new keyring breaks a rule.
    #[error("the new keys of {role} do not fit")]
    Keyring {
        /// The role.
        role: String,
        /// Which rule they break.
        source: FormatError,
    },
    /// More keys would have to sign than there are.
    #[error("{threshold} keys cannot have to sign {role}: it would have {keys}")]
    Threshold {
        /// The role.
        role: String,
        /// How many would have to sign.
        threshold: u32,
        /// How many there would be.
        keys: usize,
    },
    /// The role has several keys, and it was not said which one goes.
    #[error("{role} has several keys: {keys}")]
    Which {
        /// The role.
        role: String,
        /// minisign's ids of its keys.
        keys: String,
    },
    /// No key of the role has this id.
    #[error("{role} has no key {id}")]
    NoSuchKey {
        /// The role.
        role: String,
        /// The id that was given.
        id: String,
        /// minisign's ids of its keys.
        keys: String,
    },
    /// A signature file cannot be used.
    #[error("{} is not a signature that metadata can carry: {rule}", path.display())]
    Signature {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        rule: &'static str,
    },
    /// A signature is of something else, or of a key that has no say.
    #[error("{} signs none of the drafts with a key that may", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// No key of the holder's folder has a say.
    #[error("no key in {} has a say in this document", folder.display())]
    NoKeyHere {
        /// The folder of the keys.
        folder: PathBuf,
    },
    /// The storage shows an older targets role than the project has.
    #[error("the project has version {project} of the role targets, and {storage} shows version {published}")]
    StorageOlder {
        /// The project's version.
        project: u64,
        /// The version that is published.
        published: u64,
        /// The storage.
        storage: String,
    },
    /// The published metadata has moved on since the draft was made.
    #[error("the draft of {role} is version {draft}, but version {published} is published")]
    Outdated {
        /// The role.
        role: String,
        /// The draft's version.
        draft: u64,
        /// The published one.
        published: u64,
    },
}

impl Explain for CeremonyError {
    fn code(&self) -> ExitCode {
        match self {
            Self::UnderWay { .. }
            | Self::None
            | Self::Which { .. }
            | Self::NoSuchKey { .. }
            | Self::Out { .. }
            | Self::Threshold { .. } => ExitCode::Usage,
            Self::Role { source } => source.code(),
            Self::StorageOlder { .. } => ExitCode::Verification,
            _ => ExitCode::Key,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Role { source } => return source.hints(),
            Self::NotAsked { .. } => {
                "somebody or a merge has changed it: restore `next/` from version control, or drop all of it with \
                 `cargo updater keys resume --abort`"
                    .to_owned()
            }
            Self::Out { .. } => {
                "clients follow it, and nothing can take it back: `cargo updater keys resume` ends the ceremony; then begin \
                 another one if the keys are to be others"
                    .to_owned()
            }
            Self::Request { .. } => {
                "restore it from version control, or drop all of it with `cargo updater keys resume --abort`".to_owned()
            }
            Self::UnderWay { .. } => {
                "go on with `cargo updater keys resume`, or drop it with `cargo updater keys resume --abort`".to_owned()
            }
            Self::None => {
                "begin one with `cargo updater keys rotate ROLE` or `cargo updater keys renew ROLE`".to_owned()
            }
            Self::Io { .. } => "check that the file exists and is yours".to_owned(),
            Self::NotADocument { .. } | Self::NotCanonical { .. } => {
                "sign only what `cargo updater keys root export` wrote".to_owned()
            }
            Self::Keyring { .. } => "give other keys with `--with FILE.pub`".to_owned(),
            Self::Threshold { .. } => "give a threshold from 1 to the number of keys with `--threshold N`".to_owned(),
            Self::Which { .. } | Self::NoSuchKey { .. } => {
                "name the one that goes with `--replace ID`, or keep all with `--add`".to_owned()
            }
            Self::Signature { .. } => "sign the exported file with `minisign -Sl -m FILE`".to_owned(),
            Self::Foreign { .. } => {
                "export anew with `cargo updater keys root export` and sign that; `keys list` shows who may".to_owned()
            }
            Self::NoKeyHere { .. } => {
                "name the folder of the keys with `--key-dir`, and the root in force with `--against`".to_owned()
            }
            Self::StorageOlder { .. } => {
                return vec![
                    "somebody put old files back: put the newest copy back with `cargo updater restore DIR`; what is drafted \
                     on top of old ones would undo a revocation"
                        .to_owned(),
                    "if you put them back yourself because no newer copy is left, say `--restored`: the project's own \
                     documents are followed then"
                        .to_owned(),
                ];
            }
            Self::Outdated { .. } => "drop it with `cargo updater keys resume --abort` and begin again".to_owned(),
        }]
    }
}
