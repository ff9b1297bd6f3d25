//! Where passwords come from: stdin, an environment variable, or a person on a terminal. Never from the command line.

use super::environment::environment;
use super::error::KeyError;
use super::signer::Signer;
use crate::context::Prompts;
use std::io::BufRead as _;
use zeroize::Zeroizing;

/// The password for encrypted keys, found once and tried for each.
#[derive(Clone)]
pub struct Passwords {
    known: Option<Zeroizing<String>>,
    prompts: Prompts,
}

impl Passwords {
    /// Knows no password yet.
    #[must_use]
    pub fn none(prompts: Prompts) -> Self {
        Self { known: None, prompts }
    }

    /// Knows one password.
    #[must_use]
    pub fn known(password: Zeroizing<String>) -> Self {
        Self { known: Some(password), prompts: Prompts::Never }
    }

    /// Takes the password from the first line of stdin when told to, else from `UPDATER_KEY_PASSWORD`.
    /// # Errors
    /// [`KeyError::Prompt`] when stdin cannot be read.
    pub fn of_process(prompts: Prompts, from_stdin: bool) -> Result<Self, KeyError> {
        if from_stdin {
            let mut line = Zeroizing::new(String::new());
            std::io::stdin().lock().read_line(&mut line).map_err(|source| KeyError::Prompt { source })?;
            return Ok(Self::known(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned())));
        }
        Ok(Self { known: environment(KEY_PASSWORD), prompts })
    }

    /// Unlocks a key: with the known password, else with one that a person types, three attempts.
    /// # Errors
    /// What [`Signer::from_text`] returns, and [`KeyError::NoPassword`] when there is nobody to ask.
    pub fn open(&mut self, origin: &str, text: &str) -> Result<Signer, KeyError> {
        let known = self.known.clone();
        let first = Signer::from_text(origin, text, || known.map_or_else(|| self.ask(origin, ""), Ok));
        let mut outcome = first;
        for _ in 1..ATTEMPTS {
            match outcome {
                Err(KeyError::WrongPassword { .. }) if self.prompts == Prompts::Allowed => {
                    outcome = Signer::from_text(origin, text, || self.ask(origin, "Wrong password. "));
                }
                _ => break,
            }
        }
        outcome
    }

    /// Returns the password for a new key: the known one, else one that a person types twice.
    /// # Errors
    /// [`KeyError::NoNewPassword`] when there is nobody to ask.
    pub fn for_new_key(&mut self) -> Result<Zeroizing<String>, KeyError> {
        if let Some(known) = &self.known {
            return Ok(known.clone());
        }
        if self.prompts == Prompts::Never {
            return Err(KeyError::NoNewPassword);
        }
        let typed = dialoguer::Password::new()
            .with_prompt("Password for the new keys (six random words are a good one)")
            .with_confirmation("The same again", "they differ, try again")
            .interact()
            .map_err(prompt_failed)?;
        Ok(self.known.insert(Zeroizing::new(typed)).clone())
    }

    fn ask(&mut self, origin: &str, before: &str) -> Result<Zeroizing<String>, KeyError> {
        if self.prompts == Prompts::Never {
            return Err(KeyError::NoPassword { origin: origin.to_owned() });
        }
        let prompt = format!("{before}Password for {origin}");
        let typed = dialoguer::Password::new().with_prompt(prompt).allow_empty_password(true).interact();
        Ok(self.known.insert(Zeroizing::new(typed.map_err(prompt_failed)?)).clone())
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passwords").field("known", &self.known.is_some()).finish_non_exhaustive()
    }
}

fn prompt_failed(error: dialoguer::Error) -> KeyError {
    let dialoguer::Error::IO(source) = error;
    KeyError::Prompt { source }
}

/// The variable with the password of key files.
pub(super) const KEY_PASSWORD: &str = "UPDATER_KEY_PASSWORD";
/// How often a person may mistype.
const ATTEMPTS: u32 = 3;
