//! The rival: python-tuf with every release in one targets role, as `benches/scale-rival.py` makes it.

use crate::race::Failure;
use crate::workspace;
use std::path::Path;
use std::process::Command;

/// What the rival costs at one number of releases. Metadata alone; its archives and patches are not counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Rival {
    /// Bytes that the next publish reads.
    pub read: f64,
    /// Bytes that it writes.
    pub written: f64,
    /// Its processor time, in seconds.
    pub cpu: f64,
    /// Its most memory, in MiB.
    pub peak: f64,
    /// Bytes of a client's first check.
    pub first: f64,
    /// Bytes of a check without news.
    pub again: f64,
    /// Processor time of the first check, in seconds.
    pub check_cpu: f64,
    /// Whether a client with the settings that python-tuf comes with refuses the targets role as too long.
    pub refused: bool,
}

/// Runs the rival.
/// # Errors
/// When it fails, with what it said.
pub fn measure(python: &Path, releases: usize, triples: usize) -> Result<Rival, Failure> {
    let script = workspace().join("benches/scale-rival.py");
    let output = Command::new(python).arg(script).args([releases.to_string(), triples.to_string()]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let told: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let number = |group: &str, name: &str| told[group][name].as_f64().ok_or_else(|| format!("no {group}.{name}"));
    Ok(Rival {
        read: number("publish", "read")?,
        written: number("publish", "written")?,
        cpu: number("publish", "cpu")?,
        peak: number("publish", "peak")?,
        first: number("check", "first")?,
        again: number("check", "again")?,
        check_cpu: number("check", "cpu")?,
        refused: told["check"]["refused"].as_bool().unwrap_or(false),
    })
}
