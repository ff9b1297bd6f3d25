//! What the build script of an app needs: `build.rs` embeds the settings in its `Cargo.toml` and the root it trusts.
//!
//! ```no_run
//! // build.rs: fn main() {
//! updater_build::embed();
//! // }
//! ```
//!
//! [`table`] is also read by the publisher, so that the two cannot disagree on a setting.

#![forbid(unsafe_code)]

pub mod check;
pub mod embed;
mod error;
pub mod hooks;
pub mod manifest;
mod reader;
mod suggest;
pub mod table;
pub mod url;

pub use error::TableError;

use embed::{BuildEnvironment, EmbedError, Embedding};
use std::path::{Path, PathBuf};
use std::process::Command;
use updater_format::UtcTime;

/// Embeds the updater's settings into the crate that is being built. The one line of `build.rs`.
///
/// Tells Cargo what it read and what is wrong; an error ends the build with a line that says the fix.
#[expect(clippy::print_stdout, reason = "a build script talks to Cargo on stdout")]
pub fn embed() {
    for line in report(from_cargo().and_then(|environment| embed::write(&environment, now()))) {
        println!("{line}");
    }
}

/// Returns the lines for Cargo.
fn report(outcome: Result<Embedding, EmbedError>) -> Vec<String> {
    let mut lines = vec!["cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH".to_owned()];
    match outcome {
        Ok(embedding) => {
            lines.extend(embedding.inputs.iter().map(|path| format!("cargo::rerun-if-changed={}", path.display())));
            lines.extend(embedding.warnings.iter().map(|warning| format!("cargo::warning={}", one_line(warning))));
        }
        Err(error) => {
            let mut message = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                message.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            lines.push(format!("cargo::error={}; {}", one_line(&message), one_line(&error.hint())));
        }
    }
    lines
}

/// Cargo reads one instruction per line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn from_cargo() -> Result<BuildEnvironment, EmbedError> {
    let variable = |name: &'static str| std::env::var(name).map_err(|_| EmbedError::NotABuildScript { name });
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    Ok(BuildEnvironment {
        commit_time: commit_time(&package),
        package,
        out: PathBuf::from(variable("OUT_DIR")?),
        version: variable("CARGO_PKG_VERSION")?,
        target: variable("TARGET")?,
        source_date_epoch: std::env::var("SOURCE_DATE_EPOCH").ok().filter(|text| !text.is_empty()),
    })
}

/// Returns the time of the checked-out commit; `None` outside a repository or without git.
fn commit_time(folder: &Path) -> Option<UtcTime> {
    let output = Command::new("git").arg("-C").arg(folder).args(["log", "-1", "--format=%ct"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    text.trim().parse().ok().map(UtcTime::from_unix)
}

fn now() -> UtcTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UtcTime::from_unix(i64::try_from(since.as_secs()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_that_says_the_fix() {
        let missing = EmbedError::Table(TableError::Missing { key: "url" });
        let lines = report(Err(missing));
        let expected =
            "cargo::error=`url` is missing in [package.metadata.updater]; run `cargo updater init`, which writes it";
        assert_eq!(lines[1], expected);
        let source = std::io::Error::other("first\nsecond");
        let two_lines = report(Err(EmbedError::Write { path: "x".into(), source }));
        assert!(two_lines[1].starts_with("cargo::error=cannot write x: first second; "), "{two_lines:?}");
    }

    #[test]
    fn inputs_and_warnings_are_told_to_cargo() {
        let embedding = Embedding { inputs: vec!["a".into(), "b".into()], warnings: vec!["w".to_owned()] };
        let lines = report(Ok(embedding));
        assert_eq!(lines[1..], ["cargo::rerun-if-changed=a", "cargo::rerun-if-changed=b", "cargo::warning=w"]);
    }
}
