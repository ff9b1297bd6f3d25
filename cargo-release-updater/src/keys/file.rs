//! Key files on disk: `<role>.key` and `<role>.pub` in one folder per app, outside the repository by default.

use super::error::KeyError;
use super::pack::SecretText;
use super::private::{Access, create_private_folder, io, refuse_readable_by_others, write_new};
use super::prompt::Passwords;
use super::role::KeyRole;
use super::signer::{Signer, base64_line, is_encrypted, public_line};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use updater_format::{AppId, MinisignKey};
use zeroize::Zeroizing;

/// What protects a key file besides its permissions.
#[derive(Debug)]
pub enum Protection {
    /// Nothing: whoever can read the file can sign.
    Plain,
    /// A password.
    Password(Zeroizing<String>),
}

/// The folder with the keys of one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFolder {
    path: PathBuf,
}

/// One public key file, with the secret one beside it where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// The file's name without its ending: the role it was made for, as a rule.
    pub name: String,
    /// The public key.
    pub public: MinisignKey,
    /// The secret key, or what names the command that holds it, when it is on this machine.
    pub secret: Option<PathBuf>,
}

impl KeyFolder {
    /// Names a folder; it need not exist yet.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Returns the folder of an app below the user's configuration: `$XDG_CONFIG_HOME`, else `~/.config`.
    /// # Errors
    /// [`KeyError::NoFolder`] without both variables.
    pub fn of_app(app: &AppId) -> Result<Self, KeyError> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
        let config = config.ok_or(KeyError::NoFolder)?;
        Ok(Self::at(config.join("cargo-updater").join("keys").join(app.as_str())))
    }

    /// Returns the path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the names of the folders beside it: the apps that have keys on this machine, as a rule.
    #[must_use]
    pub fn others(&self) -> Vec<String> {
        let entries = self.path.parent().and_then(|parent| std::fs::read_dir(parent).ok()).into_iter().flatten();
        let folders = entries.filter_map(Result::ok).filter(|entry| entry.path().is_dir() && entry.path() != self.path);
        folders.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Makes the folder, readable by its owner alone.
    /// # Errors
    /// [`KeyError::Io`] when it cannot be made.
    pub fn make(&self) -> Result<(), KeyError> {
        create_private_folder(&self.path)
    }

    /// Returns the folder for keys that are for trying out: apart, so that none of them is ever taken for a real one.
    #[must_use]
    pub fn development(&self) -> Self {
        Self::at(self.path.join(DEVELOPMENT))
    }

    /// Returns where the secret key of a role lies or would lie.
    #[must_use]
    pub fn secret_path(&self, role: &KeyRole) -> PathBuf {
        self.path.join(format!("{}.key", role.as_str()))
    }

    /// Lists the public keys in the folder, in order of name, then those for trying out. A folder that does not exist
    /// has none.
    /// # Errors
    /// [`KeyError`] when the folder or a public key in it cannot be read.
    pub fn list(&self) -> Result<Vec<KeyFile>, KeyError> {
        let mut files = self.list_own()?;
        files.extend(self.development().list_own()?.into_iter().map(|file| {
            let name = format!("{DEVELOPMENT}/{}", file.name);
            KeyFile { name, ..file }
        }));
        Ok(files)
    }

    fn list_own(&self) -> Result<Vec<KeyFile>, KeyError> {
        let entries = match std::fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(io("read", &self.path)(source)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(io("read", &self.path))?.path();
            if path.extension().is_some_and(|ending| ending == "pub") {
                files.push(KeyFile::read(&path)?);
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// Returns the key of a role by its file name; `None` when there is none.
    /// # Errors
    /// [`KeyError`] when its public file cannot be read.
    pub fn find(&self, role: &KeyRole) -> Result<Option<KeyFile>, KeyError> {
        let path = self.path.join(format!("{}.pub", role.as_str()));
        if path.exists() { KeyFile::read(&path).map(Some) } else { Ok(None) }
    }

    /// Makes a key: the folder with mode 0700, the secret file with 0600, both halves on disk before it returns.
    /// # Errors
    /// [`KeyError::Exists`] when either file is there already: keys are never overwritten.
    pub fn create(&self, app: &AppId, role: &KeyRole, protection: &Protection) -> Result<Signer, KeyError> {
        self.create_named(role.as_str(), app, role, protection)
    }

    /// Returns the file name, without its ending, that the next key of a role gets: `online`, then `online-2`, and so on.
    #[must_use]
    pub fn next_name(&self, role: &KeyRole) -> String {
        let is_free = |name: &String| {
            let path = self.path.join(format!("{name}.key"));
            path.symlink_metadata().is_err() && path.with_extension("pub").symlink_metadata().is_err()
        };
        let later = (2_u32..).map(|number| format!("{}-{number}", role.as_str()));
        std::iter::once(role.as_str().to_owned()).chain(later).find(is_free).unwrap_or_default()
    }

    /// Makes the key of this file name, or takes the one that an interrupted call has made. Only for a name that
    /// [`KeyFolder::next_name`] gave and that was written down before.
    /// # Errors
    /// As [`KeyFolder::create`].
    pub fn create_or_finish(
        &self,
        name: &str,
        app: &AppId,
        role: &KeyRole,
        plain: bool,
        passwords: &mut Passwords,
    ) -> Result<MinisignKey, KeyError> {
        let secret_path = self.path.join(format!("{name}.key"));
        let public_path = secret_path.with_extension("pub");
        match (public_path.is_file(), secret_path.is_file()) {
            (true, true) => Ok(KeyFile::read(&public_path)?.public),
            (false, true) => {
                let signer = unlock(&secret_path, passwords)?;
                self.write_public(&public_path, app, role, &signer)?;
                Ok(signer.public().clone())
            }
            (_, false) => {
                let protection = match plain {
                    true => Protection::Plain,
                    false => Protection::Password(passwords.for_new_key()?),
                };
                Ok(self.create_named(name, app, role, &protection)?.public().clone())
            }
        }
    }

    /// Tells whether the file of this name has this public key.
    #[must_use]
    pub fn has(&self, name: &str, public: &MinisignKey) -> bool {
        KeyFile::read(&self.path.join(format!("{name}.pub"))).is_ok_and(|file| file.public == *public)
    }

    /// Removes both halves of a key that was made for something that was given up, and returns their paths; none unless the
    /// file of this name has that very public key.
    /// # Errors
    /// [`KeyError::Io`] when a file cannot be removed.
    pub fn remove_unused(&self, name: &str, public: &MinisignKey) -> Result<Vec<PathBuf>, KeyError> {
        if !self.has(name, public) {
            return Ok(Vec::new());
        }
        let public_path = self.path.join(format!("{name}.pub"));
        // The public half last: as long as it is there the rest is found by it.
        let paths = [public_path.with_extension("key"), public_path];
        let mut removed = Vec::new();
        for path in paths.into_iter().filter(|path| path.symlink_metadata().is_ok()) {
            std::fs::remove_file(&path).map_err(io("remove", &path))?;
            removed.push(path);
        }
        Ok(removed)
    }

    /// Puts a key from elsewhere into the folder, both halves or the public one.
    /// # Errors
    /// [`KeyError::Exists`] when a file of that name is there already.
    pub fn put(&self, name: &str, public: &MinisignKey, secret: Option<&SecretText>) -> Result<KeyFile, KeyError> {
        let path = self.path.join(format!("{name}.pub"));
        let secret_path = path.with_extension("key");
        for path in [&path, &secret_path] {
            if path.symlink_metadata().is_ok() {
                return Err(KeyError::Exists { path: path.clone() });
            }
        }
        create_private_folder(&self.path)?;
        if let Some(secret) = secret {
            write_new(&secret_path, secret.as_str().as_bytes(), Access::Owner)?;
        }
        let text = format!("untrusted comment: minisign public key {}\n{}\n", public.id_text(), public_line(public));
        write_new(&path, text.as_bytes(), Access::Everybody)?;
        KeyFile::read(&path)
    }

    fn create_named(
        &self,
        name: &str,
        app: &AppId,
        role: &KeyRole,
        protection: &Protection,
    ) -> Result<Signer, KeyError> {
        let secret_path = self.path.join(format!("{name}.key"));
        let public_path = secret_path.with_extension("pub");
        for path in [&secret_path, &public_path] {
            if path.symlink_metadata().is_ok() {
                return Err(KeyError::Exists { path: path.clone() });
            }
        }
        let password = match protection {
            Protection::Plain => None,
            Protection::Password(password) => Some(password.as_str()),
        };
        let comment = format!("{} {} secret key of cargo updater", app, role.as_str());
        let (signer, text) = Signer::generate(&comment, password)?;
        create_private_folder(&self.path)?;
        write_new(&secret_path, text.as_bytes(), Access::Owner)?;
        self.write_public(&public_path, app, role, &signer)?;
        Ok(signer)
    }

    fn write_public(&self, path: &Path, app: &AppId, role: &KeyRole, signer: &Signer) -> Result<(), KeyError> {
        let public = format!(
            "untrusted comment: {app} {} minisign public key {}\n{}\n",
            role.as_str(),
            signer.public().id_text(),
            signer.public_line()
        );
        write_new(path, public.as_bytes(), Access::Everybody)?;
        let folder = std::fs::File::open(&self.path).and_then(|folder| folder.sync_all());
        folder.map_err(io("write", &self.path))
    }
}

impl KeyFile {
    /// Reads a public key file and looks for the secret one beside it.
    /// # Errors
    /// [`KeyError`] when it cannot be read or is no minisign public key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = std::fs::read_to_string(path).map_err(io("read", path))?;
        let public =
            MinisignKey::parse(&text).map_err(|source| KeyError::NotAPublicKey { path: path.to_owned(), source })?;
        let mut secrets = ["key", "signer"].into_iter().map(|ending| path.with_extension(ending));
        let secret = secrets.find(|secret| secret.is_file());
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, public, secret })
    }

    /// Returns the public key as a line of base64.
    #[must_use]
    pub fn public_line(&self) -> String {
        public_line(&self.public)
    }

    /// Tells whether the secret key is encrypted; `None` when it is not on this machine or not readable.
    #[must_use]
    pub fn is_encrypted(&self) -> Option<bool> {
        if self.is_external() {
            return None;
        }
        let text = Zeroizing::new(std::fs::read_to_string(self.secret.as_ref()?).ok()?);
        is_encrypted(base64_line(&text)?)
    }

    /// Tells whether a command holds the secret key.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.secret.as_ref().is_some_and(|path| path.extension().is_some_and(|ending| ending == "signer"))
    }

    /// Unlocks the secret key; `None` when it is not on this machine.
    /// # Errors
    /// [`KeyError`] when others can read the file, the password is wrong, or the halves do not belong together.
    pub fn unlock(&self, passwords: &mut Passwords) -> Result<Option<Signer>, KeyError> {
        let Some(path) = &self.secret else { return Ok(None) };
        if self.is_external() {
            return Signer::elsewhere(path, self.public.clone()).map(Some);
        }
        let signer = unlock(path, passwords)?;
        let origin = path.display().to_string();
        if signer.public() != &self.public {
            return Err(KeyError::Mismatch { origin });
        }
        Ok(Some(signer))
    }
}

fn unlock(path: &Path, passwords: &mut Passwords) -> Result<Signer, KeyError> {
    refuse_readable_by_others(path)?;
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(io("read", path))?);
    passwords.open(&path.display().to_string(), &text)
}

/// The folder below for keys that are for trying out.
const DEVELOPMENT: &str = "development";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Prompts;

    fn folder() -> (tempfile::TempDir, KeyFolder, AppId) {
        let temp = tempfile::tempdir().unwrap();
        let keys = KeyFolder::at(temp.path().join("keys/hello"));
        (temp, keys, AppId::parse("hello").unwrap())
    }

    #[test]
    fn a_key_is_made_once_listed_and_unlocked() {
        let (_temp, keys, app) = folder();
        assert_eq!(keys.list().unwrap(), []);
        let made = keys.create(&app, &KeyRole::Root, &Protection::Plain).unwrap();
        let again = keys.create(&app, &KeyRole::Root, &Protection::Plain);
        assert!(matches!(again, Err(KeyError::Exists { path }) if path == keys.secret_path(&KeyRole::Root)));
        let listed = keys.list().unwrap();
        assert_eq!((listed.len(), listed[0].name.as_str(), listed[0].is_encrypted()), (1, "root", Some(false)));
        let signer = listed[0].unlock(&mut Passwords::none(Prompts::Never)).unwrap().unwrap();
        assert_eq!(signer.public(), made.public());
        assert_eq!(keys.find(&KeyRole::Online).unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn files_are_private_and_a_readable_one_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_temp, keys, app) = folder();
        keys.create(&app, &KeyRole::Online, &Protection::Plain).unwrap();
        let secret = keys.secret_path(&KeyRole::Online);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(keys.path()), mode(&secret)), (0o700, 0o600));
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = keys.list().unwrap()[0].unlock(&mut Passwords::none(Prompts::Never));
        assert!(matches!(refused, Err(KeyError::Readable { mode: 0o640, .. })));
    }

    #[test]
    fn the_halves_must_belong_together() {
        let (_temp, keys, app) = folder();
        for role in [KeyRole::Root, KeyRole::Targets] {
            keys.create(&app, &role, &Protection::Plain).unwrap();
        }
        std::fs::copy(keys.path().join("root.pub"), keys.path().join("targets.pub")).unwrap();
        let targets = keys.find(&KeyRole::Targets).unwrap().unwrap();
        assert!(matches!(targets.unlock(&mut Passwords::none(Prompts::Never)), Err(KeyError::Mismatch { .. })));
    }
}
