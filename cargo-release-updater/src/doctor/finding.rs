//! What an examination finds: a code that never changes, how grave it is, what it leads to, and what helps.

use super::repair::Repair;
use crate::error::ExitCode;
use crate::shell::Message;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; nothing has to be done.
    Note,
    /// Works today and will not always, or is less safe than it could be.
    Warning,
    /// Releases or updates do not work, or a secret is not one any more.
    Error,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// The name of this kind of finding, kebab-case; `docs/doctor.md` lists them.
    pub code: &'static str,
    /// How grave it is.
    pub severity: Severity,
    /// Which thing, and what is the matter with it.
    pub what: String,
    /// What it leads to.
    pub why: String,
    /// What helps: a command, or what a person does.
    pub cure: String,
    /// The exit code of a command that runs into it.
    #[serde(skip)]
    pub exit: ExitCode,
    /// What `--fix` does about it.
    #[serde(skip)]
    pub repair: Option<Repair>,
    /// Whether `--fix` did it.
    pub fixed: bool,
}

impl Message for Finding {
    const REASON: &'static str = "finding";
}

impl Finding {
    /// Begins a finding.
    #[must_use]
    pub fn new(code: &'static str, severity: Severity, exit: ExitCode, what: impl Into<String>) -> Self {
        Self {
            code,
            severity,
            what: what.into(),
            why: String::new(),
            cure: String::new(),
            exit,
            repair: None,
            fixed: false,
        }
    }

    /// Says what it leads to.
    #[must_use]
    pub fn because(self, why: impl Into<String>) -> Self {
        Self { why: why.into(), ..self }
    }

    /// Says what helps.
    #[must_use]
    pub fn cured_by(self, cure: impl Into<String>) -> Self {
        Self { cure: cure.into(), ..self }
    }

    /// Says what `--fix` does.
    #[must_use]
    pub fn repaired_by(self, repair: Repair) -> Self {
        Self { repair: Some(repair), ..self }
    }
}

/// Returns the exit code of an examination: that of the first error that stays, else [`ExitCode::Due`] when people have
/// to sign before long.
#[must_use]
pub fn exit_code(findings: &[Finding]) -> ExitCode {
    let open = || findings.iter().filter(|finding| !finding.fixed);
    let error = open().find(|finding| finding.severity == Severity::Error).map(|finding| finding.exit);
    let due = open().any(|finding| finding.severity == Severity::Warning && finding.exit == ExitCode::Due);
    error.unwrap_or(if due { ExitCode::Due } else { ExitCode::Success })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_that_stays_decides() {
        let finding = |severity, exit| Finding::new("x", severity, exit, "x");
        let note = finding(Severity::Note, ExitCode::Key);
        let due = finding(Severity::Warning, ExitCode::Due);
        let warning = finding(Severity::Warning, ExitCode::Storage);
        let error = finding(Severity::Error, ExitCode::Config);
        let later = finding(Severity::Error, ExitCode::Key);
        let fixed = Finding { fixed: true, ..later.clone() };
        assert_eq!(exit_code(&[]), ExitCode::Success);
        assert_eq!(exit_code(&[note.clone(), warning.clone(), fixed.clone()]), ExitCode::Success);
        assert_eq!(exit_code(&[note, warning, due.clone()]), ExitCode::Due);
        assert_eq!(exit_code(&[due, fixed, error, later]), ExitCode::Config);
    }
}
