//! What `updater-build` compiled into the app, and the macro that reads it.

/// The settings and the trusted root of an app, written by `updater_build::embed()` into `OUT_DIR` as one constant.
///
/// The fields are plain text and numbers, so that the generated file needs nothing but this type; [`crate::Config`]
/// parses them. `docs/format/embedded.md` describes the file.
#[derive(Debug, Clone, Copy)]
pub struct Embedded {
    /// The version of this struct: 1.
    pub schema: u32,
    /// The app id.
    pub app: &'static str,
    /// The version of the package that was built.
    pub version: &'static str,
    /// The target triple it was built for.
    pub triple: &'static str,
    /// The channel it reads.
    pub channel: &'static str,
    /// The channels it may fall back to, in order.
    pub fallback: &'static [&'static str],
    /// Where the repository lies: one or more mirrors, in order.
    pub urls: &'static [&'static str],
    /// The whole trusted `root.json`.
    pub root: &'static [u8],
    /// `executable`, `directory` or `app-bundle`.
    pub install: &'static str,
    /// The path of this executable inside the install.
    pub entry: &'static str,
    /// `start` or `confirm`: what completes the trial of a new version.
    pub trial: &'static str,
    /// The HTTP statuses by which the storage says that a file does not exist.
    pub missing_status: &'static [u16],
    /// When it was built, in seconds since 1970: a floor for the clock.
    pub build_time: i64,
    /// Why this build cannot update itself, for example because it was built without a trusted root.
    pub disabled: Option<&'static str>,
}

/// The version of [`Embedded`] that this library reads.
pub const SCHEMA: u32 = 1;

/// Makes the [`Updater`](crate::Updater) of this app from what `updater_build::embed()` compiled in.
///
/// Write it as the first line of `main`: here a probe is answered (the one documented place where the process ends
/// by itself), an interrupted update is finished, and a new version on trial is counted. It never fails and never
/// prints; an app that cannot update itself gets a disabled updater that says why.
#[macro_export]
macro_rules! updater {
    () => {
        $crate::Updater::start(&::core::include!(::core::concat!(::core::env!("OUT_DIR"), "/updater_embedded.rs")))
    };
}
