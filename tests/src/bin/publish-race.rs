//! `publish-race [--rounds N | --stop-every N] [--on fs,s3,sftp,s3s,careless]`: two publishers that share nothing but the storage publish at the same
//! instant, round after round (100), while a client polls: in a folder and on an S3 server, or where `--on` says.
//!
//! With `--stop-every N` one publisher stops before every N-th operation of the storage in turn, and another one repeats
//! what it began; not by SFTP, where each stop costs a lease.
//!
//! `s3s` is an S3 server that checks signatures and whose conditions are not atomic: `UPDATER_S3S` names its program. `careless` is one
//! of our own that does the same on purpose, all the time.
//!
//! A lost release or a state that does not verify is told and makes the exit code 1.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use updater_tests::peers::{Peer, S3S_KEYS};
use updater_tests::race::referee::{Course, Score, run, stop_everywhere};
use updater_tests::race::{Failure, publisher};
use updater_tests::scale::bucket::{Bucket, Conditions};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["publisher", app, storage] => publisher::main(Path::new(app), storage).map(|()| true),
        words => options(words).and_then(|options| harness(&options)),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    rounds: usize,
    stop_every: Option<usize>,
    on: Vec<String>,
}

fn options(words: &[&str]) -> Result<Options, Failure> {
    let (mut rounds, mut stop_every, mut on) = (100, None, "fs,s3");
    for pair in words.chunks(2) {
        match pair {
            ["--rounds", number] => rounds = number.parse()?,
            ["--stop-every", number] => stop_every = Some(number.parse()?),
            ["--on", names] => on = names,
            _ => return Err(format!("{pair:?} is not understood").into()),
        }
    }
    let on: Vec<String> = on.split(',').map(str::to_owned).collect();
    match on.iter().find(|name| !["fs", "s3", "sftp", "s3s", "careless"].contains(&name.as_str())) {
        Some(name) => Err(format!("there is no race on {name:?}").into()),
        None if stop_every.is_some() && on.iter().any(|name| name == "sftp") => {
            Err("each stop by SFTP costs a lease".into())
        }
        None => Ok(Options { rounds, stop_every, on }),
    }
}

fn harness(options: &Options) -> Result<bool, Failure> {
    let mut out = io::stdout();
    let mut total = Score::default();
    let mut told = Vec::new();
    for name in &options.on {
        let Some((_behind, course)) = course(name)? else { continue };
        let start = Instant::now();
        let score = match options.stop_every {
            Some(every) => stop_everywhere(&course, every, &as_publisher, &mut out)?,
            None => run(&course, options.rounds, &as_publisher, &mut out)?,
        };
        writeln!(out, "{name}: {} releases in {} s, {} polls", score.releases, start.elapsed().as_secs(), score.polls)?;
        told.push(format!("{}{} on {name}", score.releases, if told.is_empty() { " releases" } else { "" }));
        total.polls += score.polls;
        total.lost += score.lost;
        total.broken += score.broken;
    }
    let told = told.join(", ");
    let Score { polls, lost, broken, .. } = total;
    let what = if options.stop_every.is_some() { "publish stops" } else { "publish race" };
    writeln!(out, "{what}: {told}, {polls} polls, {lost} lost, {broken} broken")?;
    Ok(lost == 0 && broken == 0)
}

/// What runs behind a course: a server, or a folder.
enum Behind {
    Server { _peer: Peer },
    Folder { _folder: tempfile::TempDir },
    Bucket { _bucket: Bucket, _folder: tempfile::TempDir },
}

fn course(name: &str) -> Result<Option<(Behind, Course)>, Failure> {
    let environment = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Ok(match name {
        "s3" => Peer::moto().map(|peer| {
            let endpoint = format!("http://127.0.0.1:{}", peer.port());
            let course = Course {
                storage: format!("s3://bucket/racer?region=us-east-1&acl=public-read&endpoint={endpoint}"),
                url: format!("{endpoint}/bucket/racer"),
                environment: environment(&[("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]),
            };
            (Behind::Server { _peer: peer }, course)
        }),
        "s3s" => Peer::s3s().map(|peer| {
            let course = Course {
                storage: format!("s3://bucket/racer?region=us-east-1&endpoint=http://127.0.0.1:{}", peer.port()),
                url: format!("fs:{}", peer.folder().join("files/bucket/racer").display()),
                environment: environment(&[("AWS_ACCESS_KEY_ID", S3S_KEYS.0), ("AWS_SECRET_ACCESS_KEY", S3S_KEYS.1)]),
            };
            (Behind::Server { _peer: peer }, course)
        }),
        "sftp" => Peer::sftp().map(|peer| {
            let folder = peer.folder().join("files");
            let (port, at) = (peer.port(), folder.display());
            let identity = peer.folder().join("identity");
            let course = Course {
                storage: format!("sftp://127.0.0.1:{port}{at}?known-hosts=add&identity={}", identity.display()),
                url: format!("fs:{at}"),
                environment: Vec::new(),
            };
            (Behind::Server { _peer: peer }, course)
        }),
        "careless" => {
            let folder = tempfile::tempdir()?;
            // As long as two publishers may be apart that have got the word at the same instant.
            let bucket = Bucket::start(folder.path(), Conditions::Careless(Duration::from_millis(50)))?;
            let course = Course {
                storage: bucket.storage(),
                url: bucket.url(),
                environment: environment(&[("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]),
            };
            Some((Behind::Bucket { _bucket: bucket, _folder: folder }, course))
        }
        _ => {
            let folder = tempfile::tempdir()?;
            let at = format!("fs:{}", folder.path().display());
            let course = Course { storage: at.clone(), url: at, environment: Vec::new() };
            Some((Behind::Folder { _folder: folder }, course))
        }
    })
}

fn as_publisher(app: &Path, storage: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap_or_default());
    command.arg("publisher").arg(app).arg(storage);
    command
}
