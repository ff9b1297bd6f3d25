//! The formats and the trust rules of cargo updater: bytes to types and back. No files, no network, no clock, no
//! environment; publisher and client share it, so that they cannot disagree about a byte.
//!
//! From the bottom up:
//!
//! * Names and numbers, parsed once and passed on as types: [`AppId`], [`Channel`], [`ComponentName`], [`Platform`],
//!   [`ReleaseVersion`], [`FilePath`], [`TargetName`], [`Sha256`], [`UtcTime`]; every bound on input in [`length`].
//! * Documents: [`json`] (strict to read, canonical to sign), [`PublicKey`] and [`Keyring`], [`signed`] (from
//!   `Untrusted` bytes over `Signed` to `Verified`), [`role`] (the payloads of TUF's roles), [`release`] (what a channel
//!   offers).
//! * Trust: [`trust::TrustedSet`], the client's rules in the order in which they must run.
//! * Content: [`Manifest`], the bundle, the patch container, the install state, and how a [`launcher`] runs an app.
//!
//! The pages in `docs/format/` describe each format for another implementation.

#![forbid(unsafe_code)]

mod app;
mod base64;
pub mod bundle;
mod channel;
mod compact;
mod component;
pub mod digest;
mod error;
pub mod json;
mod key;
pub mod launcher;
mod layout;
pub mod length;
pub mod mach_o;
pub mod manifest;
mod minisign;
pub mod patch;
mod path;
mod pattern;
pub mod pe;
#[cfg(feature = "interop")]
mod pem;
mod platform;
pub mod release;
pub mod role;
mod rollout;
mod shown;
pub mod signed;
pub mod state;
mod text;
mod time;
pub mod trust;
pub mod url;
mod version;
mod xz;

pub use app::AppId;
pub use channel::Channel;
pub use component::ComponentName;
pub use digest::Sha256;
pub use error::FormatError;
pub use key::{KeyId, Keyring, PublicKey, Signature, SignaturePolicy};
pub use layout::{ReleaseOf, RepositoryAddress, TargetLayout, TargetsAddress};
pub use manifest::{
    EntryContent, FileMode, InstallKind, MANIFEST_PATH, Manifest, ManifestEntry, ManifestParts, NEW_SUFFIX,
};
pub use minisign::MinisignKey;
pub use path::{FilePath, TargetName};
pub use pattern::PathPattern;
pub use platform::{Platform, is_exe};
pub use rollout::InstallId;
pub use shown::{SHOWN, terminal_safe};
pub use time::UtcTime;
pub use version::ReleaseVersion;
