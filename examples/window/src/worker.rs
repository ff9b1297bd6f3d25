//! The thread in which the updater works, and what it and the window say to each other.

use crate::skipped::Skipped;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use updater_runtime::{Error, Installed, Phase, Status, Update, Updater};

/// What the window wants.
pub enum Ask {
    /// Look for an update now, also for one that was skipped.
    Look,
    /// Take the one that was found.
    Update,
    /// Not now.
    Later,
    /// Not this version.
    Skip,
}

/// What the thread says.
pub enum Tell {
    /// There is an update, and it waits for an answer.
    Found(Found),
    /// What is being done, and which part of it is.
    Progress(&'static str, f32),
    /// There is no update, or it failed.
    Note(String),
    /// The new version is installed: close the window, and [`Worker::restart`].
    Installed,
}

/// What is shown of an update.
pub struct Found {
    pub from: String,
    pub version: String,
    pub bytes: u64,
    pub notes: String,
    pub is_urgent: bool,
}

impl Found {
    pub fn size(&self) -> String {
        match self.bytes {
            bytes @ ..1024 => format!("{bytes} bytes"),
            bytes @ ..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
            bytes => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        }
    }
}

/// The window's end.
pub struct Worker {
    asks: Sender<Ask>,
    tells: Receiver<Tell>,
    installed: Arc<Mutex<Option<Installed>>>,
}

impl Worker {
    /// Starts the thread. It looks for an update when that is due; `wake` is called after each thing that it says.
    pub fn start(updater: Updater, wake: impl Fn() + Send + 'static) -> Self {
        let ((asks, asked), (tell, tells)) = (channel(), channel());
        let installed = Arc::new(Mutex::new(None));
        let thread =
            Thread { updater, skipped: Skipped::of_this_user(), tell, wake, installed: Arc::clone(&installed) };
        std::thread::spawn(move || thread.run(&asked));
        Self { asks, tells, installed }
    }

    /// Asks the thread for something. It answers by [`Worker::told`].
    pub fn ask(&self, ask: Ask) {
        // A thread that has ended says nothing more, and the window goes on without it.
        drop(self.asks.send(ask));
    }

    /// Returns the next thing that the thread has said.
    pub fn told(&self) -> Option<Tell> {
        self.tells.try_recv().ok()
    }

    /// Runs the new version in place of this one, if one was installed.
    pub fn restart(&self) -> Result<(), Error> {
        match self.installed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(installed) => installed.restart()?.hand_over(),
            None => Ok(()),
        }
    }
}

struct Thread<W> {
    updater: Updater,
    skipped: Skipped,
    tell: Sender<Tell>,
    wake: W,
    installed: Arc<Mutex<Option<Installed>>>,
}

impl<W: Fn()> Thread<W> {
    fn run(self, asked: &Receiver<Ask>) {
        let mut waiting = self.look(self.updater.check_if_due(), false);
        while let Ok(ask) = asked.recv() {
            match (ask, waiting.take()) {
                (Ask::Look, _) => waiting = self.look(self.updater.check(), true),
                (Ask::Update, Some(update)) => {
                    if let Err(error) = self.install(update) {
                        // An update error never ends the app.
                        self.say(Tell::Note(format!("No update: {}. {}.", error.full_message(), error.hint())));
                    }
                }
                (Ask::Skip, Some(update)) => self.skipped.remember(&update.version().to_string()),
                (Ask::Later | Ask::Skip | Ask::Update, _) => {}
            }
        }
    }

    /// Tells the window of an update, and keeps it until there is an answer.
    fn look(&self, answer: Result<Status, Error>, wanted: bool) -> Option<Update> {
        let update = match answer {
            Ok(Status::Available(update)) => *update,
            Ok(Status::NoUpdate(why)) if wanted => return self.nothing(why.to_string()),
            Ok(Status::NoUpdate(_)) => return None,
            Err(error) => return self.nothing(error.full_message()),
        };
        let version = update.version().to_string();
        if !wanted && !update.is_urgent() && self.skipped.is(&version) {
            return None;
        }
        let notes = update.notes().unwrap_or_default().unwrap_or_default();
        self.say(Tell::Found(Found {
            from: update.from().to_string(),
            version,
            bytes: update.route().bytes(),
            // Notes are Markdown; its lists are all that this window shows in another way.
            notes: notes.replace("\n- ", "\n• ").replacen("- ", "• ", usize::from(notes.starts_with("- "))),
            is_urgent: update.is_urgent(),
        }));
        Some(update)
    }

    fn install(&self, update: Update) -> Result<(), Error> {
        let staged = update.download(|progress| {
            let what = match progress.phase {
                Phase::Download => "Downloading",
                Phase::Apply => "Putting it together",
                _ => "Trying the new version",
            };
            self.say(Tell::Progress(what, progress.bytes as f32 / progress.total.max(1) as f32));
        })?;
        let installed = staged.install()?;
        *self.installed.lock().unwrap_or_else(PoisonError::into_inner) = Some(installed);
        self.say(Tell::Installed);
        Ok(())
    }

    fn nothing<T>(&self, why: String) -> Option<T> {
        self.say(Tell::Note(why));
        None
    }

    fn say(&self, tell: Tell) {
        drop(self.tell.send(tell));
        (self.wake)();
    }
}
