//! What a program does about updates when nobody is asked: a service, a job, a tool in scripts (feature `policy`).

use crate::error::Error;
use crate::install::Staged;
use crate::status::{NoUpdate, Status};
use crate::update::Update;
use crate::updater::Updater;
use updater_format::{AppId, ReleaseVersion};

/// What a program does about updates by itself. The app has a default; whoever runs it has the last word, by the variable
/// that [`Policy::variable`] names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Download and prepare updates; the app installs them when it suits it.
    Auto,
    /// Look for updates and tell; take none.
    Notify,
    /// Ask no server.
    Off,
}

impl Policy {
    /// Every policy, the boldest first.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Notify, Self::Off];

    /// Returns the word that people write.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Notify => "notify",
            Self::Off => "off",
        }
    }

    /// Returns the environment variable with which whoever runs an app chooses: the app id in capitals, with `_` for `-`, and
    /// `_UPDATES`. For the app `night-watch` that is `NIGHT_WATCH_UPDATES`.
    #[must_use]
    pub fn variable(app: &AppId) -> String {
        let name = app.as_str().to_ascii_uppercase().replace('-', "_");
        // A variable cannot begin with a digit in a shell.
        let digit = name.starts_with(|first: char| first.is_ascii_digit());
        format!("{}{name}_UPDATES", if digit { "_" } else { "" })
    }

    /// Returns the policy that a value of the variable means. `1`, `true`, `yes` and `on` mean the default, as does an empty
    /// value; `0`, `false`, `no`, `never` and every other word mean [`Policy::Off`], because whoever set it wanted less.
    #[must_use]
    pub fn chosen(default: Self, value: Option<&str>) -> Self {
        let Some(value) = value.map(|value| value.trim().to_ascii_lowercase()) else { return default };
        match value.as_str() {
            "" | "1" | "true" | "yes" | "on" => default,
            word => Self::ALL.into_iter().find(|policy| policy.as_str() == word).unwrap_or_else(|| {
                if !["0", "false", "no", "never"].contains(&word) {
                    log::warn!("{value:?} is neither `auto`, `notify` nor `off`: no updates are looked for");
                }
                Self::Off
            }),
        }
    }
}

impl std::fmt::Display for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Policy {
    type Err = UnknownPolicy;
    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.as_str() == text)
            .ok_or_else(|| UnknownPolicy { found: text.to_owned() })
    }
}

/// A word that is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no policy for updates: it must be `auto`, `notify` or `off`")]
pub struct UnknownPolicy {
    found: String,
}

/// What came of following a policy.
#[derive(Debug)]
#[must_use = "a prepared update does nothing until it is installed"]
pub enum Followed {
    /// The policy is [`Policy::Off`], or the variable says so: no server was asked.
    Off,
    /// There is no update, or it is not time to look for one.
    NoUpdate(NoUpdate),
    /// There is an update, and the policy is [`Policy::Notify`].
    Announced(Box<Update>),
    /// The update is downloaded, checked and able to start. Install it now ([`Staged::install`], then restart when it suits)
    /// or let the next start do so ([`Staged::install_at_next_start`]).
    Ready(Box<Staged>),
}

impl Followed {
    /// Returns the version that was announced or prepared.
    #[must_use]
    pub fn version(&self) -> Option<&ReleaseVersion> {
        match self {
            Self::Announced(update) => Some(update.version()),
            Self::Ready(staged) => Some(staged.version()),
            Self::Off | Self::NoUpdate(_) => None,
        }
    }
}

impl Updater {
    /// Returns the policy in force: that of the variable [`Policy::variable`] of this app, else the default. A disabled
    /// updater has [`Policy::Off`].
    #[must_use]
    pub fn policy(&self, default: Policy) -> Policy {
        let Some(app) = self.app() else { return Policy::Off };
        let value = std::env::var_os(Policy::variable(app));
        Policy::chosen(default, value.as_deref().map(std::ffi::OsStr::to_string_lossy).as_deref())
    }

    /// Does what the policy in force says, asking nobody. Blocks; asks a server at most once in the interval of the settings,
    /// as [`Updater::check_if_due`].
    ///
    /// ```no_run
    /// # fn example(updater: &updater_runtime::Updater) -> Result<(), updater_runtime::Error> {
    /// use updater_runtime::{Followed, Policy};
    /// match updater.follow(Policy::Auto)? {
    ///     Followed::Announced(update) => println!("version {} is available", update.version()),
    ///     Followed::Ready(staged) => staged.install()?.restart()?.hand_over(),
    ///     Followed::Off | Followed::NoUpdate(_) => {}
    /// }
    /// # Ok(())
    /// # }
    /// ```
    /// # Errors
    /// As [`Updater::check_if_due`] and [`Update::download`].
    pub fn follow(&self, default: Policy) -> Result<Followed, Error> {
        let policy = self.policy(default);
        if policy == Policy::Off {
            return Ok(Followed::Off);
        }
        match (self.check_if_due()?, policy) {
            (Status::NoUpdate(why), _) => Ok(Followed::NoUpdate(why)),
            (Status::Available(update), Policy::Auto) => Ok(Followed::Ready(Box::new(update.download(|_| {})?))),
            (Status::Available(update), _) => Ok(Followed::Announced(update)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_app_has_a_variable_of_its_own() {
        for (app, variable) in
            [("hello", "HELLO_UPDATES"), ("night-watch", "NIGHT_WATCH_UPDATES"), ("7zip_x", "_7ZIP_X_UPDATES")]
        {
            assert_eq!(Policy::variable(&app.parse().unwrap()), variable);
        }
    }

    #[test]
    fn whoever_sets_the_variable_never_gets_more_than_was_written() {
        use Policy::{Auto, Notify, Off};
        for default in Policy::ALL {
            for (value, policy) in [
                (None, default),
                (Some(""), default),
                (Some("yes"), default),
                (Some("auto"), Auto),
                (Some(" Notify "), Notify),
                (Some("off"), Off),
                (Some("0"), Off),
                (Some("NO"), Off),
                (Some("atuo"), Off),
            ] {
                assert_eq!(Policy::chosen(default, value), policy, "{default} {value:?}");
            }
        }
    }

    #[test]
    fn words_come_back() {
        for policy in Policy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        let error = "always".parse::<Policy>().unwrap_err().to_string();
        assert_eq!(error, "\"always\" is no policy for updates: it must be `auto`, `notify` or `off`");
    }

    #[test]
    fn off_asks_no_server_and_a_disabled_updater_is_off() {
        let updater = Updater::disabled("no root".to_owned());
        assert_eq!(updater.policy(Policy::Auto), Policy::Off);
        assert!(matches!(updater.follow(Policy::Auto), Ok(Followed::Off)));
    }
}
