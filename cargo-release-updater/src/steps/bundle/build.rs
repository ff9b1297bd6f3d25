//! Runs `cargo build` and takes the programs from Cargo's own messages: no path is guessed.

use super::BundleStepError;
use crate::config::Project;
use crate::keys::SECRET_VARIABLES;
use crate::shell::Shell;
use crate::toolchain::{cargo, rustc, without_empty_variables};
use cargo_metadata::Message;
use std::ffi::OsStr;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use updater_build::table::Table;
use updater_format::Platform;

/// What is built for one release: the programs of one package, for one triple or the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The package's `Cargo.toml`.
    pub manifest: PathBuf,
    /// The package, as Cargo has it.
    pub package: String,
    /// The programs.
    pub programs: Vec<String>,
    /// Cargo's build profile.
    pub profile: String,
    /// Cargo features.
    pub features: Vec<String>,
    /// The triple to build for; `None` lets Cargo choose, which shares its folder with the developer's own builds.
    pub target: Option<Platform>,
}

/// A program that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Its name.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

impl Build {
    /// Plans the build of a project as its table says.
    /// # Errors
    /// [`BundleStepError::NoDefaultProgram`] when the table names no program and Cargo has no default,
    /// [`BundleStepError::NotBuilt`] when it names one that the package does not have.
    pub fn new(project: &Project, table: &Table, target: Option<Platform>) -> Result<Self, BundleStepError> {
        let programs = match table.bins.as_slice() {
            [] => {
                let name = project.default_program().ok_or_else(|| BundleStepError::NoDefaultProgram {
                    package: project.name.clone(),
                    programs: project.programs.clone(),
                })?;
                vec![name.to_owned()]
            }
            bins => bins.to_vec(),
        };
        if let Some(missing) = programs.iter().find(|name| !project.programs.contains(name)) {
            return Err(BundleStepError::NotBuilt { name: missing.clone(), programs: project.programs.clone() });
        }
        Ok(Self {
            manifest: project.manifest.clone(),
            package: project.name.clone(),
            programs,
            profile: table.profile.clone().unwrap_or_else(|| "release".to_owned()),
            features: table.features.clone(),
            target,
        })
    }

    /// Returns the arguments of `cargo`, as a dry run shows them.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["build".to_owned()];
        let mut add = |option: &str, value: &str| arguments.extend([option.to_owned(), value.to_owned()]);
        add("--manifest-path", &self.manifest.display().to_string());
        add("--package", &self.package);
        add("--profile", &self.profile);
        for name in &self.programs {
            add("--bin", name);
        }
        if !self.features.is_empty() {
            add("--features", &self.features.join(","));
        }
        if let Some(target) = &self.target {
            add("--target", target.as_str());
        }
        arguments
    }

    /// Builds. What the compiler says goes to stderr as it comes.
    /// # Errors
    /// [`BundleStepError::Start`], [`BundleStepError::BuildFailed`] or [`BundleStepError::NotBuilt`].
    pub fn run(&self, shell: &Shell) -> Result<Vec<Built>, BundleStepError> {
        let cargo = cargo();
        let cargo_name = || cargo.to_string_lossy().into_owned();
        let start = |source| BundleStepError::Start { program: cargo_name(), source };
        let mut command = without_secrets(&cargo);
        command.args(self.arguments()).args(["--message-format", "json-render-diagnostics"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        shell.detail(format_args!("cargo {}", self.arguments().join(" ")));
        let mut child = command.spawn().map_err(start)?;
        let mut built = Vec::new();
        let mut understood = true;
        if let Some(output) = child.stdout.take() {
            for message in Message::parse_stream(BufReader::new(output)) {
                match message {
                    Ok(Message::CompilerArtifact(artifact)) if artifact.target.is_bin() => {
                        if let Some(path) = artifact.executable {
                            built.push(Built { name: artifact.target.name, path: path.into_std_path_buf() });
                        }
                    }
                    Ok(_) => {}
                    Err(_) => understood = false,
                }
            }
        }
        let status = child.wait().map_err(start)?;
        if !status.success() {
            let platform = self.target.clone().map_or_else(host_triple, Ok)?;
            return Err(BundleStepError::BuildFailed { platform });
        }
        if !understood {
            return Err(BundleStepError::Output { program: cargo_name() });
        }
        // Programs of other packages come along when this one's build needs them.
        built.retain(|program| self.programs.contains(&program.name));
        match self.programs.iter().find(|name| !built.iter().any(|program| program.name == **name)) {
            Some(missing) => Err(BundleStepError::NotBuilt { name: missing.clone(), programs: self.programs.clone() }),
            None => Ok(built),
        }
    }
}

/// Returns the triple for which Cargo builds when none is named: `CARGO_BUILD_TARGET`, else that of the compiler.
/// # Errors
/// [`BundleStepError::Start`] and [`BundleStepError::Output`] when `rustc` does not say.
pub fn host_triple() -> Result<Platform, BundleStepError> {
    let named = std::env::var("CARGO_BUILD_TARGET").ok().and_then(|text| Platform::parse(&text).ok());
    if let Some(platform) = named {
        return Ok(platform);
    }
    let rustc = rustc();
    let name = || rustc.to_string_lossy().into_owned();
    let output = without_secrets(&rustc)
        .arg("-vV")
        .output()
        .map_err(|source| BundleStepError::Start { program: name(), source })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.and_then(|host| Platform::parse(host).ok()).ok_or_else(|| BundleStepError::Output { program: name() })
}

/// Prepares a program that is not told our keys and passwords: cargo runs the build scripts of every dependency.
fn without_secrets(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    without_empty_variables(&mut command);
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_we_start_are_not_told_our_secrets() {
        let command = without_secrets("cargo");
        for name in ["UPDATER_KEY_PASSWORD", "UPDATER_ONLINE_KEY", "UPDATER_ONLINE_PASSWORD"] {
            assert!(command.get_envs().any(|(key, value)| key == name && value.is_none()), "{name} would be passed on");
        }
    }
}
