//! What a release and a check cost when much is published already: a history of many releases, the next one published by
//! the command line tool to a bucket that counts, and a client that checks.

pub mod bucket;
pub mod draw;
pub mod history;
pub mod rival;

use crate::race::Failure;
use bucket::{Bucket, Conditions, Traffic};
use history::History;
use std::path::Path;
use std::time::Instant;
use updater_format::ReleaseVersion;
use updater_runtime::transport::ProxyChoice;
use updater_runtime::{Config, NoUpdate, Status, Updater};

/// What one publish cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Publish {
    /// Releases that were published before.
    pub releases: usize,
    /// Objects that lay in the bucket before.
    pub objects: usize,
    /// What it asked of the bucket.
    pub traffic: Traffic,
    /// Processor time of the command, in seconds, user and system.
    pub cpu: f64,
    /// The most memory that was resident, in MiB.
    pub peak: f64,
    /// How long it took, in seconds.
    pub elapsed: f64,
}

/// What a client asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Of a fresh install of the newest release, in its first check.
    pub first: Traffic,
    /// Of the same install, when there is no news.
    pub again: Traffic,
    /// Processor time of the first check, in seconds.
    pub cpu: f64,
}

/// What was measured at one number of releases.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The publisher.
    pub publish: Publish,
    /// The client.
    pub check: Check,
}

/// Publishes one release more and lets a client check, with so many releases there already.
///
/// `program` is this program, which is started as the command line tool: it must hand the arguments after `cli` to
/// [`as_tool`].
/// # Errors
/// What the history, the tool or the client refuses.
pub fn measure(history: &mut History, releases: usize, program: &Path) -> Result<Row, Failure> {
    history.grow(releases)?;
    let bucket = Bucket::start(history.repository(), Conditions::Exact)?;
    if !history.repository().join("index.html").exists() {
        // The scripts for people change with the program and not with a release.
        history.tool(program, &["page".to_owned(), "--storage".to_owned(), bucket.storage()])?;
    }
    let objects = count(history.repository())?;
    let (version, folders) = history.next(program)?;
    drop(bucket.take());
    let begin = Instant::now();
    let mut arguments = vec!["publish".to_owned(), "--storage".to_owned(), bucket.storage(), "--merge".to_owned()];
    arguments.extend(folders.iter().map(|folder| folder.display().to_string()));
    let usage = history.tool(program, &arguments)?;
    let elapsed = begin.elapsed().as_secs_f64();
    let traffic = bucket.take();
    history.take(&folders)?;
    let publish = Publish { releases, objects, traffic, cpu: usage.cpu, peak: usage.peak, elapsed };
    Ok(Row { publish, check: check(history, &bucket, &version)? })
}

/// A fresh copy of a release checks twice.
fn check(history: &History, bucket: &Bucket, version: &ReleaseVersion) -> Result<Check, Failure> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("hello");
    std::fs::write(&program, b"")?;
    let config =
        Config::new(history::app()?, version.clone(), history.triples()[0].clone(), history.root()?, &bucket.url())?
            .with_executable(program)
            .with_state_dir(folder.path().join("state"))
            .with_proxy(ProxyChoice::Direct);
    let updater = Updater::new(config)?;
    let look = || -> Result<Traffic, Failure> {
        drop(bucket.take());
        match updater.check()? {
            Status::NoUpdate(NoUpdate::Current { .. }) => Ok(bucket.take()),
            other => Err(format!("a copy of the newest release is told {other:?}").into()),
        }
    };
    let before = usage()?.cpu;
    let first = look()?;
    let cpu = usage()?.cpu - before;
    Ok(Check { first, again: look()?, cpu })
}

/// Runs the command line tool in this process, writes down what that cost, and returns its exit code.
#[must_use]
pub fn as_tool(arguments: &[String]) -> std::process::ExitCode {
    let words = std::iter::once("cargo-updater".to_owned()).chain(arguments.iter().cloned());
    let code = cargo_release_updater::cli::main(words.map(Into::into));
    if let (Some(file), Ok(usage)) = (std::env::var_os(USAGE), usage()) {
        std::fs::write(file, format!("{} {}", usage.cpu, usage.peak)).expect("what it cost can be written down");
    }
    code
}

/// What a process has used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Seconds of processor, its children included.
    pub cpu: f64,
    /// The most memory that was resident, in MiB.
    pub peak: f64,
}

/// Returns what this process has used so far, as Linux tells it.
fn usage() -> Result<Usage, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak in /proc/self/status")?;
    let peak: f64 = peak.trim().trim_end_matches(" kB").parse()?;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name of the program, in parentheses, may have spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // User and system, of itself and of children that have ended: fields 14 to 17 of proc(5).
    let ticks: f64 = fields
        .get(11..15)
        .ok_or("too few fields in /proc/self/stat")?
        .iter()
        .map(|field| field.parse::<f64>().unwrap_or(0.0))
        .sum();
    Ok(Usage { cpu: ticks / TICKS, peak: peak / 1024.0 })
}

fn count(folder: &Path) -> Result<usize, Failure> {
    let mut files = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        files += if entry.file_type()?.is_dir() { count(&entry.path())? } else { 1 };
    }
    Ok(files)
}

/// Names the file that [`as_tool`] writes.
const USAGE: &str = "SCALE_USAGE";
/// Clock ticks of Linux in a second, on every machine that Rust's standard library knows.
const TICKS: f64 = 100.0;
