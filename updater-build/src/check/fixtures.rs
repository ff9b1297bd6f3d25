//! Roots for tests: keys from one-byte seeds, signed for real.

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::collections::BTreeMap;
use updater_format::json::Map;
use updater_format::role::{RoleName, Root, RootExtension};
use updater_format::signed::{assemble, message};
use updater_format::{AppId, KeyId, Keyring, MinisignKey, PublicKey, Signature, UtcTime};

/// Returns the key of a seed.
pub(crate) fn pair(seed: u8) -> (Ed25519KeyPair, MinisignKey) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let key = PublicKey::ed25519(pair.public_key().as_ref().try_into().unwrap()).unwrap();
    (pair, MinisignKey { key, id: [seed; 8] })
}

/// Makes a root for `hello` whose four roles have the keys of these seeds.
pub(crate) fn root(seeds: &[u8], threshold: u64) -> Root {
    let keys: Vec<(KeyId, PublicKey)> = seeds.iter().map(|s| pair(*s).1.key).map(|key| (key.id(), key)).collect();
    let ring = Keyring::new(keys, threshold).unwrap();
    Root {
        version: 3,
        expires: UtcTime::from_unix(2000),
        consistent_snapshot: true,
        roles: RoleName::ALL.map(|role| (role, ring.clone())).into(),
        extension: Some(RootExtension {
            app: AppId::parse("hello").unwrap(),
            keys: BTreeMap::new(),
            development: false,
            extra: Map::new(),
        }),
        unused_keys: BTreeMap::new(),
        extra: Map::new(),
    }
}

/// Signs a root with the keys of these seeds.
pub(crate) fn signed(root: &Root, seeds: &[u8]) -> Vec<u8> {
    let message = message(root);
    let signatures: Vec<Signature> = seeds
        .iter()
        .map(|seed| pair(*seed))
        .map(|(pair, public)| Signature { key_id: public.key.id(), bytes: pair.sign(&message).as_ref().to_vec() })
        .collect();
    assemble(root, &signatures)
}

/// Returns the line of a minisign public key file.
pub(crate) fn public_line(seed: u8) -> String {
    use base64::Engine as _;
    let (_, public) = pair(seed);
    let bytes = public.key.ed25519_bytes().unwrap();
    base64::engine::general_purpose::STANDARD.encode([b"Ed".as_slice(), &public.id, bytes].concat())
}
