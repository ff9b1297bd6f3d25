//! An app with keys, for the tests of the steps.

use super::sign::Trust;
use crate::context::Prompts;
use crate::keys::{KeyFolder, Keychain, Passwords, Signer};
use crate::roles::{Custody, Document, Holders, Purpose, Refresh, first_root, first_targets};
use std::rc::Rc;
use updater_format::release::{Artifact, BundleEntry, ChannelContents};
use updater_format::{AppId, Channel, InstallKind, Sha256, UtcTime};

/// An app with one key for each of root, targets, online and stable.
pub(crate) struct App {
    pub(crate) trust: Trust,
    texts: Vec<String>,
}

impl App {
    /// Makes an app whose root was signed at this time.
    pub(crate) fn at(now: UtcTime) -> Self {
        let app = AppId::parse("hello").unwrap();
        let made: Vec<_> = (0..4).map(|_| Signer::generate("", None).unwrap()).collect();
        let holders = |i: usize| Holders::one(made[i].0.public().clone());
        let custody = Custody {
            root: holders(0),
            targets: holders(1),
            online: holders(2),
            channels: vec![(Channel::stable(), holders(3))],
        };
        let texts = made.iter().map(|(_, text)| text.to_string()).collect();
        let mut signers = made.into_iter().map(|(signer, _)| Rc::new(signer));
        let root = first_root(&app, &custody, Purpose::Development, now).unwrap();
        let root = Document::sign("root", &root, &[signers.next().unwrap()]).unwrap().bytes;
        let targets = first_targets(&app, &custody, Refresh::Never, now).unwrap();
        let targets = Document::sign("targets", &targets, &[signers.next().unwrap()]).unwrap().bytes;
        Self { trust: Trust { app, root, targets, earlier: Vec::new() }, texts }
    }

    /// Returns a keychain with the online key and the channel's.
    pub(crate) fn keychain(&self) -> Keychain {
        self.keychain_with(&[2, 3])
    }

    /// Returns a keychain with some keys: 0 root, 1 targets, 2 online, 3 stable.
    pub(crate) fn keychain_with(&self, keys: &[usize]) -> Keychain {
        let nowhere = KeyFolder::at("/nonexistent".into());
        let mut keychain = Keychain::open(nowhere, Passwords::none(Prompts::Never)).unwrap();
        for key in keys {
            keychain.add(Signer::from_text("test", &self.texts[*key], || panic!("plain")).unwrap());
        }
        keychain
    }
}

/// A channel that lists these versions with their epochs, for one platform.
pub(crate) fn listing(releases: &[(&str, u64)]) -> ChannelContents {
    let bundle = |(version, epoch): &(&str, u64)| BundleEntry {
        artifact: Artifact {
            name: format!("hello-{version}.tar.xz").parse().unwrap(),
            length: version.len() as u64,
            sha256: Sha256::of(version.as_bytes()),
        },
        version: version.parse().unwrap(),
        platform: "x86_64-unknown-linux-gnu".parse().unwrap(),
        install: InstallKind::Executable,
        unpacked: 1,
        files: 1,
        manifest: Sha256::of(version.as_bytes()),
        codecs: Vec::new(),
        epoch: *epoch,
        libc: None,
        notes: None,
        released: None,
        metadata: Default::default(),
        component: None,
        minimum_app: None,
    };
    ChannelContents { bundles: releases.iter().map(bundle).collect(), ..ChannelContents::default() }
}
