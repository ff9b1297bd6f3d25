//! The demonstration: a program is made, published as 1.0.0 and 1.1.0, installed as 1.0.0 and started. It finds, patches,
//! probes, swaps and restarts itself, and this module holds what it did against what it should have done.
//!
//! The commands that a developer types run as processes of their own, so that nothing of this one's environment or of
//! the developer's own settings, keys and folders takes part.

mod error;
mod stage;

pub use error::DemoError;

use crate::context::Context;
use crate::error::CommandResult;
use crate::progress::human_bytes;
use crate::serve::{Request, Server};
use crate::shell::{Message, Shell};
use crate::steps::bundle::Part;
use crate::steps::diff::OldBundle;
use crate::steps::rehearse::install_fresh;
use stage::Stage;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What becomes of the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// It is removed, whatever happened.
    Remove,
    /// It stays, and its path is told.
    Keep,
}

/// Runs the demonstration. `checkout` is where the crates of cargo updater are taken from.
/// # Errors
/// [`DemoError`] for what did not happen as it should, and what a command of its own returned.
pub fn run(context: &Context, checkout: Option<PathBuf>, afterwards: Afterwards) -> CommandResult {
    let shell = &context.shell;
    let started = Instant::now();
    let stage = Stage::build(checkout)?;
    let outcome = play(&stage, shell);
    let folder = match afterwards {
        Afterwards::Keep => Some(stage.keep()),
        Afterwards::Remove => stage.remove(shell),
    };
    let summary = outcome?;
    shell.status(
        "Finished",
        format_args!(
            "demo-app became {} by a patch of {} instead of a bundle of {}; everything took {}",
            summary.to,
            human_bytes(summary.patch_bytes),
            human_bytes(summary.bundle_bytes),
            seconds(started.elapsed())
        ),
    );
    if let Some(folder) = folder {
        shell.note(format_args!("everything is still in {}", folder.display()));
    }
    shell.message(&summary);
    Ok(())
}

/// What happened.
#[derive(Debug, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Summary {
    from: &'static str,
    to: &'static str,
    bundle_bytes: u64,
    patch_bytes: u64,
    update_milliseconds: u128,
    requests: usize,
    body_bytes: u64,
}

impl Message for Summary {
    const REASON: &'static str = "demo";
}

fn play(stage: &Stage, shell: &Shell) -> CommandResult<Summary> {
    let repository = stage.repository();
    std::fs::create_dir_all(&repository).map_err(|source| DemoError::Io { path: repository.clone(), source })?;
    // The address goes into the program, so the server comes first.
    let server = Server::start(&repository)?;

    step(shell, "a program, its keys and its trusted root", || {
        stage.write_package(OLD)?;
        stage.cargo_updater(shell, &["init", "--dev", "--url", &server.url(), "--storage", "fs:../repository"])
    })?;
    step(shell, &format!("version {OLD}: build, bundle, sign, publish to a folder"), || {
        stage.cargo_updater(shell, &["publish", "--yes"])
    })?;
    let installed = step(shell, &format!("install {OLD} as a user would: unpack the bundle"), || install(stage))?;
    step(shell, &format!("version {NEW}: the same, with a patch from {OLD} that the real client rehearses"), || {
        stage.write_version(NEW)?;
        stage.cargo_updater(shell, &["publish", "--yes"])
    })?;

    server.forget_requests();
    let begun = Instant::now();
    let lines = step(shell, &format!("start the installed {OLD}; it reads {}", server.url()), || {
        stage.start(&installed, shell)
    })?;
    let took = begun.elapsed();
    let requests = server.requests();
    for request in &requests {
        shell.detail(format_args!(
            "{} {} {} ({} bytes)",
            request.method, request.path, request.status, request.body_bytes
        ));
    }
    check_output(&lines)?;
    let summary = check_requests(stage, &requests, took)?;
    let lines = step(shell, "start it again", || stage.start(&installed, shell))?;
    match lines.iter().any(|line| line.contains(&format!("{NEW} is the newest version"))) {
        true => Ok(summary),
        false => Err(DemoError::Unexpected { what: format!("the second start is not a settled {NEW}"), lines }.into()),
    }
}

/// Tells a step and how long it took.
fn step<T>(shell: &Shell, what: &str, act: impl FnOnce() -> CommandResult<T>) -> CommandResult<T> {
    shell.status("Demo", what);
    let started = Instant::now();
    let result = act()?;
    shell.status("Done", format_args!("in {}", seconds(started.elapsed())));
    Ok(result)
}

/// Unpacks the published bundle of the old version, with nothing beside it.
fn install(stage: &Stage) -> CommandResult<PathBuf> {
    let part = part(stage, OLD)?;
    let installed = stage.path("bin").join(part.app.as_str());
    let bundle = OldBundle { entry: part.entry(0, None), path: stage.bundles().join(part.file.as_str()) };
    install_fresh(&bundle, &installed)?;
    Ok(installed)
}

fn part(stage: &Stage, version: &str) -> CommandResult<Part> {
    let folder = stage.bundles();
    let entries = std::fs::read_dir(&folder).map_err(|source| DemoError::Io { path: folder.clone(), source })?;
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json"))
    {
        let part = Part::read(&path)?;
        if part.version.to_string() == version {
            return Ok(part);
        }
    }
    Err(DemoError::Unexpected { what: format!("there is no bundle of {version}"), lines: Vec::new() }.into())
}

/// Holds what the program said against what it should have said.
fn check_output(lines: &[String]) -> Result<(), DemoError> {
    let wanted = [
        format!("demo-app {OLD}: this is {OLD}"),
        format!("demo-app {OLD}: found {NEW}"),
        format!("demo-app {OLD}: swapped {OLD} for {NEW}"),
        format!("demo-app {NEW}: this is {NEW}"),
        format!("demo-app {NEW}: started as {NEW} for the first time: its trial is completed"),
    ];
    let mut rest = lines.iter();
    for wanted in &wanted {
        if !rest.any(|line| line.starts_with(wanted)) {
            return Err(DemoError::Unexpected {
                what: format!("the program did not say {wanted:?}"),
                lines: lines.to_vec(),
            });
        }
    }
    Ok(())
}

/// Holds the requests against what an update by patch needs: the bundle is never asked for.
fn check_requests(stage: &Stage, requests: &[Request], took: Duration) -> CommandResult<Summary> {
    let new = part(stage, NEW)?;
    let asked = |ending: &str| requests.iter().filter(|request| request.path.ends_with(ending)).collect::<Vec<_>>();
    let told = || requests.iter().map(|request| format!("{} {}", request.status, request.path)).collect();
    if !asked(new.file.as_str()).is_empty() {
        return Err(
            DemoError::Unexpected { what: "the program downloaded the bundle".to_owned(), lines: told() }.into()
        );
    }
    let patches = asked(".patch");
    let [patch] = patches.as_slice() else {
        let what = "the program did not download exactly one patch".to_owned();
        return Err(DemoError::Unexpected { what, lines: told() }.into());
    };
    Ok(Summary {
        from: OLD,
        to: NEW,
        bundle_bytes: new.length,
        patch_bytes: patch.body_bytes,
        update_milliseconds: took.as_millis(),
        requests: requests.len(),
        body_bytes: requests.iter().map(|request| request.body_bytes).sum(),
    })
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// The version that is installed.
const OLD: &str = "1.0.0";
/// The version that it becomes.
const NEW: &str = "1.1.0";
