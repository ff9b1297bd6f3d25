//! `VERSION`: the newest releases of a channel in one signed text, for people and shell scripts that have minisign.
//!
//! Programs read the metadata instead. The text ends with the line `SIGNATURE <base64>`: the `.minisig` of all lines
//! before it, so that text and signature are replaced together.

use crate::keys::{KeyError, Signer};
use base64::Engine as _;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use updater_format::release::{BundleEntry, Entry};
use updater_format::role::{ChannelRules, Percent, Targets};
use updater_format::{AppId, Channel, Platform, ReleaseVersion};

/// Returns where the file of a channel lies in a storage: `VERSION` for `stable`, `VERSION.<channel>` for others.
#[must_use]
pub fn path(channel: &Channel) -> String {
    if *channel == Channel::stable() { "VERSION".to_owned() } else { format!("VERSION.{channel}") }
}

/// Writes the text of a channel's role, signed.
/// # Errors
/// [`KeyError`] when the key cannot sign.
pub fn signed(app: &AppId, channel: &Channel, role: &Targets, signer: &Signer) -> Result<String, KeyError> {
    let text = text(app, channel, role);
    let signature = signer.sign_file(text.as_bytes(), &comment(app, channel, role))?;
    Ok(format!("{text}SIGNATURE {}\n", base64::engine::general_purpose::STANDARD.encode(signature)))
}

/// Returns the trusted comment of the signature.
#[must_use]
pub fn comment(app: &AppId, channel: &Channel, role: &Targets) -> String {
    format!("app={app} channel={channel} role={} file={}", role.version, path(channel))
}

/// Returns the version of the role that a text is made from, as it says itself. Nothing is verified.
#[must_use]
pub fn role_of(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    text.lines().find_map(|line| line.strip_prefix("ROLE "))?.parse().ok()
}

/// Returns the lines that are signed. A release counts when it is for everybody; this is the channel's word, so what the
/// online key holds back is not looked at.
#[must_use]
pub fn text(app: &AppId, channel: &Channel, role: &Targets) -> String {
    let mut text = format!("APP {app}\nCHANNEL {channel}\nROLE {}\nEXPIRES {}\n", role.version, role.expires);
    let mut newest: BTreeMap<Platform, BundleEntry> = BTreeMap::new();
    for (name, file) in &role.targets {
        if let Ok(Some((_, Entry::Bundle(bundle)))) = Entry::from_target(name, file)
            && bundle.component.is_none()
            && role.rules().is_none_or(|rules| is_for_all(rules, &bundle.version))
            && newest.get(&bundle.platform).is_none_or(|known| known.version < bundle.version)
        {
            newest.insert(bundle.platform.clone(), bundle);
        }
    }
    for (platform, bundle) in &newest {
        let artifact = &bundle.artifact;
        // A string takes everything that is written to it.
        let _ = writeln!(text, "CURRENT {} {} {} {platform}", bundle.version, artifact.file(), artifact.sha256);
        let _ = writeln!(text, "KIND {} {platform}", bundle.install);
        if let Some(libc) = &bundle.libc {
            let _ = writeln!(text, "LIBC {libc} {platform}");
        }
    }
    text
}

/// Tells whether a release is for everybody by the rules of its channel: not yanked, not left by a retreat, not in the
/// middle of a rollout. What the online key holds back is not looked at.
pub(crate) fn is_for_all(rules: &ChannelRules, version: &ReleaseVersion) -> bool {
    !rules.yank.contains(version)
        && rules.rollout.get(version).is_none_or(|share| *share == Percent::ALL)
        && !rules.retreat.iter().any(|retreat| retreat.from == *version)
}
