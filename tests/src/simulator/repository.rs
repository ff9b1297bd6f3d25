//! What a simulated repository holds, and how its documents are made when somebody asks for them.

use super::keys::{SigningKey, keyring, sign, sign_value};
use super::{Fault, TRIPLE};
use crate::clock::SimulatedClock;
use std::collections::BTreeMap;
use std::sync::Arc;
use updater_format::json::{self, Map, Value};
use updater_format::release::{Artifact, BundleEntry, Entry};
use updater_format::role::{
    DelegatedRole, MetaFile, Payload, RoleName, Root, RootExtension, Snapshot, Targets, TargetsExtension, Timestamp,
};
use updater_format::{AppId, Channel, InstallKind, Sha256, TargetName, UtcTime};

/// The state of a simulated repository. Every field may be changed at any time; the next request sees it.
#[derive(Debug, Clone)]
pub struct Repository {
    /// The app it belongs to.
    pub app: AppId,
    /// Who signs what from now on.
    pub signers: Signers,
    /// The newest root. It is served at its version.
    pub root: Root,
    /// The older roots, by version, as they were published.
    pub old_roots: BTreeMap<u64, Vec<u8>>,
    /// The timestamp; what it says of the snapshot is filled in while [`Repository::pins`] is set.
    pub timestamp: Timestamp,
    /// The snapshot; what it says of the roles is filled in while [`Repository::pins`] is set.
    pub snapshot: Snapshot,
    /// The top-level targets role.
    pub targets: Targets,
    /// The delegated roles by name: one per channel.
    pub roles: BTreeMap<String, Targets>,
    /// The files below `targets/`, by file name.
    pub artifacts: BTreeMap<String, Vec<u8>>,
    /// Whether timestamp and snapshot describe the documents as they now are. A test that makes them lie turns it off.
    pub pins: bool,
    /// What goes wrong with a file, by its path, for example `metadata/timestamp.json`.
    pub faults: BTreeMap<String, Fault>,
    /// Whether answers carry an entity tag and `304` is answered.
    pub etags: bool,
    edits: BTreeMap<String, Vec<Edit>>,
}

/// A change that the types of a payload cannot express.
#[derive(Clone)]
enum Edit {
    /// Of the `signed` part, before it is signed.
    Signed(Arc<dyn Fn(&mut Value) + Send + Sync>),
    /// Of the whole document, after it was signed.
    Document(Arc<dyn Fn(&mut Value) + Send + Sync>),
}

impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Signed(_) => "Signed(..)",
            Self::Document(_) => "Document(..)",
        })
    }
}

/// The keys that sign. They need not be those that the root lists.
#[derive(Debug, Clone)]
pub struct Signers {
    /// Sign the newest root.
    pub root: Vec<SigningKey>,
    /// Sign the top-level targets role.
    pub targets: Vec<SigningKey>,
    /// Sign the snapshot.
    pub snapshot: Vec<SigningKey>,
    /// Sign the timestamp.
    pub timestamp: Vec<SigningKey>,
    /// Sign the delegated roles, by role.
    pub roles: BTreeMap<String, Vec<SigningKey>>,
}

impl Repository {
    pub(super) fn new(clock: &SimulatedClock) -> Self {
        let app: AppId = "hello".parse().expect("a valid id");
        let [root, targets, online] = [1, 2, 3].map(SigningKey::from_seed);
        let roles =
            [("stable", 4), ("beta", 5)].map(|(name, seed)| (name.to_owned(), vec![SigningKey::from_seed(seed)]));
        let signers = Signers {
            root: vec![root],
            targets: vec![targets],
            snapshot: vec![online.clone()],
            timestamp: vec![online],
            roles: roles.into(),
        };
        let expires = clock.in_days(365);
        let mut repository = Self {
            root: Root {
                version: 1,
                expires,
                consistent_snapshot: true,
                roles: [
                    (RoleName::Root, keyring(&signers.root, 1)),
                    (RoleName::Targets, keyring(&signers.targets, 1)),
                    (RoleName::Snapshot, keyring(&signers.snapshot, 1)),
                    (RoleName::Timestamp, keyring(&signers.timestamp, 1)),
                ]
                .into(),
                extension: Some(RootExtension {
                    app: app.clone(),
                    keys: BTreeMap::new(),
                    development: false,
                    extra: Map::new(),
                }),
                unused_keys: BTreeMap::new(),
                extra: Map::new(),
            },
            old_roots: BTreeMap::new(),
            timestamp: Timestamp {
                version: 1,
                expires: clock.in_days(7),
                snapshot: MetaFile::of(1, b""),
                extension: None,
                extra: Map::new(),
            },
            snapshot: Snapshot { version: 1, expires: clock.in_days(180), roles: BTreeMap::new(), extra: Map::new() },
            targets: empty_role(&app, None, expires),
            roles: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            pins: true,
            faults: BTreeMap::new(),
            etags: true,
            edits: BTreeMap::new(),
            app,
            signers,
        };
        for channel in ["stable", "beta"] {
            repository.add_channel(channel, clock.in_days(180));
        }
        repository
    }

    /// Adds a channel whose signers are known, with an empty role.
    pub fn add_channel(&mut self, channel: &str, expires: UtcTime) {
        let name: Channel = channel.parse().expect("a valid channel");
        let role = empty_role(&self.app, Some(name), expires);
        self.roles.insert(channel.to_owned(), role);
        let delegation = DelegatedRole {
            name: channel.to_owned(),
            keyring: keyring(&self.signers.roles[channel], 1),
            terminating: false,
            paths: vec![format!("{}-*", self.app)],
            extra: Map::new(),
        };
        self.targets.delegations.get_or_insert_default().roles.push(delegation);
    }

    /// Returns the role of the channel `stable`.
    pub fn stable(&mut self) -> &mut Targets {
        self.role("stable")
    }

    /// Returns a delegated role.
    pub fn role(&mut self, name: &str) -> &mut Targets {
        self.roles.get_mut(name).expect("the simulator has this role")
    }

    /// Publishes a release: its bundle goes into the channel's role, and role, snapshot and timestamp get new versions.
    /// The content is whatever `bytes` are; a test that installs it gives a real bundle to [`Repository::add`].
    pub fn release(&mut self, channel: &str, version: &str, bytes: &[u8]) -> Artifact {
        let artifact = Artifact {
            name: TargetName::parse(&format!("{}-{version}-{TRIPLE}.tar.xz", self.app)).expect("a valid name"),
            length: bytes.len() as u64,
            sha256: Sha256::of(bytes),
        };
        let entry = Entry::Bundle(BundleEntry {
            artifact: artifact.clone(),
            version: version.parse().expect("a valid version"),
            platform: TRIPLE.parse().expect("a valid triple"),
            install: InstallKind::Executable,
            unpacked: bytes.len() as u64,
            files: 1,
            manifest: Sha256::of(b"no manifest: nobody unpacks this"),
            codecs: vec!["refs-1".to_owned()],
            epoch: 0,
            libc: None,
            notes: None,
            released: None,
            metadata: Map::new(),
            component: None,
            minimum_app: None,
        });
        self.add(channel, &entry, bytes);
        artifact
    }

    /// Publishes one entry of a channel with its content, under new versions of role, snapshot and timestamp.
    pub fn add(&mut self, channel: &str, entry: &Entry, bytes: &[u8]) {
        let (name, file) = entry.to_target(&self.app);
        self.artifacts.insert(format!("{}.{name}", file.hashes.prefix()), bytes.to_vec());
        let role = self.role(channel);
        role.targets.insert(name, file);
        role.version += 1;
        self.bump();
    }

    /// Gives snapshot and timestamp new versions, as each publishing does.
    pub fn bump(&mut self) {
        self.snapshot.version += 1;
        self.timestamp.version += 1;
    }

    /// Freezes the newest root as published and goes on to the next version, signed by the keys that the frozen one lists.
    pub fn next_root(&mut self) -> &mut Root {
        let published = self.root_bytes();
        self.old_roots.insert(self.root.version, published);
        let listed = self.root.keyring(RoleName::Root);
        self.signers.root.retain(|key| listed.keys().iter().any(|(id, _)| *id == key.id()));
        self.root.version += 1;
        &mut self.root
    }

    /// Gives a top-level role a new key in a new root. A new root key signs together with the old ones, as it must.
    pub fn rotate(&mut self, role: RoleName, seed: u8) {
        let key = SigningKey::from_seed(seed);
        let ring = keyring(std::slice::from_ref(&key), 1);
        self.next_root().roles.insert(role, ring);
        match role {
            RoleName::Root => self.signers.root.push(key),
            RoleName::Targets => self.signers.targets = vec![key],
            RoleName::Snapshot => self.signers.snapshot = vec![key],
            RoleName::Timestamp => self.signers.timestamp = vec![key],
        }
    }

    /// Changes the JSON of a role in a way that its type cannot express; the change is signed.
    pub fn edit(&mut self, role: &str, change: impl Fn(&mut Value) + Send + Sync + 'static) {
        self.edits.entry(role.to_owned()).or_default().push(Edit::Signed(Arc::new(change)));
    }

    /// Changes the whole document of a role after it was signed: its signatures, above all.
    pub fn forge(&mut self, role: &str, change: impl Fn(&mut Value) + Send + Sync + 'static) {
        self.edits.entry(role.to_owned()).or_default().push(Edit::Document(Arc::new(change)));
    }

    /// Signs a role as it now is, edits included.
    fn write<T: Payload>(&self, role: &str, payload: &T, signers: &[SigningKey]) -> Vec<u8> {
        let Some(edits) = self.edits.get(role) else { return sign(payload, signers) };
        let mut signed = payload.to_value();
        for edit in edits {
            if let Edit::Signed(change) = edit {
                change(&mut signed);
            }
        }
        let mut document = sign_value(signed, signers);
        for edit in edits {
            if let Edit::Document(change) = edit {
                change(&mut document);
            }
        }
        json::compact(&document)
    }

    /// Returns the bytes of the newest root.
    #[must_use]
    pub fn root_bytes(&self) -> Vec<u8> {
        self.write("root", &self.root, &self.signers.root)
    }

    /// Returns the paths of all files that are there now, metadata first.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        let mut files: Vec<String> =
            self.old_roots.keys().map(|version| format!("metadata/{version}.root.json")).collect();
        files.push(format!("metadata/{}.root.json", self.root.version));
        files.push("metadata/timestamp.json".to_owned());
        files.push(format!("metadata/{}", self.versioned("snapshot", self.snapshot.version)));
        files.push(format!("metadata/{}", self.versioned("targets", self.targets.version)));
        files.extend(self.roles.iter().map(|(name, role)| format!("metadata/{}", self.versioned(name, role.version))));
        files.extend(self.artifacts.keys().map(|name| format!("targets/{name}")));
        files
    }

    /// Makes a file, without its fault. `None`: there is no such file.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        if let Some(name) = path.strip_prefix("targets/") {
            return self.artifacts.get(name).cloned();
        }
        let name = path.strip_prefix("metadata/")?;
        if name == "timestamp.json" {
            return Some(self.timestamp_bytes());
        }
        if let Some(version) = name.strip_suffix(".root.json") {
            let version: u64 = version.parse().ok()?;
            return match self.old_roots.get(&version) {
                Some(bytes) => Some(bytes.clone()),
                None => (version == self.root.version).then(|| self.root_bytes()),
            };
        }
        if name == self.versioned("snapshot", self.snapshot.version) {
            return Some(self.snapshot_bytes());
        }
        if name == self.versioned("targets", self.targets.version) {
            return Some(self.targets_bytes());
        }
        let (role, _) = self.roles.iter().find(|(role, payload)| name == self.versioned(role, payload.version))?;
        Some(self.role_bytes(role))
    }

    fn versioned(&self, role: &str, version: u64) -> String {
        let role = updater_format::trust::quote(role);
        if self.root.consistent_snapshot { format!("{version}.{role}.json") } else { format!("{role}.json") }
    }

    fn targets_bytes(&self) -> Vec<u8> {
        self.write("targets", &self.targets, &self.signers.targets)
    }

    fn role_bytes(&self, role: &str) -> Vec<u8> {
        let signers = self.signers.roles.get(role).map_or(&[][..], Vec::as_slice);
        self.write(role, &self.roles[role], signers)
    }

    fn snapshot_bytes(&self) -> Vec<u8> {
        let mut snapshot = self.snapshot.clone();
        if self.pins {
            let targets = MetaFile::of(self.targets.version, &self.targets_bytes());
            snapshot.roles.insert("targets".to_owned(), targets);
            for (name, role) in &self.roles {
                snapshot.roles.insert(name.clone(), MetaFile::of(role.version, &self.role_bytes(name)));
            }
        }
        self.write("snapshot", &snapshot, &self.signers.snapshot)
    }

    fn timestamp_bytes(&self) -> Vec<u8> {
        let mut timestamp = self.timestamp.clone();
        if self.pins {
            timestamp.snapshot = MetaFile::of(self.snapshot.version, &self.snapshot_bytes());
        }
        self.write("timestamp", &timestamp, &self.signers.timestamp)
    }

    /// Writes into snapshot and timestamp what they would say now, and stops keeping it up to date: the start of a lie.
    pub fn unpin(&mut self) {
        let targets = MetaFile::of(self.targets.version, &self.targets_bytes());
        self.snapshot.roles.insert("targets".to_owned(), targets);
        for (name, role) in &self.roles {
            let meta = MetaFile::of(role.version, &self.role_bytes(name));
            self.snapshot.roles.insert(name.clone(), meta);
        }
        self.pins = false;
        self.timestamp.snapshot = MetaFile::of(self.snapshot.version, &self.snapshot_bytes());
    }

    /// Describes the snapshot as it now is in the timestamp, while [`Repository::pins`] is off.
    pub fn pin_snapshot(&mut self) {
        self.timestamp.snapshot = MetaFile::of(self.snapshot.version, &self.snapshot_bytes());
    }
}

fn empty_role(app: &AppId, channel: Option<Channel>, expires: UtcTime) -> Targets {
    Targets {
        version: 1,
        expires,
        targets: BTreeMap::new(),
        delegations: None,
        extension: Some(TargetsExtension {
            app: app.clone(),
            channel,
            rules: Default::default(),
            keys: Default::default(),
            extra: Map::new(),
            components: Default::default(),
        }),
        extra: Map::new(),
    }
}
