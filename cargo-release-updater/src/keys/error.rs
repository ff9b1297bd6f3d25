//! Why a key cannot be used. No variant carries a secret.

use crate::error::{ExitCode, Explain};
use std::path::PathBuf;
use updater_format::FormatError;

/// What is wrong with a key or its file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A role name that is none.
    #[error("{name:?} cannot have a key")]
    Role {
        /// The name.
        name: String,
        /// The rule it breaks.
        source: FormatError,
    },
    /// The folder for keys cannot be told.
    #[error("no folder for keys: neither XDG_CONFIG_HOME nor HOME is set")]
    NoFolder,
    /// A key file or folder could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, for example `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is a key of that name already; keys are never overwritten.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others on this machine can read a secret key.
    #[error("{} can be read by others (mode {mode:o})", path.display())]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others on this machine can change which command signs.
    #[error("{} can be written by others (mode {mode:o})", path.display())]
    Writable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The command that holds a key cannot be used.
    #[error("{} does not sign: {rule}", path.display())]
    Signer {
        /// The file that names the command.
        path: PathBuf,
        /// What is wrong.
        rule: String,
    },
    /// The secret half of a key is not here.
    #[error("there is no secret key {name} here")]
    NoSecret {
        /// The name of its file.
        name: String,
    },
    /// A pack of keys cannot be taken.
    #[error("{} is no pack of keys that can be taken: {rule}", path.display())]
    Pack {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        rule: String,
    },
    /// The text is no minisign key.
    #[error("{origin} is not a minisign key")]
    NotAKey {
        /// The file or environment variable.
        origin: String,
    },
    /// The public key file cannot be read as one.
    #[error("{} is not a minisign public key", path.display())]
    NotAPublicKey {
        /// The file.
        path: PathBuf,
        /// Which rule it breaks.
        source: FormatError,
    },
    /// The password does not open the key.
    #[error("wrong password for {origin}")]
    WrongPassword {
        /// The file or environment variable.
        origin: String,
    },
    /// The key is encrypted and nobody can be asked.
    #[error("{origin} is encrypted and no password was given")]
    NoPassword {
        /// The file or environment variable.
        origin: String,
    },
    /// New keys are to have a password, and nobody can be asked for one.
    #[error("no password for the new keys was given")]
    NoNewPassword,
    /// Secret and public half do not belong together.
    #[error("{origin} does not belong to the public key beside it")]
    Mismatch {
        /// The file or environment variable.
        origin: String,
    },
    /// Fewer keys of a role are here than must sign.
    #[error("cannot sign the role {role}: {have} of the {threshold} keys that must sign are here, wanted: {wanted}")]
    NotEnough {
        /// The role.
        role: String,
        /// How many were found.
        have: usize,
        /// How many are needed.
        threshold: u32,
        /// The minisign ids of the keys that may sign.
        wanted: String,
        /// Where was looked.
        folder: PathBuf,
    },
    /// The library for minisign keys failed.
    #[error("cannot {action}")]
    Minisign {
        /// What was tried.
        action: &'static str,
        /// What the library said; it never repeats key material.
        source: minisign::PError,
    },
    /// The terminal could not be read.
    #[error("cannot ask for a password")]
    Prompt {
        /// What the terminal said.
        source: std::io::Error,
    },
}

/// Says how a role comes by another key when one is lost; SECURITY.md has each case as a whole.
#[must_use]
pub(crate) fn lost(role: &str) -> String {
    match role {
        "root" => {
            "enough others replace it with `cargo updater keys rotate root --replace ID`; without enough of them \
                   SECURITY.md says what is left"
                .to_owned()
        }
        "online" | "targets" => {
            format!("it is replaced with `cargo updater keys rotate {role}`, which needs the root key (SECURITY.md)")
        }
        channel => {
            format!(
                "it is replaced with `cargo updater keys rotate {channel}`, which needs the targets key (SECURITY.md)"
            )
        }
    }
}

impl Explain for KeyError {
    fn code(&self) -> ExitCode {
        match self {
            Self::Role { .. } => ExitCode::Usage,
            _ => ExitCode::Key,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Role { .. } => "name `root`, `targets`, `online` or a channel such as `stable`".to_owned(),
            Self::NoFolder => "name a folder with `--key-dir DIR` or UPDATER_KEY_DIR".to_owned(),
            Self::Io { .. } => "check that the folder exists and is yours, or name another with `--key-dir DIR`".to_owned(),
            Self::Exists { .. } => "use it, or move it away first: a lost key cannot be made again".to_owned(),
            Self::Readable { path, .. } => format!("`chmod 600 {}`, and think about who may have read it", path.display()),
            Self::NoSecret { .. } => "`cargo updater keys list` shows which keys are here".to_owned(),
            Self::Pack { .. } => "make it with `cargo updater keys export FILE --app APP` where the keys are".to_owned(),
            Self::Writable { path, .. } => format!("`chmod 600 {}`, and look at what it says", path.display()),
            Self::Signer { .. } => {
                "run its command by hand: it reads bytes from stdin and writes their Ed25519 signature to stdout".to_owned()
            }
            Self::NotAKey { .. } | Self::NotAPublicKey { .. } => {
                "a key file has a comment line and one line of base64, as `minisign -G` or `cargo updater keys new` write it"
                    .to_owned()
            }
            Self::WrongPassword { .. } => "try again; UPDATER_KEY_PASSWORD and `--password-stdin` apply to every key".to_owned(),
            Self::NoPassword { .. } => {
                "set UPDATER_KEY_PASSWORD, give it with `--password-stdin`, or run it on a terminal".to_owned()
            }
            Self::NoNewPassword => {
                "set UPDATER_KEY_PASSWORD, give it with `--password-stdin`, run it on a terminal, or make keys without one: \
                 `--no-password`"
                    .to_owned()
            }
            Self::Mismatch { .. } => "put the `.pub` file of this key beside it".to_owned(),
            Self::NotEnough { role, folder, .. } => {
                let (here, of) = match role.as_str() {
                    "snapshot" | "timestamp" => ("put the online key there or into UPDATER_ONLINE_KEY", "online"),
                    role => ("import it with `cargo updater keys import`", role),
                };
                let lost = lost(of);
                return vec![
                    format!("{here}, or name its folder with `--key-dir`; looked in {} and its folder development", folder.display()),
                    format!("if it is lost: {lost}"),
                ];
            }
            Self::Minisign { .. } => "run it again; if it stays, the key file may be damaged".to_owned(),
            Self::Prompt { .. } => "set UPDATER_KEY_PASSWORD or give it with `--password-stdin`".to_owned(),
        }]
    }
}
