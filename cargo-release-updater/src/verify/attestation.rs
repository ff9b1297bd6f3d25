//! Build provenance: whether GitHub attests that workflows of a repository have built a file. The program `gh` asks GitHub
//! and verifies what it answers; nothing of that is done here.

use std::path::Path;
use std::process::{Command, Stdio};

/// The repository whose workflows must have attested every bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    repository: String,
}

/// Why attestations cannot be asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttestationError {
    /// It is no name of a repository.
    #[error("{repository:?} is no repository: write OWNER/REPO")]
    Repository {
        /// What was given.
        repository: String,
    },
    /// There is no `gh` that can do it.
    #[error("`gh attestation` cannot be run")]
    NoProgram {
        /// What the system said.
        source: std::io::Error,
    },
}

impl Attestation {
    /// Prepares to ask for the attestations of a repository.
    /// # Errors
    /// [`AttestationError`] when the name is none, or there is no program `gh` that knows attestations.
    pub fn of(repository: &str) -> Result<Self, AttestationError> {
        if crate::storage::GitHubAddress::parse(repository).is_err() || repository.split('/').count() != 2 {
            return Err(AttestationError::Repository { repository: repository.to_owned() });
        }
        let found = gh().args(["attestation", "verify", "--help"]).stdout(Stdio::null()).status();
        let old = || std::io::Error::other("it does not know `attestation verify`: take version 2.49 or newer");
        match found {
            Ok(status) if status.success() => Ok(Self { repository: repository.to_owned() }),
            Ok(_) => Err(AttestationError::NoProgram { source: old() }),
            Err(source) => Err(AttestationError::NoProgram { source }),
        }
    }

    /// Returns what is wrong with the attestation of a file; nothing when there is one that holds.
    pub(super) fn problem(&self, file: &Path) -> Option<String> {
        let output = gh().args(["attestation", "verify"]).arg(file).args(["--repo", &self.repository]).output();
        match output {
            Ok(output) if output.status.success() => None,
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let said: String =
                    said.lines().last().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
                Some(format!("no attestation of {} holds for it: {said}", self.repository))
            }
            Err(error) => Some(format!("`gh attestation` cannot be run: {error}")),
        }
    }
}

/// Starts `gh` without the keys of this process.
fn gh() -> Command {
    let mut command = Command::new("gh");
    for secret in crate::keys::SECRET_VARIABLES {
        command.env_remove(secret);
    }
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

impl crate::error::Explain for AttestationError {
    fn code(&self) -> crate::error::ExitCode {
        crate::error::ExitCode::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::Repository { .. } => "for example `--attestation owner/app`".to_owned(),
            Self::NoProgram { .. } => "install GitHub's program gh, and sign in with `gh auth login`".to_owned(),
        }]
    }
}
