//! Checks the published `VERSION` of a channel: it says what the channel's verified role says, signed by its key.

use super::minisig::{Signers, check_minisig};
use crate::repository::version_file;
use base64::Engine as _;
use std::io::Cursor;
use updater_format::role::Targets;
use updater_format::{AppId, Channel};

/// Returns what is wrong with the published bytes.
pub(super) fn problem(
    bytes: &[u8],
    app: &AppId,
    channel: &Channel,
    role: &Targets,
    signers: Signers<'_>,
) -> Option<String> {
    let expected = version_file::text(app, channel, role);
    let Some(rest) = bytes.strip_prefix(expected.as_bytes()) else {
        return Some(format!("it does not say what version {} of the role says", role.version));
    };
    let line = std::str::from_utf8(rest).ok().and_then(|rest| rest.strip_prefix("SIGNATURE ")?.strip_suffix('\n'));
    let decoded = line.and_then(|line| base64::engine::general_purpose::STANDARD.decode(line).ok());
    let Some(signature) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()) else {
        return Some("it does not end with one signature".to_owned());
    };
    let comment = version_file::comment(app, channel, role);
    check_minisig(&signature, signers, &comment, Cursor::new(expected)).err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Signer;
    use updater_format::{Keyring, UtcTime};

    #[test]
    fn only_the_words_of_the_role_signed_by_the_channel_pass() {
        let (app, channel) = ("hello".parse().unwrap(), Channel::stable());
        let mut role = crate::roles::next_channel(&app, &channel, None, UtcTime::from_unix(0));
        let (signer, _) = Signer::generate("", None).unwrap();
        let (other, _) = Signer::generate("", None).unwrap();
        let keyring = Keyring::new(vec![(signer.key_id(), signer.public().key.clone())], 1).unwrap();
        let good = version_file::signed(&app, &channel, &role, &signer).unwrap();
        let signers = Signers { keyring: &keyring, owners: [None; 2] };
        let problem = |text: &str, role: &Targets| problem(text.as_bytes(), &app, &channel, role, signers);
        assert_eq!(problem(&good, &role), None);
        // Every byte of what is signed, and the end, which is the signature over the trusted comment.
        let signed = good.find("SIGNATURE ").unwrap();
        for place in (0..signed).chain(good.len() - 80..good.len()) {
            let mut bytes = good.clone().into_bytes();
            bytes[place] ^= 1;
            if let Ok(text) = String::from_utf8(bytes) {
                assert!(problem(&text, &role).is_some(), "byte {place} of {good}");
            }
        }
        let foreign = version_file::signed(&app, &channel, &role, &other).unwrap();
        assert!(problem(&foreign, &role).is_some());
        role.version += 1;
        assert_eq!(problem(&good, &role).unwrap(), "it does not say what version 2 of the role says");
    }
}
