//! Two publishers of one app, in processes that share nothing but the storage, at the same instant; a client polls
//! meanwhile. Nothing that was published may be lost, and every state that the client sees must verify.

pub mod client;
pub mod publisher;
pub mod referee;

use cargo_release_updater::keys::{KeyError, Signer};
use cargo_release_updater::roles::{Custody, Document, Holders, Purpose, Refresh, first_root, first_targets};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use updater_format::{AppId, Channel, UtcTime};
use updater_runtime::{Clock as _, SystemClock};

/// What can stop a race.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An app with its keys, in a folder that both publishers read.
#[derive(Debug, Clone)]
pub struct App {
    folder: PathBuf,
}

impl App {
    /// Makes an app with the channels `stable` and `beta`.
    /// # Errors
    /// When a key cannot be made or the folder cannot be written.
    pub fn create(folder: &Path) -> Result<Self, Failure> {
        let app = Self { folder: folder.to_owned() };
        let mut signers = Vec::new();
        for key in ["root", "targets", "online", "channels"] {
            let (signer, text) = Signer::generate("", None)?;
            std::fs::write(app.folder.join(format!("{key}.key")), text.as_bytes())?;
            signers.push(Rc::new(signer));
        }
        let holders = |index: usize| Holders::one(signers[index].public().clone());
        let custody = Custody {
            root: holders(0),
            targets: holders(1),
            online: holders(2),
            channels: vec![(Channel::stable(), holders(3)), (beta()?, holders(3))],
        };
        let root = first_root(&Self::id()?, &custody, Purpose::Release, now())?;
        let targets = first_targets(&Self::id()?, &custody, Refresh::Daily, now())?;
        let sign = |role: &str, bytes: Result<Document, KeyError>| -> Result<(), Failure> {
            Ok(std::fs::write(app.folder.join(format!("{role}.json")), bytes?.bytes)?)
        };
        sign("root", Document::sign("root", &root, &signers[..1]))?;
        sign("targets", Document::sign("targets", &targets, &signers[1..2]))?;
        Ok(app)
    }

    /// Opens an app that was made.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Returns its id.
    /// # Errors
    /// Never: the id is well formed.
    pub fn id() -> Result<AppId, Failure> {
        Ok(AppId::parse("racer")?)
    }

    /// Returns the bytes of a signed role, `root` or `targets`.
    /// # Errors
    /// When it cannot be read.
    pub fn role(&self, role: &str) -> Result<Vec<u8>, Failure> {
        Ok(std::fs::read(self.folder.join(format!("{role}.json")))?)
    }

    fn signer(&self, key: &str) -> Result<Signer, Failure> {
        let text = std::fs::read_to_string(self.folder.join(format!("{key}.key")))?;
        Ok(Signer::from_text(key, &text, || {
            Err(KeyError::NotEnough {
                role: key.to_owned(),
                have: 0,
                threshold: 1,
                wanted: String::new(),
                folder: self.folder.clone(),
            })
        })?)
    }
}

/// Returns the second channel.
/// # Errors
/// Never: the name is well formed.
pub fn beta() -> Result<Channel, Failure> {
    Ok(Channel::parse("beta")?)
}

fn now() -> UtcTime {
    SystemClock::new(UtcTime::from_unix(0)).now()
}
