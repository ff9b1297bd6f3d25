//! The lines on the control socket. `docs/format/control.md` describes them for other programs.

use crate::error::Error;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use updater_format::ReleaseVersion;

/// The version of the protocol; every line has it as `v`.
pub(crate) const VERSION: u64 = 1;

/// A line from a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    v: u64,
    /// What is to be done.
    pub(crate) command: Command,
    /// The version to go back to, for `rollback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<ReleaseVersion>,
}

/// What a client can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Command {
    /// Describe app and launcher.
    Status,
    /// Look for an update.
    Check,
    /// Look for an update and take it.
    Update,
    /// Go back to a kept version.
    Rollback,
    /// Stop the app and start it again.
    Restart,
    /// Run the launcher's program, as it lies on disk now, in place of the running one.
    Relaunch,
    /// Stop the app and end the launcher.
    Stop,
    /// Send every event from now on.
    Events,
    /// Said by the app: this version is healthy.
    Confirm,
}

/// The answer to a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reply {
    v: u64,
    /// Whether it was done.
    pub(crate) ok: bool,
    /// What there is to tell; for `ok: false` an object of `code`, `exit`, `message` and `hint`.
    #[serde(default)]
    pub(crate) data: Value,
}

/// Takes the whole lines of what has come, without empty ones.
pub(super) fn take_lines(input: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let Some(end) = input.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
    let whole: Vec<u8> = input.drain(..=end).collect();
    whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

impl Request {
    /// Makes a request.
    pub(crate) fn new(command: Command, version: Option<ReleaseVersion>) -> Self {
        Self { v: VERSION, command, version }
    }

    /// Reads a line.
    /// # Errors
    /// The problem in words, for the client.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        let request: Self = serde_json::from_slice(line).map_err(|error| format!("no request: {error}"))?;
        match request.v {
            VERSION => Ok(request),
            v => Err(format!("the protocol has version {VERSION}, the request {v}")),
        }
    }
}

impl Reply {
    /// Makes the answer to what was done.
    pub(crate) fn done(data: Value) -> Self {
        Self { v: VERSION, ok: true, data }
    }

    /// Makes the answer to what was not.
    pub(crate) fn failed(error: &Error) -> Self {
        Self::not_done(error.code(), error.exit_code(), &error.full_message(), &error.hint())
    }

    /// Makes the answer to a request that is refused for what it is.
    pub(crate) fn refused(code: &str, message: &str, hint: &str) -> Self {
        Self::not_done(code, BUSY, message, hint)
    }

    fn not_done(code: &str, exit: u8, message: &str, hint: &str) -> Self {
        let data = serde_json::json!({"code": code, "exit": exit, "hint": hint, "message": message});
        Self { v: VERSION, ok: false, data }
    }

    /// Returns what the client gets to know of it.
    /// # Errors
    /// [`Error::Refused`] with the words of the supervisor.
    pub(crate) fn into_result(self) -> Result<Value, Error> {
        let word = |name: &str| self.data[name].as_str().unwrap_or_default().to_owned();
        if self.ok {
            return Ok(self.data);
        }
        let exit = self.data["exit"].as_u64().and_then(|exit| u8::try_from(exit).ok()).filter(|exit| *exit > 0);
        Err(Error::Refused { message: word("message"), hint: word("hint"), exit: exit.unwrap_or(BUSY) })
    }
}

/// The exit code of a refusal that has none of its own.
const BUSY: u8 = 75;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_is_written_and_nothing_else_is() {
        let request = Request::new(Command::Rollback, Some("1.0.0".parse().unwrap()));
        assert_eq!(Request::parse(&serde_json::to_vec(&request).unwrap()), Ok(request));
        for line in [r#"{"v":2,"command":"stop"}"#, r#"{"command":"stop"}"#, r#"{"v":1,"command":"explode"}"#, "", "[]"]
        {
            assert!(Request::parse(line.as_bytes()).is_err(), "{line}");
        }
        assert!(Request::parse(br#"{"v":1,"command":"stop","force":true}"#).is_err());
    }
}
