//! What `--message-format json` tells of each patch.

use crate::shell::Message;
use crate::steps::bundle::Bundled;
use crate::steps::diff::Outcome;

/// What became of a patch.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct Diffed {
    triple: String,
    from: String,
    to: String,
    outcome: &'static str,
    path: Option<String>,
    bytes: Option<u64>,
    bundle_bytes: u64,
}

impl Message for Diffed {
    const REASON: &'static str = "patch";
}

impl Diffed {
    pub(super) fn of(outcome: &Outcome, bundled: &Bundled) -> Self {
        let (from, outcome, path, bytes) = match outcome {
            Outcome::Kept(patch) => {
                (&patch.entry.from, "kept", Some(patch.path.display().to_string()), Some(patch.entry.artifact.length))
            }
            Outcome::TooLarge { from, length } => (from, "too-large", None, Some(*length)),
            Outcome::NoCodec { from } => (from, "no-codec", None, None),
        };
        Self {
            triple: bundled.part.platform.to_string(),
            from: from.to_string(),
            to: bundled.part.version.to_string(),
            outcome,
            path,
            bytes,
            bundle_bytes: bundled.part.length,
        }
    }
}
