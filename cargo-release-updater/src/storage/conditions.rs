//! Whether the conditions of a service hold when requests meet.
//!
//! Some servers that speak S3 look first and write then, so that of two requests that come together both succeed, although each
//! asked to be the only one. No answer shows that. So before the first commit some requests are let meet on an object of
//! their own; where more than one succeeds, no condition is relied on any more: the claim is the lock, as where there is no
//! conditional replacement, and whoever has written under a condition looks again after a pause, longer than any request
//! takes from its look to its write. The one whose bytes are there then has won. (This is Fischer's timed mutual exclusion.)

use super::error::StorageError;
use super::opendal::{ASIDE, Coordination, Storage};
use opendal::options;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// What is known about the conditions of one open storage.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions {
    /// Whether somebody has to find out: the clouds' own services are believed.
    doubted: bool,
    /// The pause before what was written is looked at again; `None` inside when conditions hold. Shared by all clones.
    found: Arc<OnceLock<Option<Pause>>>,
}

/// How conditions have failed, and what is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// How many of the requests succeeded, of which one should have.
    pub winners: usize,
    /// How long is waited before what was written is looked at again.
    pub pause: Duration,
}

impl Conditions {
    /// Of a storage that is still to be asked, if somebody doubts it.
    pub(super) fn doubted(doubted: bool) -> Self {
        Self { doubted, ..Self::default() }
    }

    /// Returns the pause where conditions do not hold.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.found.get().copied().flatten().map(|found| found.pause)
    }
}

impl Storage {
    /// Lets conditional requests meet, once, where it is not known what the service makes of them. Returns how they failed the
    /// first time that it is known.
    /// # Errors
    /// [`StorageError::Service`] when the service fails.
    pub fn try_conditions(&self) -> Result<Option<Pause>, StorageError> {
        let known = self.conditions.found.get().is_some();
        if known || !self.conditions.doubted || self.coordination() != Coordination::ConditionalReplace {
            return Ok(None);
        }
        let found = self.let_meet()?;
        Ok(*self.conditions.found.get_or_init(|| found))
    }

    fn let_meet(&self) -> Result<Option<Pause>, StorageError> {
        let path = format!("{ASIDE}/meeting-{}", std::process::id());
        self.put_mutable(&path, b"who is first?\n".to_vec())?;
        let found = self.stat(&path)?;
        let Some(tag) = found.as_ref().and_then(|found| found.etag()) else { return Ok(None) };
        let begin = Instant::now();
        let winners = self.runtime.block_on(async {
            let mut meeting = tokio::task::JoinSet::new();
            for guest in 0..GUESTS {
                let how = options::WriteOptions { if_match: Some(tag.to_owned()), ..self.write_options(&path) };
                let (operator, path) = (self.timely.clone(), path.clone());
                meeting.spawn(async move { operator.write_options(&path, format!("{guest}\n"), how).await.is_ok() });
            }
            // One that fails in another way is told where it matters: by the commit.
            meeting.join_all().await.into_iter().filter(|won| *won).count()
        });
        let took = begin.elapsed();
        match self.remove(&path) {
            // Who may not remove leaves one small object.
            Err(StorageError::Service { source, .. }) if source.is_refused() => {}
            removed => removed?,
        }
        let pause = (took * SAFELY).clamp(LEAST, MOST);
        Ok((winners > 1).then_some(Pause { winners, pause }))
    }

    /// Waits until no other request can be between its look and its write, where services do that apart.
    pub(super) fn let_settle(&self) {
        if let Some(pause) = self.conditions.pause() {
            std::thread::sleep(pause);
        }
    }

    /// Tells whether what is written under a condition has to be looked at again.
    #[must_use]
    pub fn conditions_fail(&self) -> bool {
        self.conditions.pause().is_some()
    }
}

impl Pause {
    /// How many requests meet.
    pub const GUESTS: usize = GUESTS;
}

/// How many requests meet: of 8 that met on s3s-fs 7 or 8 succeeded.
const GUESTS: usize = 8;
/// The pause is so many times as long as all that met took together.
const SAFELY: u32 = 4;
/// The shortest pause: a busy server takes longer for one request now and then.
const LEAST: Duration = Duration::from_millis(500);
/// The longest pause.
const MOST: Duration = Duration::from_secs(10);

#[cfg(test)]
impl Storage {
    /// Returns the same storage as if its conditions had failed.
    pub(crate) fn with_failing_conditions(mut self, pause: Duration) -> Self {
        let found = OnceLock::from(Some(Pause { winners: 2, pause }));
        self.conditions = Conditions { doubted: true, found: Arc::new(found) };
        self
    }
}
