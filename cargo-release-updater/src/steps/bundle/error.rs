//! Why something was not bundled, and what mends it.

use crate::elf::ElfError;
use crate::error::{ExitCode, Explain};
use std::path::PathBuf;
use updater_format::bundle::BundleError;
use updater_format::{FilePath, FormatError, Platform};

/// What went wrong while a bundle was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleStepError {
    /// The folder to bundle is none.
    #[error("cannot bundle {}", path.display())]
    NoFolder {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder to bundle holds no file.
    #[error("{} holds no file to bundle", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// A name that is no UTF-8 text.
    #[error("{} cannot be bundled: its name is not UTF-8", path.display())]
    NotUtf8 {
        /// The file, with the odd bytes replaced.
        path: PathBuf,
    },
    /// A name that is not safe on every system.
    #[error("{} cannot be bundled", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// Which rule the name breaks.
        source: FormatError,
    },
    /// A device, pipe or socket.
    #[error("{} cannot be bundled: it is {kind}", path.display())]
    Special {
        /// The file.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// A link that leaves the folder.
    #[error("the link {} leads to {target:?}, outside of what is bundled", path.display())]
    LinkOutside {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: String,
    },
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The files together break a rule, or the release's name is too long.
    #[error("these files cannot be one release")]
    Manifest {
        /// Which rule, and which path.
        source: FormatError,
    },
    /// A folder brings a launcher's table that no launcher would take.
    #[error("{} is no launcher table: {problem}", path.display())]
    Launcher {
        /// The table.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no program, or more than one, and none was named.
    #[error("{}", which_entry(programs))]
    WhichEntry {
        /// The programs found.
        programs: Vec<FilePath>,
    },
    /// A glob without a match.
    #[error("`include` has {glob:?}, which matches no file in {}", folder.display())]
    GlobEmpty {
        /// The pattern as written.
        glob: String,
        /// The folder of the package.
        folder: PathBuf,
    },
    /// Cargo or rustc could not be started.
    #[error("cannot run {program}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Cargo's answer was not understood.
    #[error("cannot understand what {program} printed")]
    Output {
        /// The program.
        program: String,
    },
    /// The build failed; Cargo has said why.
    #[error("`cargo build` failed for {platform}")]
    BuildFailed {
        /// The triple.
        platform: Platform,
    },
    /// Cargo built no such program.
    #[error("cargo built no program `{name}`")]
    NotBuilt {
        /// The program.
        name: String,
        /// The programs of the package.
        programs: Vec<String>,
    },
    /// The package has several programs and no default.
    #[error("package `{package}` has no program to bundle by default")]
    NoDefaultProgram {
        /// The package.
        package: String,
        /// The programs of the package.
        programs: Vec<String>,
    },
    /// A program is for another processor.
    #[error("{} is for {machine}, not for {platform}", path.display())]
    Machine {
        /// The program.
        path: PathBuf,
        /// What its header says.
        machine: String,
        /// The triple of the bundle.
        platform: Platform,
    },
    /// An app bundle for a system that has none.
    #[error("there are app bundles on macOS alone, not on {platform}")]
    NotMacOs {
        /// The triple.
        platform: Platform,
    },
    /// An app bundle that nobody has made yet.
    #[error("cargo builds no app bundle for {platform}")]
    NotMade {
        /// The triple.
        platform: Platform,
    },
    /// The folder holds no app bundle, or several.
    #[error("{} holds {found} app bundles (folders NAME.app), and one is wanted", path.display())]
    NoAppBundle {
        /// The folder.
        path: PathBuf,
        /// How many it holds.
        found: usize,
    },
    /// An app bundle does not say what it is.
    #[error("{} does not describe an app: {problem}", path.display())]
    InfoPlist {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The main program of an app bundle is another than the installed app expects.
    #[error("the program of {} is {found} by its Info.plist, but the app was built for {expected}", path.display())]
    OtherProgram {
        /// The app bundle.
        path: PathBuf,
        /// What `CFBundleExecutable` says.
        found: FilePath,
        /// What `entry` or the first binary of the table says.
        expected: FilePath,
    },
    /// A program's headers are damaged.
    #[error("cannot bundle {}", path.display())]
    Elf {
        /// The program.
        path: PathBuf,
        /// What is wrong.
        source: ElfError,
    },
    /// The trusted root, or the targets role beside it, is missing.
    #[error("cannot read {}, by which the app is trusted", path.display())]
    NoRoot {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program cannot update itself: it does not carry the trusted root.
    #[error("{} does not carry the trusted root {}, so it could never update itself", path.display(), root.display())]
    RootNotEmbedded {
        /// The program.
        path: PathBuf,
        /// The root file.
        root: PathBuf,
    },
    /// The program was built for another release.
    #[error("{} is not {release}: nothing in it says {missing:?}", path.display())]
    OtherRelease {
        /// The program.
        path: PathBuf,
        /// The name that stands nowhere in it.
        missing: String,
        /// App, version and triple of the bundle.
        release: String,
    },
    /// `SOURCE_DATE_EPOCH` is no time.
    #[error("SOURCE_DATE_EPOCH is {value:?}, not a number of seconds since 1970")]
    SourceDateEpoch {
        /// The value.
        value: String,
    },
    /// The bundle could not be packed.
    #[error("cannot make {}", path.display())]
    Pack {
        /// The bundle.
        path: PathBuf,
        /// Why.
        source: BundleError,
    },
    /// A result could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A part could not be understood.
    #[error("{} does not describe a bundle", path.display())]
    Part {
        /// The part.
        path: PathBuf,
        /// What is wrong.
        source: FormatError,
    },
    /// The archive is not the one that its part describes.
    #[error("{} is not the bundle that its part describes", path.display())]
    Changed {
        /// The archive.
        path: PathBuf,
    },
}

fn which_entry(programs: &[FilePath]) -> String {
    match programs {
        [] => "none of the files is a program".to_owned(),
        [first, second, ..] => format!("{} programs could be the entry: {first}, {second} ...", programs.len()),
        [only] => format!("the program {only} is not the entry"),
    }
}

impl Explain for BundleStepError {
    fn code(&self) -> ExitCode {
        match self {
            Self::GlobEmpty { .. } => ExitCode::Config,
            Self::NoDefaultProgram { .. } | Self::NotBuilt { .. } | Self::NoRoot { .. } => ExitCode::Config,
            Self::SourceDateEpoch { .. } => ExitCode::Usage,
            _ => ExitCode::Bundle,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec![match self {
            Self::NoFolder { .. } => "name a folder that exists with `--from-dir DIR`".to_owned(),
            Self::Empty { .. } => "empty folders are not carried; put the app's files into it".to_owned(),
            Self::NotUtf8 { .. } | Self::Name { .. } => "rename it: the name must be safe on every system".to_owned(),
            Self::Special { .. } => "remove it: only files, folders and relative links are carried".to_owned(),
            Self::LinkOutside { .. } => {
                "replace it by the file itself, or by a relative link inside the folder".to_owned()
            }
            Self::Read { .. } => "check the path and its permissions".to_owned(),
            Self::Manifest { .. } => "docs/format/manifest.md lists the rules".to_owned(),
            Self::Launcher { .. } => "docs/format/launcher.md lists the keys".to_owned(),
            Self::WhichEntry { programs } if programs.is_empty() => {
                "make the app's program executable (`chmod +x`)".to_owned()
            }
            Self::WhichEntry { .. } => "name it: `entry` in [package.metadata.updater], or `--entry PATH`".to_owned(),
            Self::GlobEmpty { .. } => "correct it or remove it; patterns start at the package's folder".to_owned(),
            Self::Start { .. } => "install Rust, or add it to PATH".to_owned(),
            Self::Output { .. } => {
                "run it by hand and look at its output; CARGO and RUSTC may name another program".to_owned()
            }
            Self::BuildFailed { .. } => "mend what the compiler says above, then run the same command again".to_owned(),
            Self::NotBuilt { programs, .. } => format!("`bins` may name: {}", programs.join(", ")),
            Self::NoDefaultProgram { programs, .. } => {
                format!("name them with `bins` in [package.metadata.updater]: {}", programs.join(", "))
            }
            Self::Machine { .. } => "name the right triple with `--target TRIPLE`, or bundle the right file".to_owned(),
            Self::NotMacOs { .. } => "name a triple that ends in -apple-darwin with `--target TRIPLE`, or another `--kind`".to_owned(),
            Self::NotMade { .. } => {
                "make the .app with your packager, sign it, and name its folder: `--from-dir DIR --version VERSION`".to_owned()
            }
            Self::NoAppBundle { .. } => "name the .app folder itself with `--from-dir`".to_owned(),
            Self::InfoPlist { .. } => "let your packager write it; CFBundleExecutable names the program".to_owned(),
            Self::OtherProgram { .. } => {
                "let `kind = \"app-bundle\"` and `entry` in [package.metadata.updater] name it, build it again and make the .app anew"
                    .to_owned()
            }
            Self::Elf { .. } => "build it again; the file seems to be cut short".to_owned(),
            Self::NoRoot { .. } => {
                "restore it from version control; an app that never had one gets it from `cargo updater init`".to_owned()
            },
            Self::RootNotEmbedded { .. } => concat!(
                "call `updater_build::embed()` in build.rs and `updater_runtime::updater!()` in main, ",
                "or set `probe = false` for a program without the runtime"
            )
            .to_owned(),
            Self::OtherRelease { .. } => "build it again from this package, for this triple".to_owned(),
            Self::SourceDateEpoch { .. } => "set it to seconds since 1970, or unset it".to_owned(),
            Self::Pack { .. } => {
                "if a file changed meanwhile, run it again; else check the space on the disk".to_owned()
            }
            Self::Write { .. } => "check the space and the permissions there".to_owned(),
            Self::Part { .. } | Self::Changed { .. } => "make it again with `cargo updater bundle`".to_owned(),
        }]
    }
}
