//! The steps of a release, one file each: what goes in and what comes out are types, so that no step can be left out.
//!
//! | step | takes | gives |
//! |---|---|---|
//! | [`bundle`] | a built package or any folder | [`Bundled`](bundle::Bundled): archive and unsigned part |
//! | [`merge`] | folders of several machines | the same, for all triples |
//! | [`diff`] | the bundle and those of earlier releases | [`Patch`](diff::Patch)es, each applied and compared |
//! | [`sign`] | [`Release`](release::Release) and the keys | [`SignedRelease`](sign::SignedRelease) in a local repository |
//! | [`rehearse`] | the signed release, earlier bundles | [`Rehearsed`](rehearse::Rehearsed): the real client took it |
//! | [`publish`] | only what was rehearsed | [`Published`](publish::Published) |

pub mod bundle;
pub mod diff;
pub mod fetch;
pub mod folders;
pub mod left_behind;
pub mod merge;
pub mod notes;
pub mod promote;
pub mod publish;
pub mod rehearse;
pub mod release;
pub mod sign;
pub mod stand_in;
pub mod steer;
#[cfg(test)]
pub(crate) mod testing;
