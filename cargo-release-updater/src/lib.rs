//! The publisher: bundles, patches, signs, rehearses and publishes releases. Everything that knows a private key is
//! here; the library under the command line can be driven by tests and other tools.
//!
//! | module | what it is for |
//! |---|---|
//! | [`cli`] | one file per command: its arguments and what it does, step by step |
//! | [`config`] | the Cargo package a command works on, with its checked table |
//! | [`init`] | sets a package up, part by part |
//! | [`keys`] | secret keys: where they lie, how they are unlocked, what they sign |
//! | [`ceremony`] | how roots and targets roles are replaced: drafts, signatures of several holders, publication |
//! | [`roles`] | the metadata documents that a publisher makes |
//! | [`repository`] | what is published, and how a release is added to it |
//! | [`storage`] | where a repository is written |
//! | [`services`] | the storage services that this build reaches |
//! | [`hooks`] | programs of the project that run between the steps |
//! | [`steps`] | a release step by step: bundle, diff, sign, rehearse, publish |
//! | [`plan`] | what publishing will do, computed before anything is done |
//! | [`preflight`] | what is looked at before a release is begun |
//! | [`expiry`] | which roles end before long, and what renews them |
//! | [`doctor`] | looks whether settings, keys, repository, CI and programs agree |
//! | [`verify`] | reads a published repository as clients do |
//! | [`restore`] | puts a saved copy of a repository back |
//! | [`page`] | what is published for people: a download page, a feed, scripts that install |
//! | [`demo`] | the whole loop on this machine, with a program made for it |
//! | [`elf`] | what a program says about the system it needs |
//! | [`serve`] | a small static file server for trying out, rehearsals and tests |
//! | [`context`], [`shell`], [`progress`], [`error`] | what every command is given, and how it talks |

#![forbid(unsafe_code)]

pub mod ceremony;
pub mod cli;
pub mod config;
pub mod context;
pub mod demo;
pub mod doctor;
pub mod elf;
pub mod error;
pub mod expiry;
mod files;
pub mod hooks;
pub mod init;
pub mod keys;
pub mod page;
pub mod plan;
pub mod preflight;
pub mod progress;
#[cfg(test)]
mod renewed;
pub mod repository;
pub mod restore;
pub mod roles;
pub mod serve;
pub mod services;
pub mod shell;
pub mod steps;
pub mod storage;
mod suggest;
mod toolchain;
pub mod verify;
