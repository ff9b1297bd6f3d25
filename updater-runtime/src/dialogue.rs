//! A ready-made dialogue on a terminal: what is new, and update now, later, or not this version (feature `dialogue`).
//!
//! The only part of this library that prints: it was asked to. It speaks on stderr, so that what the app writes to stdout
//! stays whole, and only where stdin and stderr are a terminal.

mod skipped;
mod words;

use crate::error::Error;
use crate::event::{Phase, Progress};
use crate::install::Installed;
use crate::policy::Policy;
use crate::status::{NoUpdate, Status};
use crate::update::Update;
use crate::updater::Updater;
use skipped::Skipped;
use std::io::{BufRead, IsTerminal as _, Write};
use std::time::Instant;
use updater_format::ReleaseVersion;
use words::{Choice, Facts};

/// How a dialogue ended.
#[derive(Debug)]
#[must_use = "an installed update runs after a restart"]
pub enum Answer {
    /// The new version is installed: restart now, or let the next start run it.
    Installed(Box<Installed>),
    /// Not now; the same version is asked about again when the next check is due.
    Later(ReleaseVersion),
    /// Not this version: it is not asked about again on this computer. Said just now or earlier.
    Skipped(ReleaseVersion),
    /// There is no update, or it is not time to look for one. Nothing was printed.
    NoUpdate(NoUpdate),
    /// Nobody can be asked, or this computer wants no questions ([`Policy::variable`] says `off` or `notify`). No server was
    /// asked and nothing was printed.
    NobodyToAsk,
}

impl Updater {
    /// Looks for an update at most once in the interval of the settings, and asks the person at the terminal about it: update
    /// now, later, or skip this version. Shows the release notes, and the progress of the download. Blocks until there is an
    /// answer.
    ///
    /// ```no_run
    /// # fn example(updater: &updater_runtime::Updater) -> Result<(), updater_runtime::Error> {
    /// if let updater_runtime::Answer::Installed(installed) = updater.ask()? {
    ///     installed.restart()?.hand_over();
    /// }
    /// # Ok(())
    /// # }
    /// ```
    /// # Errors
    /// As [`Updater::check_if_due`], [`Update::download`] and [`Staged::install`](crate::Staged::install). That the notes
    /// cannot be fetched is told and is no error.
    pub fn ask(&self) -> Result<Answer, Error> {
        self.ask_about(Self::check_if_due)
    }

    /// Does the same on the user's wish: looks now, and asks about a version that was skipped, too.
    /// # Errors
    /// As [`Updater::ask`].
    pub fn ask_now(&self) -> Result<Answer, Error> {
        Skipped::of(self).forget();
        self.ask_about(Self::check)
    }

    fn ask_about(&self, check: impl Fn(&Self) -> Result<Status, Error>) -> Result<Answer, Error> {
        let (stdin, stderr) = (std::io::stdin(), std::io::stderr());
        if !stdin.is_terminal() || !stderr.is_terminal() || self.policy(Policy::Auto) != Policy::Auto {
            return Ok(Answer::NobodyToAsk);
        }
        let update = match check(self)? {
            Status::Available(update) => *update,
            Status::NoUpdate(why) => return Ok(Answer::NoUpdate(why)),
        };
        let skipped = Skipped::of(self);
        let version = update.version().clone();
        // What the publisher has withdrawn is asked about in any case.
        if skipped.is(&version) && !update.is_urgent() {
            return Ok(Answer::Skipped(version));
        }
        let app = self.app().map(ToString::to_string).unwrap_or_default();
        let facts = Facts {
            app: &app,
            from: update.from(),
            to: &version,
            bytes: update.route().bytes(),
            is_urgent: update.is_urgent(),
        };
        let notes = update.notes();
        let mut terminal = stderr.lock();
        tell(&mut terminal, &facts.headline());
        match notes {
            Ok(Some(notes)) => tell(&mut terminal, &words::indented(&notes)),
            Ok(None) => {}
            Err(error) => tell(&mut terminal, &format!("  (the release notes could not be fetched: {error})")),
        }
        match question(&mut stdin.lock(), &mut terminal, &facts) {
            Choice::Update => install(update, &mut terminal).map(|installed| Answer::Installed(Box::new(installed))),
            Choice::Later => Ok(Answer::Later(version)),
            Choice::Skip => {
                if let Err(error) = skipped.remember(&version) {
                    tell(&mut terminal, &format!("  (that cannot be remembered: {error})"));
                }
                Ok(Answer::Skipped(version))
            }
        }
    }
}

/// Asks until there is an answer. Who says nothing, or nothing that is understood, three times, wants it later.
fn question(input: &mut dyn BufRead, terminal: &mut dyn Write, facts: &Facts<'_>) -> Choice {
    for _ in 0..ATTEMPTS {
        let _ = write!(terminal, "{} ", facts.question());
        let _ = terminal.flush();
        let mut line = Vec::new();
        let read = std::io::Read::take(&mut *input, MAX_ANSWER).read_until(b'\n', &mut line);
        if read.is_err() || line.is_empty() {
            // The end of input: a closed terminal, or Ctrl-D.
            tell(terminal, "");
            return Choice::Later;
        }
        match Choice::parse(&String::from_utf8_lossy(&line), facts.is_urgent) {
            Some(choice) => return choice,
            None => tell(terminal, &format!("  Please answer with one of the letters {}.", facts.letters())),
        }
    }
    Choice::Later
}

/// Downloads and installs with a line that tells how far it is.
fn install(update: Update, terminal: &mut dyn Write) -> Result<Installed, Error> {
    let (mut phase, mut started) = (None, Instant::now());
    let staged = update.download(|progress: Progress| {
        if phase != Some(progress.phase) {
            (phase, started) = (Some(progress.phase), Instant::now());
        }
        let line = match progress.phase {
            Phase::Probe => "trying whether the new version starts".to_owned(),
            Phase::Apply => words::progress("putting it together", &progress, started.elapsed()),
            Phase::Download => words::progress("downloading", &progress, started.elapsed()),
        };
        // Over the line before.
        let _ = write!(terminal, "\r  {line:<WIDTH$}");
        let _ = terminal.flush();
    });
    let _ = write!(terminal, "\r  {:<WIDTH$}\r", "");
    let installed = staged?.install()?;
    tell(terminal, &format!("  {} is installed.", installed.version()));
    Ok(installed)
}

/// Writes a line; a closed terminal is nobody's error.
fn tell(terminal: &mut dyn Write, line: &str) {
    let _ = writeln!(terminal, "{line}");
}

/// Columns of the line that tells how far it is.
const WIDTH: usize = 74;
/// How often a person is asked before it means later.
const ATTEMPTS: usize = 3;
/// Bytes of an answer that are read: the longest word has 6.
const MAX_ANSWER: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(input: &str, is_urgent: bool) -> (Choice, String) {
        let (from, to) = ("1.0.0".parse().unwrap(), "1.1.0".parse().unwrap());
        let facts = Facts { app: "hello", from: &from, to: &to, bytes: 2048, is_urgent };
        let mut terminal = Vec::new();
        let choice = question(&mut input.as_bytes(), &mut terminal, &facts);
        (choice, String::from_utf8(terminal).unwrap())
    }

    #[test]
    fn silence_and_noise_mean_later() {
        for (input, choice, asks) in [
            ("u\n", Choice::Update, 1),
            ("S\n", Choice::Skip, 1),
            ("\n", Choice::Later, 1),
            ("", Choice::Later, 1),
            ("what?\nskip\n", Choice::Skip, 2),
            ("a\nb\nc\nu\n", Choice::Later, 3),
            (&"x".repeat(10_000), Choice::Later, 3),
        ] {
            let (found, told) = asked(input, false);
            assert_eq!(found, choice, "{told}");
            assert_eq!(told.matches("[u]pdate now").count(), asks, "{told}");
        }
    }

    #[test]
    fn what_was_withdrawn_cannot_be_kept_for_good() {
        let (choice, told) = asked("s\nl\n", true);
        assert_eq!(choice, Choice::Later);
        assert!(!told.contains("[s]kip") && told.contains("letters u, l"), "{told}");
    }

    #[test]
    fn without_a_terminal_nobody_is_asked() {
        // Of a test, at least one of both is none.
        if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
            return;
        }
        let updater = Updater::disabled("no root".to_owned());
        assert!(matches!(updater.ask(), Ok(Answer::NobodyToAsk)));
    }
}
