//! How a launcher runs an app: the table `launcher`, as the publisher writes it, as it travels in the signed bundle, and
//! as somebody changes it for one computer.
//!
//! All three are the same table. [`LauncherSettings::from_layers`] lays them over each other, key by key, and over the
//! defaults; an unknown key is an error that knows its neighbours. `docs/format/launcher.md` describes the file.

use crate::json::{Map, Value};
use crate::path::FilePath;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

mod span;

pub use span::Span;

/// Where a bundle has the table, as an ordinary listed file: compact JSON of what the publisher wrote.
pub const LAUNCHER_PATH: &str = ".updater-launcher.json";

/// Every setting, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LauncherSettings {
    /// The program, relative to the version's folder; the bundle's entry when not set.
    pub exec: Option<FilePath>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables added to its environment.
    pub env: BTreeMap<String, String>,
    /// Free values for `{{value.NAME}}`.
    pub values: BTreeMap<String, String>,
    /// When the app is started again.
    pub restart: Restart,
    /// How long to wait before it is.
    pub backoff: Backoff,
    /// How the app is asked to end.
    pub stop: Stop,
    /// How many versions stay on disk, the current one included; at least two.
    pub keep: u32,
    /// How often updates are looked for.
    pub interval: Interval,
    /// Whether updates are looked for when the launcher starts.
    pub update_at_start: bool,
    /// Whether a staged program must answer the probe; for apps that contain the runtime.
    pub probe: bool,
    /// When a version counts as ready, and as alive.
    pub health: Health,
    /// What runs around an update.
    pub hooks: Hooks,
    /// The log files of the app.
    pub log: Log,
    /// An address that the launcher listens on for the app, which gets the socket as descriptor 3.
    pub listen: Option<SocketAddr>,
    /// Whether, with `listen`, the new version starts beside the old one.
    pub overlap: bool,
    /// Programs that can be run by name.
    pub script: BTreeMap<String, Vec<String>>,
}

/// When the app is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Never: the launcher ends with it, with its exit code.
    Never,
    /// When it ended by a signal or with another exit code than 0.
    OnFailure,
    /// Whenever it ends.
    Always,
}

/// The wait before a restart: it doubles from `first` to `ceiling`, and starts over once the app has stayed up for
/// `window`. After `limit` failures within `window` the launcher gives up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Backoff {
    /// The first wait.
    pub first: Span,
    /// The longest wait.
    pub ceiling: Span,
    /// Failures within `window` after which the launcher gives up; 0 never does.
    pub limit: u32,
    /// How far back failures count.
    pub window: Span,
}

/// How the app is asked to end: a signal to it, time, then the end of its whole process group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Stop {
    /// The signal.
    pub signal: StopSignal,
    /// The time that it gets.
    pub grace: Span,
}

/// The signals that ask a program to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopSignal {
    /// SIGTERM.
    Term,
    /// SIGINT.
    Int,
    /// SIGHUP.
    Hup,
    /// SIGQUIT.
    Quit,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
}

/// When a version counts as ready: all that is set must hold within `limit`. With `every`, the check goes on afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Health {
    /// It must have stayed up for this long.
    pub stay_up: Span,
    /// All must hold within this time after the start.
    pub limit: Span,
    /// It must accept connections here.
    pub tcp: Option<SocketAddr>,
    /// This `http://HOST:PORT/PATH` must answer with 200 to 299.
    pub http: Option<String>,
    /// This command must end with 0.
    pub command: Option<Vec<String>>,
    /// It must confirm itself: by the runtime's `confirm()`, or by `confirm` on the control socket.
    pub confirm: bool,
    /// How often a ready app is checked again by `tcp`, `http` and `command`; not at all when not set.
    pub every: Option<Span>,
    /// After so many failed checks in a row it is stopped and counts as failed.
    pub failures: u32,
}

/// What runs around an update, in the folder of the new version: argument lists, no shell. One that fails, or takes
/// longer than `limit`, stops the update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Hooks {
    /// Before anything changes; the old version runs.
    pub before_swap: Vec<Vec<String>>,
    /// When `current` leads to the new version.
    pub after_swap: Vec<Vec<String>>,
    /// Before each start of the app until they have succeeded; again after a `restart` and in another version.
    pub before_start: Vec<Vec<String>>,
    /// When the new version is ready.
    pub after_start: Vec<Vec<String>>,
    /// The time that each of them gets.
    pub limit: Span,
}

/// The log files of the app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Log {
    /// The size in bytes at which a new file is begun.
    pub bytes: u64,
    /// How many older files are kept of each stream.
    pub files: u32,
}

/// How often updates are looked for: `"never"`, or a [`Span`] of at least a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Interval {
    /// Only on request.
    Never,
    /// Every so often, and up to a tenth more.
    Every(Span),
}

impl TryFrom<String> for Interval {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        let span: Span = text.parse()?;
        if span.duration().as_millis() < 1000 {
            return Err("it must be at least 1s, or `never`".to_owned());
        }
        Ok(Self::Every(span))
    }
}

impl From<Interval> for String {
    fn from(interval: Interval) -> Self {
        match interval {
            Interval::Never => "never".to_owned(),
            Interval::Every(span) => span.to_string(),
        }
    }
}

impl Default for LauncherSettings {
    fn default() -> Self {
        Self {
            exec: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            values: BTreeMap::new(),
            restart: Restart::OnFailure,
            backoff: Backoff {
                first: Span::millis(500),
                ceiling: Span::seconds(60),
                limit: 10,
                window: Span::seconds(300),
            },
            stop: Stop { signal: StopSignal::Term, grace: Span::seconds(10) },
            keep: 2,
            interval: Interval::Every(Span::seconds(6 * 60 * 60)),
            update_at_start: true,
            probe: false,
            health: Health {
                stay_up: Span::seconds(5),
                limit: Span::seconds(60),
                tcp: None,
                http: None,
                command: None,
                confirm: false,
                every: None,
                failures: 3,
            },
            hooks: Hooks {
                before_swap: Vec::new(),
                after_swap: Vec::new(),
                before_start: Vec::new(),
                after_start: Vec::new(),
                limit: Span::seconds(60),
            },
            log: Log { bytes: 10 * 1024 * 1024, files: 5 },
            listen: None,
            overlap: true,
            script: BTreeMap::new(),
        }
    }
}

/// A table that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LauncherError {
    /// A key that does not exist.
    #[error("unknown key `{key}`")]
    UnknownKey {
        /// The key, with dots.
        key: String,
        /// Every key that stands at its place, with dots.
        known: Vec<String>,
    },
    /// A value of another type, or one that breaks a rule.
    #[error("`{key}`: {rule}")]
    Value {
        /// The key, with dots; the whole table when the place is not known.
        key: String,
        /// What it must be.
        rule: String,
    },
}

impl LauncherSettings {
    /// Lays tables over each other, the first one lowest, and over the defaults. A table inside is laid over key by key;
    /// everything else replaces what is below.
    /// # Errors
    /// [`LauncherError::UnknownKey`], [`LauncherError::Value`].
    pub fn from_layers<'a>(layers: impl IntoIterator<Item = &'a Map<String, Value>>) -> Result<Self, LauncherError> {
        let mut merged = Self::default().to_map();
        let shape = Self::shape();
        for layer in layers {
            check_keys(layer, &shape, "")?;
            lay_over(&mut merged, layer);
        }
        let settings: Self = typed(merged)?;
        settings.check()?;
        Ok(settings)
    }

    /// Returns the settings as a table with every key.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            // A struct of strings, numbers and lists is always an object.
            _ => Map::new(),
        }
    }

    /// Tells whether the keys of a top-level table are free.
    #[must_use]
    pub fn is_free_table(key: &str) -> bool {
        ["env", "values", "script"].contains(&key)
    }

    fn shape() -> Map<String, Value> {
        Self::default().to_map()
    }

    /// Tells whether a health check goes to the port that the launcher listens on for the app. Hosts are not compared:
    /// one address has many names.
    fn health_asks_listener(&self) -> bool {
        let Some(listen) = self.listen else { return false };
        let http = self.health.http.as_deref().and_then(http_port);
        let tcp = self.health.tcp.map(|address| address.port());
        [http, tcp].contains(&Some(listen.port()))
    }

    fn check(&self) -> Result<(), LauncherError> {
        let refuse = |key: &str, rule: &str| Err(LauncherError::Value { key: key.to_owned(), rule: rule.to_owned() });
        if self.keep < 2 || self.keep > MAX_KEEP {
            return refuse("keep", "it must be 2 to 100: a version that fails goes back to the one before it");
        }
        if self.log.bytes < MIN_LOG {
            return refuse("log.bytes", "it must be at least 4096");
        }
        if self.log.files > MAX_KEEP {
            return refuse("log.files", "it must be at most 100");
        }
        if self.health.failures == 0 {
            return refuse("health.failures", "it must be at least 1");
        }
        if self.health.limit.duration() < self.health.stay_up.duration() {
            return refuse("health.limit", "it must not be shorter than `health.stay-up`");
        }
        if self.backoff.ceiling.duration() < self.backoff.first.duration() {
            return refuse("backoff.ceiling", "it must not be shorter than `backoff.first`");
        }
        if self.health.http.as_deref().is_some_and(|url| !url.starts_with("http://")) {
            return refuse(
                "health.http",
                "it must begin with `http://`: it is asked of the app itself, on this computer",
            );
        }
        if self.overlap && self.health_asks_listener() {
            return refuse(
                "overlap",
                "it must be false with `health.tcp` or `health.http` on the port of `listen`: of two versions side by \
                 side the old one could answer for the new one; or give the check a port of its own",
            );
        }
        let hooks = &self.hooks;
        let lists = [
            ("hooks.before-swap", &hooks.before_swap),
            ("hooks.after-swap", &hooks.after_swap),
            ("hooks.before-start", &hooks.before_start),
            ("hooks.after-start", &hooks.after_start),
        ];
        if let Some((key, _)) = lists.iter().find(|(_, list)| list.iter().any(Vec::is_empty)) {
            return refuse(key, "each command needs at least a program: [[\"bin/migrate\", \"--now\"]]");
        }
        if self.health.command.as_ref().is_some_and(Vec::is_empty) {
            return refuse("health.command", "it needs at least a program");
        }
        if let Some((name, _)) = self.script.iter().find(|(_, argv)| argv.is_empty()) {
            return refuse(&format!("script.{name}"), "it needs at least a program");
        }
        if let Some((name, _)) = self.env.iter().find(|(name, _)| name.is_empty() || name.contains(['=', '\0'])) {
            return refuse(&format!("env.{name}"), "it is no name of a variable");
        }
        Ok(())
    }
}

/// Returns the port of an `http://` URL.
fn http_port(url: &str) -> Option<u16> {
    let host = url.strip_prefix("http://")?.split(['/', '?', '#']).next()?;
    match host.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => port.parse().ok(),
        _ => Some(80),
    }
}

/// Refuses keys that the full table does not have.
fn check_keys(table: &Map<String, Value>, shape: &Map<String, Value>, above: &str) -> Result<(), LauncherError> {
    for (key, value) in table {
        let path = format!("{above}{key}");
        let Some(expected) = shape.get(key) else {
            let known = shape.keys().map(|known| format!("{above}{known}")).collect();
            return Err(LauncherError::UnknownKey { key: path, known });
        };
        if let (Value::Object(inner), Value::Object(expected)) = (value, expected)
            && !LauncherSettings::is_free_table(&path)
        {
            check_keys(inner, expected, &format!("{path}."))?;
        }
    }
    Ok(())
}

fn lay_over(below: &mut Map<String, Value>, above: &Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(key), value) {
            (Some(Value::Object(inner)), Value::Object(value)) => lay_over(inner, value),
            _ => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Reads the table key by key, so that an error can name the key.
fn typed(merged: Map<String, Value>) -> Result<LauncherSettings, LauncherError> {
    let failed = |key: String, error: serde_json::Error| LauncherError::Value { key, rule: error.to_string() };
    let whole = Value::Object(merged.clone());
    let Err(error) = serde_json::from_value::<LauncherSettings>(whole) else {
        return serde_json::from_value(Value::Object(merged)).map_err(|error| failed("launcher".to_owned(), error));
    };
    // The culprit is the key that still fails when all others are the defaults.
    let defaults = LauncherSettings::default().to_map();
    for (key, value) in &merged {
        let mut one = defaults.clone();
        one.insert(key.clone(), value.clone());
        if let Err(error) = serde_json::from_value::<LauncherSettings>(Value::Object(one)) {
            return Err(failed(key.clone(), error));
        }
    }
    Err(failed("launcher".to_owned(), error))
}

/// The most versions or log files that are kept: 100 each.
const MAX_KEEP: u32 = 100;
/// The smallest log file, in bytes: below it every line would begin a new one.
const MIN_LOG: u64 = 4096;

#[cfg(test)]
mod tests;
