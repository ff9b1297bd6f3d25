//! Power cuts in the course of a recorded run.

use super::disk::{self, Disk, Loss};
use super::record::{self, Record};
use super::trace;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a run did to a folder, and what the folder held before.
#[derive(Debug, Default)]
pub struct Recording {
    /// The calls of the main thread, in order; empty when another thread did it.
    pub records: Vec<Record>,
    slot: PathBuf,
    before: PathBuf,
}

/// A moment at which the power is cut, and what that takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// How many recorded calls came before it.
    pub after: usize,
    /// What it takes away.
    pub loss: Loss,
}

impl Recording {
    /// Runs a program that changes the folder `slot`, which is as `before` now. `dress` completes the command.
    ///
    /// The model of the disk must come to what is there afterwards: a call that it misunderstands is found here.
    /// # Errors
    /// When the program fails, or the model differs from the disk.
    pub fn make(program: &Path, slot: &Path, before: &Path, dress: impl FnOnce(&mut Command)) -> Result<Self, String> {
        let text = |error: io::Error| error.to_string();
        let log = tempfile::NamedTempFile::new().map_err(text)?;
        let mut command = trace::recorded(program, log.path());
        dress(&mut command);
        let outcome = trace::run(&mut command).map_err(text)?;
        if outcome.code != Some(0) {
            return Err(format!("the recorded run fails: {outcome:?}"));
        }
        let records = record::read(log.path()).map_err(text)?;
        let this = Self { records, slot: slot.to_owned(), before: before.to_owned() };
        let (model, real) = (this.disk(this.records.len()).map_err(text)?.now(), disk::read(slot).map_err(text)?);
        match model.keys().chain(real.keys()).find(|path| model.get(*path) != real.get(*path)) {
            Some(path) => Err(format!("the model of the disk differs at {}", path.display())),
            None => Ok(this),
        }
    }

    /// Returns every moment and loss that leaves something of its own.
    /// # Errors
    /// When the state before cannot be read.
    pub fn cuts(&self) -> io::Result<Vec<Cut>> {
        let mut cuts = Vec::new();
        if self.records.is_empty() {
            return Ok(cuts);
        }
        let mut disk = self.disk(0)?;
        let mut seen = HashSet::new();
        for after in 0..=self.records.len() {
            if let Some(last) = after.checked_sub(1) {
                disk.apply(&self.records[last]).map_err(io::Error::other)?;
            }
            // Within a row of writes only the last one counts: before it there is less of the same.
            if self.records.get(after).is_none_or(|next| next.name != "write") {
                let news = Loss::ALL.into_iter().filter(|loss| seen.insert(disk.marks_after(*loss)));
                cuts.extend(news.map(|loss| Cut { after, loss }));
            }
        }
        // The end is always tried: what was reported as done must be there.
        let end = Cut { after: self.records.len(), loss: Loss::Everything };
        if !cuts.contains(&end) {
            cuts.push(end);
        }
        Ok(cuts)
    }

    /// Tells whether a cut comes after everything.
    #[must_use]
    pub fn is_over(&self, cut: Cut) -> bool {
        cut.after == self.records.len()
    }

    /// Puts into the folder, which must not be there, what a power cut leaves of it.
    /// # Errors
    /// When the disk refuses.
    pub fn leave(&self, cut: Cut) -> io::Result<()> {
        disk::write(&self.disk(cut.after)?.after(cut.loss), &self.slot)
    }

    fn disk(&self, after: usize) -> io::Result<Disk> {
        let mut disk = Disk::load(&self.slot, &self.before)?;
        self.records[..after].iter().try_for_each(|record| disk.apply(record)).map_err(io::Error::other)?;
        Ok(disk)
    }
}
