//! What the dialogue says, and how answers are understood. Pure.

use crate::event::Progress;
use std::time::Duration;
use updater_format::ReleaseVersion;

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Update,
    Later,
    Skip,
}

impl Choice {
    /// Understands an answer; `None` when it is none.
    pub(super) fn parse(line: &str, is_urgent: bool) -> Option<Self> {
        match line.trim().to_ascii_lowercase().as_str() {
            "u" | "update" | "y" | "yes" => Some(Self::Update),
            "" | "l" | "later" | "n" | "no" => Some(Self::Later),
            "s" | "skip" if !is_urgent => Some(Self::Skip),
            _ => None,
        }
    }
}

/// What is told about an update.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) app: &'a str,
    pub(super) from: &'a ReleaseVersion,
    pub(super) to: &'a ReleaseVersion,
    pub(super) bytes: u64,
    pub(super) is_urgent: bool,
}

impl Facts<'_> {
    pub(super) fn headline(&self) -> String {
        let Self { app, from, to, bytes, is_urgent } = self;
        let urgent = match is_urgent {
            true => format!("\n  Its publisher wants nobody to stay with {from}."),
            false => String::new(),
        };
        format!("{app} {to} is available; you have {from} ({} to download).{urgent}", human_bytes(*bytes))
    }

    pub(super) fn question(&self) -> &'static str {
        match self.is_urgent {
            false => "[u]pdate now, [l]ater, [s]kip this version?",
            true => "[u]pdate now, [l]ater?",
        }
    }

    pub(super) fn letters(&self) -> &'static str {
        if self.is_urgent { "u, l" } else { "u, l, s" }
    }
}

/// Sets the notes apart, as many lines as fit on a screen.
pub(super) fn indented(notes: &str) -> String {
    let lines: Vec<&str> = notes.trim().lines().collect();
    let mut shown: Vec<String> = lines.iter().take(MAX_LINES).map(|line| format!("  | {line}")).collect();
    if lines.len() > MAX_LINES {
        shown.push(format!("  | ... and {} more lines", lines.len() - MAX_LINES));
    }
    shown.join("\n")
}

/// Tells how far something is: share, bytes, rate and the time that is left.
pub(super) fn progress(what: &str, progress: &Progress, elapsed: Duration) -> String {
    let Progress { bytes, total, .. } = *progress;
    let percent = bytes.min(total).saturating_mul(100) / total.max(1);
    let rate = bytes as f64 / elapsed.as_secs_f64().max(0.001);
    let left = total.saturating_sub(bytes) as f64 / rate.max(1.0);
    // Of the first moment nothing can be said.
    let pace = match elapsed >= Duration::from_millis(500) && bytes > 0 {
        true => format!(", {}/s, {} s left", human_bytes(rate as u64), left.ceil() as u64),
        false => String::new(),
    };
    format!("{what}: {percent:>3} % of {}{pace}", human_bytes(total))
}

/// Writes a number of bytes for people.
fn human_bytes(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if bytes < 1024 { format!("{bytes} bytes") } else { format!("{value:.1} {}", units[unit]) }
}

/// Lines of notes that are shown: a screen of 24 has room for the question, too.
const MAX_LINES: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Phase;

    #[test]
    fn a_long_text_is_cut_where_the_screen_ends() {
        let notes = (1..=20).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n");
        let shown = indented(&notes);
        assert!(
            shown.starts_with("  | line 1\n") && shown.ends_with("  | line 18\n  | ... and 2 more lines"),
            "{shown}"
        );
        assert_eq!(indented("one\n"), "  | one");
    }

    #[test]
    fn progress_tells_bytes_rate_and_time_left() {
        let half = Progress::new(Phase::Download, 1 << 20, 2 << 20);
        assert_eq!(progress("downloading", &half, Duration::from_millis(100)), "downloading:  50 % of 2.0 MiB");
        assert_eq!(
            progress("downloading", &half, Duration::from_secs(2)),
            "downloading:  50 % of 2.0 MiB, 512.0 KiB/s, 2 s left"
        );
        let nothing = Progress::new(Phase::Download, 0, 0);
        assert_eq!(progress("downloading", &nothing, Duration::from_secs(2)), "downloading:   0 % of 0 bytes");
    }
}
