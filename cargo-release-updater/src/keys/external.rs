//! Keys that never leave what holds them: a command that is given bytes and gives back a signature. It may talk to an
//! ssh-agent, a smart card, a hardware module, a machine elsewhere.
//!
//! `<name>.signer` beside `<name>.pub` says which: `{"format":1,"command":["program","argument"]}`. No shell takes part.

use super::error::KeyError;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use updater_format::MinisignKey;
use updater_format::SignaturePolicy;

/// The content of a `.signer` file.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    command: Vec<String>,
}

/// A command that signs.
#[derive(Debug, Clone)]
pub(super) struct External {
    origin: PathBuf,
    program: String,
    arguments: Vec<String>,
}

impl External {
    /// Reads a `.signer` file.
    /// # Errors
    /// [`KeyError::Signer`] when it names no command, [`KeyError::Writable`] when others could name another.
    pub(super) fn read(path: &Path) -> Result<Self, KeyError> {
        refuse_writable_by_others(path)?;
        let refuse = |rule: String| KeyError::Signer { path: path.to_owned(), rule };
        let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
        let file: File = serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        if file.format != 1 {
            return Err(refuse(format!("format {} is newer than this program", file.format)));
        }
        let mut words = file.command.into_iter();
        let program = words.next().filter(|program| !program.is_empty());
        let program = program.ok_or_else(|| refuse("it names no command".to_owned()))?;
        Ok(Self { origin: path.to_owned(), program, arguments: words.collect() })
    }

    /// Has bytes signed, and believes only a signature that verifies. The command may take as long as its person does.
    /// # Errors
    /// [`KeyError::Signer`] when the command cannot be run, fails, or gives back anything but the signature.
    pub(super) fn sign(&self, public: &MinisignKey, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let refuse = |rule: String| KeyError::Signer { path: self.origin.clone(), rule };
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        for secret in super::SECRET_VARIABLES {
            command.env_remove(secret);
        }
        let mut child = command.spawn().map_err(|error| refuse(format!("cannot start {}: {error}", self.program)))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut answer = Vec::new();
        let read = std::thread::scope(|scope| {
            // Beside the reading: a command that answers before it has read all would wait for ever. One that does not
            // read is no error; its answer counts.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(message)));
            stdout.map_or(Ok(0), |stdout| stdout.take(MAX_ANSWER).read_to_end(&mut answer))
        });
        let status = child.wait().map_err(|error| refuse(error.to_string()))?;
        read.map_err(|error| refuse(error.to_string()))?;
        if !status.success() {
            return Err(refuse(format!("{} ended with {status}", self.program)));
        }
        let signature = signature(&answer)
            .ok_or_else(|| refuse(format!("{} gave {} bytes that are no signature", self.program, answer.len())))?;
        match public.key.verifies(SignaturePolicy::default(), message, &signature) {
            true => Ok(signature),
            false => Err(refuse(format!("{} gave a signature of another key or of other bytes", self.program))),
        }
    }
}

/// Takes 64 bytes as they are, or as a line of hexadecimal digits or base64.
fn signature(answer: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine as _;
    if answer.len() == SIGNATURE {
        return Some(answer.to_vec());
    }
    let text = std::str::from_utf8(answer).ok()?.trim();
    let bytes = match text.len() == 2 * SIGNATURE {
        true => updater_format::digest::decode_hex(&text.to_ascii_lowercase())?,
        false => base64::engine::general_purpose::STANDARD.decode(text).ok()?,
    };
    (bytes.len() == SIGNATURE).then_some(bytes)
}

fn refuse_writable_by_others(path: &Path) -> Result<(), KeyError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let io = |source| KeyError::Io { action: "read", path: path.to_owned(), source };
        let mode = path.metadata().map_err(io)?.permissions().mode() & 0o7777;
        if mode & 0o022 != 0 {
            return Err(KeyError::Writable { path: path.to_owned(), mode });
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Bytes of an Ed25519 signature.
const SIGNATURE: usize = 64;
/// A signature in its longest spelling, with room for an end of line.
const MAX_ANSWER: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_read_in_three_spellings() {
        use base64::Engine as _;
        let bytes = [0xab; SIGNATURE];
        let base64 = base64::engine::general_purpose::STANDARD.encode(bytes);
        for answer in
            [bytes.to_vec(), b"AB".repeat(64), [b"ab".repeat(64), b"\n".to_vec()].concat(), base64.into_bytes()]
        {
            assert_eq!(signature(&answer), Some(bytes.to_vec()), "{answer:?}");
        }
        for answer in [&b""[..], &[0xab; 63], &[0xab; 65], b"not a signature"] {
            assert_eq!(signature(answer), None, "{answer:?}");
        }
    }
}
