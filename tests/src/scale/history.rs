//! A repository with as many releases as wanted, each really published: bundled, signed and committed by the protocol.
//!
//! The library does it, without the rehearsal, which changes nothing that is published; patches have only the last
//! releases, because the role lists no others. In memory where there is such a folder: each release is synced some twenty
//! times, and whether it survives a power cut is not the question here.

use super::{USAGE, Usage};
use crate::race::Failure;
use cargo_release_updater::context::{Clock, Prompts};
use cargo_release_updater::keys::{KeyFolder, Keychain, Passwords, Signer};
use cargo_release_updater::plan::{Epoch, Request};
use cargo_release_updater::repository::{Commit, Lease};
use cargo_release_updater::shell::{MessageFormat, Shell};
use cargo_release_updater::steps::bundle::{self, Bundled, Contents, Packing};
use cargo_release_updater::steps::diff::{self, DiffLimits, OldBundle, Outcome};
use cargo_release_updater::steps::release::Release;
use cargo_release_updater::storage::Storage;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use updater_format::{AppId, Channel, Platform, ReleaseVersion, UtcTime};

/// The releases of one app for several triples.
pub struct History {
    folder: tempfile::TempDir,
    triples: Vec<Platform>,
    storage: Storage,
    keychain: Keychain,
    published: usize,
    /// The last releases of each triple, newest first.
    old: Vec<Vec<OldBundle>>,
    shell: Shell,
}

impl History {
    /// Sets an app up, with nothing published yet. `program` is started as the command line tool.
    /// # Errors
    /// What cannot be set up.
    pub fn new(triples: &[&str], program: &Path) -> Result<Self, Failure> {
        let memory = Path::new("/dev/shm");
        let folder = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir())?;
        let package = folder.path().join("hello");
        std::fs::create_dir_all(package.join("src"))?;
        std::fs::write(package.join("src/main.rs"), "fn main() {}\n")?;
        let manifest = "[package]\nname = \"hello\"\nversion = \"1.0.0\"\nedition = \"2024\"\n";
        std::fs::write(package.join("Cargo.toml"), manifest)?;
        let keys = folder.path().join("keys");
        let triples = triples.iter().map(|triple| Ok(triple.parse()?)).collect::<Result<Vec<Platform>, Failure>>()?;
        let mut history = Self {
            storage: Storage::open_folder(&folder.path().join("repository"), "fs:repository")?,
            keychain: Keychain::open(KeyFolder::at(keys.clone()), Passwords::none(Prompts::Never))?,
            folder,
            old: vec![Vec::new(); triples.len()],
            triples,
            published: 0,
            shell: Shell::captured(MessageFormat::Human),
        };
        history.tool(program, &["init".to_owned(), "--dev".to_owned()])?;
        history.keychain = Keychain::open(KeyFolder::at(keys), Passwords::none(Prompts::Never))?;
        Ok(history)
    }

    /// Returns the folder of what is published.
    #[must_use]
    pub fn repository(&self) -> &Path {
        self.storage.folder().unwrap_or(self.folder.path())
    }

    /// Returns the triples.
    #[must_use]
    pub fn triples(&self) -> &[Platform] {
        &self.triples
    }

    /// Returns the root.
    /// # Errors
    /// When it cannot be read.
    pub fn root(&self) -> Result<Vec<u8>, Failure> {
        Ok(std::fs::read(self.folder.path().join("hello/updater/root.json"))?)
    }

    /// Publishes until there are so many releases. Those that the next ones list have patches.
    /// # Errors
    /// What the protocol refuses.
    pub fn grow(&mut self, releases: usize) -> Result<(), Failure> {
        while self.published < releases {
            let patches = releases - self.published <= PATCHED;
            self.publish(patches)?;
        }
        Ok(())
    }

    fn publish(&mut self, patches: bool) -> Result<(), Failure> {
        let version = version(self.published)?;
        let (bundles, patched) = (self.folder.path().join("bundles"), self.folder.path().join("patches"));
        let (mut made, mut kept) = (Vec::new(), Vec::new());
        for (triple, old) in self.triples.iter().zip(&self.old) {
            let files = write_program(self.folder.path(), &version, triple)?;
            let contents = Contents {
                app: app()?,
                component: None,
                version: version.clone(),
                platform: triple.clone(),
                install: None,
                entry: None,
                keep_local: Vec::new(),
                codecs: vec!["refs-1".to_owned()],
                files: bundle::from_folder(&files)?,
            };
            let bundled = bundle::bundle(&contents, Packing { level: 0, mtime: 0 }, &bundles, &self.shell)?;
            if patches {
                for outcome in diff::diff(&bundled, old, &patched, DiffLimits::default(), &self.shell)? {
                    match outcome {
                        Outcome::Kept(patch) => kept.push(*patch),
                        other => return Err(format!("no patch: {other:?}").into()),
                    }
                }
            }
            made.push(bundled);
        }
        let request = Request {
            app: app()?,
            component: None,
            channel: Channel::stable(),
            version,
            platforms: self.triples.clone(),
            patches_from: KEEP,
            keep: KEEP,
            epoch: Epoch::Keep,
        };
        let release = Release {
            request,
            bundles: made.clone(),
            patches: kept,
            notes: None,
            released: now(),
            metadata: Default::default(),
        };
        let package = self.folder.path().join("hello/updater");
        let (root, targets) = (std::fs::read(package.join("root.json"))?, std::fs::read(package.join("targets.json"))?);
        let uploads = release.uploads(&self.signer()?).map_err(told)?;
        let mut commit = Commit {
            storage: &self.storage,
            app: &app()?,
            root: &root,
            targets: &targets,
            earlier: &[],
            keychain: &mut self.keychain,
            now: now(),
            lease: Lease::default(),
            shell: &self.shell,
        };
        commit.upload(&uploads, |_, _| {})?;
        let committed = commit.publish(&Channel::stable(), |role, before| {
            release.edit(role, before)?;
            Ok(())
        });
        committed.map_err(told)?;
        self.remember(made)
    }

    fn remember(&mut self, made: Vec<Bundled>) -> Result<(), Failure> {
        self.published += 1;
        for (old, bundled) in self.old.iter_mut().zip(made) {
            old.insert(0, OldBundle { entry: bundled.part.entry(0, None), path: bundled.path });
            for gone in old.drain(old.len().min(KEEP as usize)..) {
                std::fs::remove_file(gone.path)?;
            }
        }
        Ok(())
    }

    /// Makes the bundles of the next release with the tool, as build machines do; returns its version and the folders.
    /// # Errors
    /// What the tool refuses.
    pub fn next(&self, program: &Path) -> Result<(ReleaseVersion, Vec<PathBuf>), Failure> {
        let version = version(self.published)?;
        let mut folders = Vec::new();
        for triple in &self.triples {
            let files = write_program(self.folder.path(), &version, triple)?;
            let out = self.folder.path().join(format!("made-{}-{triple}", self.published));
            let words = [
                "bundle",
                "--level",
                "0",
                "--version",
                &version.to_string(),
                "--target",
                triple.as_str(),
                "--from-dir",
            ];
            let mut arguments: Vec<String> = words.map(str::to_owned).into();
            arguments.extend([files.display().to_string(), "--out".to_owned(), out.display().to_string()]);
            self.tool(program, &arguments)?;
            folders.push(out);
        }
        Ok((version, folders))
    }

    /// Takes what the tool has published into the history.
    /// # Errors
    /// When its bundles cannot be read.
    pub fn take(&mut self, folders: &[PathBuf]) -> Result<(), Failure> {
        let mut made = Vec::new();
        for folder in folders {
            let part =
                std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, Failure>>()?;
            let part = part.into_iter().find(|path| path.extension().is_some_and(|suffix| suffix == "json"));
            made.push(Bundled::read(&part.ok_or("the tool has made no bundle")?)?);
        }
        self.remember(made)
    }

    /// Runs the tool in the package, with nothing cached, and returns what that took.
    /// # Errors
    /// When it fails, with what it said.
    pub fn tool(&self, program: &Path, arguments: &[String]) -> Result<Usage, Failure> {
        let told = self.folder.path().join("usage");
        // A machine that has never published: earlier bundles come from the storage.
        drop(std::fs::remove_dir_all(self.folder.path().join("hello/target")));
        let mut command = Command::new(program);
        command.arg("cli").args(arguments).current_dir(self.folder.path().join("hello")).stdin(Stdio::null());
        for name in ["UPDATER_KEY", "UPDATER_ONLINE_KEY", "UPDATER_KEY_PASSWORD", "CARGO_TARGET_DIR", "AWS_PROFILE"] {
            command.env_remove(name);
        }
        command.env("UPDATER_KEY_DIR", self.folder.path().join("keys")).env(USAGE, &told);
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        let output = command.output()?;
        if !output.status.success() {
            return Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        let text = std::fs::read_to_string(told)?;
        let (cpu, peak) = text.split_once(' ').ok_or("the tool did not say what it cost")?;
        Ok(Usage { cpu: cpu.parse()?, peak: peak.parse()? })
    }

    fn signer(&self) -> Result<Signer, Failure> {
        let path = self.folder.path().join("keys/development/stable.key");
        Ok(Signer::from_text("stable.key", &std::fs::read_to_string(path)?, || unreachable!("it is not encrypted"))?)
    }
}

/// Returns the app.
/// # Errors
/// Never: the id is well formed.
pub fn app() -> Result<AppId, Failure> {
    Ok(AppId::parse("hello")?)
}

/// Versions of one length: what is counted is the number of releases, not how many digits their names have.
fn version(number: usize) -> Result<ReleaseVersion, Failure> {
    Ok(ReleaseVersion::parse(&format!("1.{}.0", 10_000 + number))?)
}

/// Writes a program that answers the probe, with a body that compresses badly, so that a patch is worth it; returns its
/// folder.
fn write_program(folder: &Path, version: &ReleaseVersion, triple: &Platform) -> Result<PathBuf, Failure> {
    let answer = format!("updater-probe 1 $UPDATER_PROBE hello {version} {triple}");
    let mut program =
        format!("#!/bin/sh\n[ -z \"$UPDATER_PROBE\" ] || {{ echo \"{answer}\"; exit; }}\nexit\n").into_bytes();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..1024 {
        // SplitMix64: the same bytes in every release.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        program.extend_from_slice(&mixed.to_le_bytes());
    }
    let files = folder.join("files");
    std::fs::create_dir_all(&files)?;
    // Another one may be running still: it is replaced, not written into.
    drop(std::fs::remove_file(files.join("hello")));
    std::fs::write(files.join("hello"), program)?;
    std::fs::set_permissions(files.join("hello"), std::fs::Permissions::from_mode(0o755))?;
    Ok(files)
}

fn told(error: cargo_release_updater::error::CommandError) -> Failure {
    error.to_string().into()
}

fn now() -> UtcTime {
    Clock::System.now()
}

/// How many releases stay listed, and from how many there are patches: the defaults of the table.
const KEEP: u32 = 3;
/// The last releases that get patches: those that are listed at the end, and one more.
const PATCHED: usize = KEEP as usize + 1;
