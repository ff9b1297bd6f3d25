//! Finds the signers of a role: keys are asked for by what the metadata lists, never by file name.

use super::environment::environment;
use super::error::KeyError;
use super::file::{KeyFile, KeyFolder};
use super::prompt::Passwords;
use super::signer::Signer;
use std::collections::BTreeMap;
use std::rc::Rc;
use updater_format::role::KeyOwner;
use updater_format::{KeyId, Keyring, MinisignKey, PublicKey};

/// The keys of one app on this machine, each unlocked at most once.
#[derive(Debug)]
pub struct Keychain {
    folder: KeyFolder,
    files: Vec<KeyFile>,
    passwords: Passwords,
    unlocked: BTreeMap<KeyId, Rc<Signer>>,
    /// What the metadata tells people of keys, those elsewhere included.
    owners: BTreeMap<KeyId, KeyOwner>,
}

impl Keychain {
    /// Lists the keys of a folder and takes the online key from `UPDATER_ONLINE_KEY` when that is set: the text of its
    /// file, with `UPDATER_ONLINE_PASSWORD` when it is encrypted. `UPDATER_KEY` may hold one more, of any role.
    /// # Errors
    /// [`KeyError`] when the folder cannot be read or a variable holds no key.
    pub fn open(folder: KeyFolder, passwords: Passwords) -> Result<Self, KeyError> {
        let mut keychain =
            Self { files: folder.list()?, folder, passwords, unlocked: BTreeMap::new(), owners: BTreeMap::new() };
        if let Some(text) = environment(ONLINE_KEY) {
            let missing = || KeyError::NoPassword { origin: ONLINE_KEY.to_owned() };
            let signer = Signer::from_text(ONLINE_KEY, &text, || environment(ONLINE_PASSWORD).ok_or_else(missing))?;
            keychain.add(signer);
        }
        if let Some(text) = environment(KEY) {
            keychain.add_text(KEY, &text)?;
        }
        Ok(keychain)
    }

    /// Adds a key from the text of its file; its password is found as that of a file is. `origin` names it in errors.
    /// # Errors
    /// What unlocking returns.
    pub fn add_text(&mut self, origin: &str, text: &str) -> Result<(), KeyError> {
        let signer = self.passwords.open(origin, text)?;
        self.add(signer);
        Ok(())
    }

    /// Adds a key that is unlocked already.
    pub fn add(&mut self, signer: Signer) {
        self.unlocked.insert(signer.key_id(), Rc::new(signer));
    }

    /// Adds a key that somebody else uses, too.
    pub(crate) fn add_shared(&mut self, signer: Rc<Signer>) {
        self.unlocked.insert(signer.key_id(), signer);
    }

    /// Learns by which names people know keys that are elsewhere, for messages.
    pub fn learn(&mut self, owners: impl IntoIterator<Item = (KeyId, KeyOwner)>) {
        self.owners.extend(owners);
    }

    /// Returns the folder that was listed.
    #[must_use]
    pub fn folder(&self) -> &KeyFolder {
        &self.folder
    }

    /// Returns the key files that were found.
    #[must_use]
    pub fn files(&self) -> &[KeyFile] {
        &self.files
    }

    /// Tells whether enough keys of a role are here, without unlocking any.
    #[must_use]
    pub fn can_sign(&self, keyring: &Keyring) -> bool {
        self.count(keyring) >= keyring.threshold()
    }

    /// Returns how many keys of a role are here, without unlocking any.
    #[must_use]
    pub fn count(&self, keyring: &Keyring) -> u32 {
        // A keyring has at most a few keys.
        keyring.keys().iter().map(|(_, key)| u32::from(self.has(key))).sum()
    }

    /// Unlocks as many keys of a role as must sign, in the order in which the metadata lists them.
    /// # Errors
    /// [`KeyError::NotEnough`] when too few are here; what unlocking returns.
    pub fn signers(&mut self, role: &str, keyring: &Keyring) -> Result<Vec<Rc<Signer>>, KeyError> {
        let signers = self.some_signers(role, keyring)?;
        match signers.len() < keyring.threshold() as usize {
            true => Err(self.missing(role, keyring)),
            false => Ok(signers),
        }
    }

    /// Unlocks the keys of a role that are here, at most as many as must sign: others elsewhere may sign the rest.
    /// # Errors
    /// [`KeyError::NotEnough`] when none is here; what unlocking returns.
    pub fn some_signers(&mut self, role: &str, keyring: &Keyring) -> Result<Vec<Rc<Signer>>, KeyError> {
        let mut signers = Vec::new();
        for (_, key) in keyring.keys() {
            if signers.len() < keyring.threshold() as usize
                && let Some(signer) = self.unlock(key)?
            {
                signers.push(signer);
            }
        }
        match signers.is_empty() {
            true => Err(self.missing(role, keyring)),
            false => Ok(signers),
        }
    }

    /// Says which keys of a role would have to be here.
    #[must_use]
    pub fn missing(&self, role: &str, keyring: &Keyring) -> KeyError {
        KeyError::NotEnough {
            role: role.to_owned(),
            have: self.count(keyring) as usize,
            threshold: keyring.threshold(),
            wanted: keyring.keys().iter().map(|(_, key)| self.name_of(key)).collect::<Vec<_>>().join(", "),
            folder: self.folder.path().to_owned(),
        }
    }

    /// Unlocks a key; `None` when it is not here.
    /// # Errors
    /// What unlocking returns.
    pub fn signer(&mut self, key: &PublicKey) -> Result<Option<Rc<Signer>>, KeyError> {
        self.unlock(key)
    }

    /// Lists the folder again: a key was made since.
    /// # Errors
    /// [`KeyError`] when the folder or a public key in it cannot be read.
    pub fn look_again(&mut self) -> Result<(), KeyError> {
        self.files = self.folder.list()?;
        Ok(())
    }

    /// Proves the password before anything depends on it: enough of these keys open, or one that has a password. Others may
    /// have passwords of their own, and sign later. Tells whether one with a password was opened.
    /// # Errors
    /// What unlocking returns, when neither is so and it failed.
    pub fn prove_password<'a>(
        &mut self,
        keys: impl IntoIterator<Item = &'a PublicKey>,
        threshold: u32,
    ) -> Result<bool, KeyError> {
        let (mut opened, mut refused) = (0, None);
        for key in keys {
            let is_own = |file: &&KeyFile| file.public.key == *key && file.secret.is_some();
            let has_password = self.files.iter().find(is_own).is_some_and(|file| file.is_encrypted() == Some(true));
            match self.unlock(key) {
                Ok(Some(_)) if has_password => return Ok(true),
                Ok(Some(_)) if opened + 1 >= threshold => return Ok(false),
                Ok(Some(_)) => opened += 1,
                Ok(None) => {}
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        refused.map_or(Ok(false), Err)
    }

    /// Returns the public half of a key with minisign's id for it, when its file is here.
    #[must_use]
    pub fn public(&self, key: &PublicKey) -> Option<&MinisignKey> {
        let unlocked = self.unlocked.values().map(|signer| signer.public());
        self.files.iter().map(|file| &file.public).chain(unlocked).find(|public| public.key == *key)
    }

    /// Tells whether a key is here, without unlocking it.
    #[must_use]
    pub fn has(&self, key: &PublicKey) -> bool {
        self.unlocked.contains_key(&key.id())
            || self.files.iter().any(|file| file.public.key == *key && file.secret.is_some())
    }

    fn unlock(&mut self, key: &PublicKey) -> Result<Option<Rc<Signer>>, KeyError> {
        if let Some(signer) = self.unlocked.get(&key.id()) {
            return Ok(Some(Rc::clone(signer)));
        }
        let Some(file) = self.files.iter().find(|file| file.public.key == *key && file.secret.is_some()) else {
            return Ok(None);
        };
        let Some(signer) = file.unlock(&mut self.passwords)? else {
            return Ok(None);
        };
        let signer = Rc::new(signer);
        self.unlocked.insert(key.id(), Rc::clone(&signer));
        Ok(Some(signer))
    }

    /// Names a key as people know it: minisign's id and who holds it, else the start of its id in the metadata.
    fn name_of(&self, key: &PublicKey) -> String {
        match (self.public(key), self.owners.get(&key.id())) {
            (_, Some(owner)) if !owner.owner.is_empty() => format!("{} ({})", owner.minisign, owner.owner),
            (_, Some(owner)) => owner.minisign.clone(),
            (Some(public), None) => public.id_text(),
            (None, None) => format!("key id {}", &key.id().as_str()[..16.min(key.id().as_str().len())]),
        }
    }
}

/// The variable with a key of any role, for jobs that publish a channel.
pub(super) const KEY: &str = "UPDATER_KEY";
/// The variable with the online key, for scheduled jobs.
pub(super) const ONLINE_KEY: &str = "UPDATER_ONLINE_KEY";
/// The variable with its password.
pub(super) const ONLINE_PASSWORD: &str = "UPDATER_ONLINE_PASSWORD";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Prompts;
    use crate::keys::{KeyRole, Protection};
    use updater_format::AppId;

    #[test]
    fn signers_are_found_by_public_key_up_to_the_threshold() {
        let temp = tempfile::tempdir().unwrap();
        let folder = KeyFolder::at(temp.path().to_owned());
        let app = AppId::parse("hello").unwrap();
        let [a, b] = ["a", "b"].map(|name| {
            folder.create(&app, &KeyRole::parse(name).unwrap(), &Protection::Plain).unwrap().public().key.clone()
        });
        let (elsewhere, _) = Signer::generate("", None).unwrap();
        let elsewhere = elsewhere.public().key.clone();
        let ring = |keys: &[&PublicKey], threshold| {
            Keyring::new(keys.iter().map(|key| (key.id(), (*key).clone())).collect(), threshold).unwrap()
        };
        std::fs::rename(temp.path().join("a.pub"), temp.path().join("renamed.pub")).unwrap();
        std::fs::rename(temp.path().join("a.key"), temp.path().join("renamed.key")).unwrap();
        let mut keychain = Keychain::open(folder, Passwords::none(Prompts::Never)).unwrap();

        let two = ring(&[&elsewhere, &a, &b], 2);
        assert!(keychain.can_sign(&two));
        assert_eq!(keychain.signers("root", &two).unwrap().len(), 2);
        let one = ring(&[&elsewhere, &a, &b], 1);
        assert_eq!(keychain.signers("root", &one).unwrap()[0].public().key, a);
        let three = ring(&[&elsewhere, &a, &b], 3);
        assert!(!keychain.can_sign(&three));
        assert_eq!(keychain.some_signers("stable", &three).unwrap().len(), 2);
        let error = keychain.some_signers("stable", &ring(&[&elsewhere], 1)).unwrap_err();
        assert!(matches!(error, KeyError::NotEnough { have: 0, threshold: 1, .. }), "{error}");
        let error = keychain.signers("root", &three).unwrap_err();
        assert!(matches!(error, KeyError::NotEnough { have: 2, threshold: 3, .. }), "{error}");
        assert!(error.to_string().contains("wanted: key id "), "{error}");
        let owner = KeyOwner { minisign: "0123456789ABCDEF".to_owned(), owner: "Anna".to_owned() };
        keychain.learn([(elsewhere.id(), owner)]);
        let error = keychain.signers("root", &three).unwrap_err();
        assert!(error.to_string().contains("wanted: 0123456789ABCDEF (Anna), "), "{error}");
    }

    #[test]
    fn a_password_is_proven_by_one_key_that_has_it() {
        let temp = tempfile::tempdir().unwrap();
        let folder = KeyFolder::at(temp.path().to_owned());
        let app = AppId::parse("hello").unwrap();
        let make = |name: &str, password: Option<&str>| {
            let protection =
                password.map_or(Protection::Plain, |password| Protection::Password(password.to_owned().into()));
            folder.create(&app, &KeyRole::parse(name).unwrap(), &protection).unwrap().public().key.clone()
        };
        let (plain, one, other) = (make("a", None), make("b", Some("one")), make("c", Some("other")));
        let prove = |password: &str, keys: &[&PublicKey], threshold| {
            let passwords = Passwords::known(password.to_owned().into());
            Keychain::open(folder.clone(), passwords).unwrap().prove_password(keys.iter().copied(), threshold)
        };
        assert!(prove("one", &[&one], 1).unwrap());
        assert!(prove("other", &[&plain, &one, &other], 2).unwrap());
        assert!(!prove("wrong", &[&plain, &one], 1).unwrap(), "enough of them have none");
        assert!(matches!(prove("wrong", &[&plain, &one], 2), Err(KeyError::WrongPassword { .. })));
        let (elsewhere, _) = Signer::generate("", None).unwrap();
        assert!(!prove("wrong", &[&elsewhere.public().key], 1).unwrap());
    }
}
