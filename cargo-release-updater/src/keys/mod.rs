//! Secret keys: where they lie, how they are unlocked, and what they sign. No other crate has a type for them.
//!
//! Keys are minisign key files, so that people can make, keep and use them with tools they have. The same Ed25519 key
//! signs metadata (raw, over the canonical bytes) and published files (`.minisig`, over their BLAKE2b-512).

mod blake2b;
mod environment;
mod error;
mod external;
mod file;
mod foreign;
mod keychain;
mod pack;
mod private;
mod prompt;
mod role;
mod signer;

pub(crate) use environment::take_secrets;
pub use error::KeyError;
pub(crate) use error::lost;
pub use file::{KeyFile, KeyFolder, Protection};
pub use foreign::Foreign;
pub use keychain::Keychain;
pub use pack::{KeyPack, PackedKey, SecretText, Secrets};
pub(crate) use private::write_private;
pub use prompt::Passwords;
pub use role::KeyRole;
pub use signer::Signer;
pub(crate) use signer::public_line;

/// The variables that may hold a key or its password. No other program that we start is given them: a build script of
/// any dependency could read them there.
pub(crate) const SECRET_VARIABLES: [&str; 5] =
    [prompt::KEY_PASSWORD, keychain::KEY, keychain::ONLINE_KEY, keychain::ONLINE_PASSWORD, environment::PIPE];
