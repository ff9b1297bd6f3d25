//! How often an app that asks at every start really asks.

use crate::fs::{self, PathError};
use crate::transport::random_fraction;
use crate::trust_store::make_parents;
use std::path::PathBuf;
use std::time::Duration;
use updater_format::UtcTime;

/// When the last check was, kept in a file, and when the next one is due.
#[derive(Debug)]
pub(crate) struct Schedule {
    file: PathBuf,
    interval: Duration,
}

/// What is kept between two starts.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct LastCheck {
    checked: UtcTime,
    /// Set before a check and cleared after it gave an answer: without network, or when the app crashes meanwhile, the
    /// next try comes after the shortest interval instead of the whole one.
    failed: bool,
    format: u64,
    /// Which part of a tenth of the interval is added, in thousandths. Drawn once per check, so that asking often does
    /// not draw the shortest.
    jitter: u64,
}

impl Schedule {
    /// Keeps the time of the last check in a file below the app's state folder.
    pub(crate) fn new(state_dir: &std::path::Path, interval: Duration) -> Self {
        Self { file: state_dir.join("last-check"), interval }
    }

    /// Returns how long until the next check; zero when it is due. No record, or one that makes no sense, means due.
    pub(crate) fn wait(&self, now: UtcTime) -> Duration {
        let bytes = fs::read_bounded(&self.file, MAX_FILE).unwrap_or_default().unwrap_or_default();
        match serde_json::from_slice::<LastCheck>(&bytes) {
            Ok(last) if last.format == FORMAT => last.wait(self.interval, now),
            _ => Duration::ZERO,
        }
    }

    /// Notes that a check begins. Done first, so that an app that crashes in a loop does not ask in a loop.
    /// # Errors
    /// [`PathError`] when it cannot be noted; the check must not be made then.
    pub(crate) fn begin(&self, now: UtcTime) -> Result<(), PathError> {
        let jitter = (random_fraction() * 1000.0) as u64;
        self.write(&LastCheck { checked: now, failed: true, format: FORMAT, jitter })
    }

    /// Notes that the check gave an answer.
    pub(crate) fn succeed(&self, now: UtcTime) {
        let jitter = (random_fraction() * 1000.0) as u64;
        if let Err(error) = self.write(&LastCheck { checked: now, failed: false, format: FORMAT, jitter }) {
            log::debug!("the time of the check is not kept: {error}");
        }
    }

    fn write(&self, last: &LastCheck) -> Result<(), PathError> {
        make_parents(&self.file)?;
        let bytes = serde_json::to_vec(last)
            .map_err(|error| PathError::new("write", &self.file, std::io::Error::other(error)))?;
        fs::atomic_write(&self.file, &bytes)
    }
}

impl LastCheck {
    fn wait(&self, interval: Duration, now: UtcTime) -> Duration {
        let interval = if self.failed { SHORTEST } else { interval.max(SHORTEST) };
        let jitter = interval / 10 * u32::try_from(self.jitter.min(1000)).unwrap_or(1000) / 1000;
        let passed = now.unix() - self.checked.unix();
        match u64::try_from(passed) {
            Ok(passed) => (interval + jitter).saturating_sub(Duration::from_secs(passed)),
            // The clock was set back: by how much the record is wrong is not known, so it says nothing.
            Err(_) if passed < -CLOCK_SLACK => Duration::ZERO,
            Err(_) => interval + jitter,
        }
    }
}

/// The shortest interval, whatever is configured: one hour.
const SHORTEST: Duration = Duration::from_secs(60 * 60);
/// How far, in seconds, a clock may go back and still be the same clock: what time services correct.
const CLOCK_SLACK: i64 = 60;
/// The format that is written and read. Another one means that a check is due.
const FORMAT: u64 = 1;
/// Bytes of the file; ours has about 70.
const MAX_FILE: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn now() -> UtcTime {
        UtcTime::parse("2026-11-20T08:00:00Z").unwrap()
    }

    #[test]
    fn due_after_the_interval_and_up_to_a_tenth_more() {
        let folder = tempfile::tempdir().unwrap();
        let schedule = Schedule::new(&folder.path().join("state/hello"), 24 * HOUR);
        assert_eq!(schedule.wait(now()), Duration::ZERO, "never checked");
        schedule.begin(now()).unwrap();
        schedule.succeed(now());
        let wait = schedule.wait(now());
        assert!(wait >= 24 * HOUR && wait <= 24 * HOUR + 24 * HOUR / 10, "{wait:?}");
        assert_eq!(schedule.wait(now()), wait, "asked again, another time was drawn");
        assert!(schedule.wait(now().plus_seconds(23 * 3600)) >= HOUR);
        assert_eq!(schedule.wait(now().plus_days(2)), Duration::ZERO);
    }

    #[test]
    fn clients_spread_out() {
        let folder = tempfile::tempdir().unwrap();
        let schedule = Schedule::new(folder.path(), 24 * HOUR);
        let waits: std::collections::BTreeSet<_> = (0..20)
            .map(|_| {
                schedule.succeed(now());
                schedule.wait(now())
            })
            .collect();
        assert!(waits.len() > 10, "{waits:?}");
    }

    #[test]
    fn a_check_without_an_answer_is_tried_again_after_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let schedule = Schedule::new(folder.path(), 24 * HOUR);
        schedule.begin(now()).unwrap();
        let wait = schedule.wait(now());
        assert!(wait >= HOUR && wait <= HOUR + HOUR / 10, "{wait:?}");
    }

    #[test]
    fn never_more_often_than_hourly() {
        let folder = tempfile::tempdir().unwrap();
        let schedule = Schedule::new(folder.path(), Duration::ZERO);
        schedule.succeed(now());
        assert!(schedule.wait(now()) >= HOUR);
        assert!(schedule.wait(now().plus_seconds(-10)) >= HOUR, "a clock that was corrected");
    }

    #[test]
    fn a_record_that_makes_no_sense_means_due() {
        let folder = tempfile::tempdir().unwrap();
        let schedule = Schedule::new(folder.path(), 24 * HOUR);
        for text in ["", "{", "{}", r#"{"checked":"2026-11-20T08:00:00Z","failed":false,"format":2,"jitter":0}"#] {
            std::fs::write(folder.path().join("last-check"), text).unwrap();
            assert_eq!(schedule.wait(now()), Duration::ZERO, "{text}");
        }
        schedule.succeed(now().plus_days(400));
        assert_eq!(schedule.wait(now()), Duration::ZERO, "a clock that was once wrong by a year");
        let hostile = r#"{"checked":"2026-11-20T08:00:00Z","failed":false,"format":1,"jitter":18446744073709551615}"#;
        std::fs::write(folder.path().join("last-check"), hostile).unwrap();
        assert!(schedule.wait(now()) <= 24 * HOUR + 24 * HOUR / 10);
    }
}
