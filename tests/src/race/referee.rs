//! The referee: starts both publishers, gives them the word in every round, and counts what is lost or broken.

use super::client::Client;
use super::{App, Failure};
use std::io::{BufRead as _, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What came of a race.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Score {
    /// Releases that were published, two in each round.
    pub releases: usize,
    /// How often the client has looked.
    pub polls: usize,
    /// Releases that were reported as published and are not listed afterwards.
    pub lost: usize,
    /// States that did not verify.
    pub broken: usize,
}

/// A storage to race on.
#[derive(Debug, Clone)]
pub struct Course {
    /// The address that publishers write to.
    pub storage: String,
    /// The address that the client reads from: a URL, or `fs:` with a folder.
    pub url: String,
    /// What the publishers need in their environment.
    pub environment: Vec<(String, String)>,
}

/// Runs a race over some rounds. In even rounds both publishers add a triple to the same release; in odd ones each
/// publishes in a channel of its own.
///
/// `publisher` starts this program as a publisher: it is given the folder of the app and the address of the storage.
/// # Errors
/// When a publisher fails or the race cannot be run; what is lost or broken is counted and told on `out`.
pub fn run(
    course: &Course,
    rounds: usize,
    publisher: &dyn Fn(&Path, &str) -> Command,
    out: &mut dyn Write,
) -> Result<Score, Failure> {
    let (_folder, app, mut racers) = at_the_start(course, publisher)?;
    let over = AtomicBool::new(false);
    let mut score = Score::default();
    let mut judge = Client::new(&app, &course.url)?;
    let (polls, problems) = std::thread::scope(|scope| -> Result<_, Failure> {
        let poller = scope.spawn(|| poll(&app, course, &over));
        let raced = race(&mut racers, rounds, &mut judge, &mut score, out);
        over.store(true, Ordering::Relaxed);
        let polled = poller.join().map_err(|_| "the client has panicked")?;
        raced?;
        polled
    })?;
    for problem in &problems {
        writeln!(out, "broken: {problem}")?;
    }
    score.polls = polls;
    score.broken += problems.len();
    Ok(score)
}

/// Stops a publisher before every n-th operation in turn, in each of its releases before the next one, until one gets
/// through. After each stop the client must see a state that verifies; then another publisher repeats the release, as
/// whoever runs the command again does, and the client must see it.
///
/// The releases of the score are the repeated ones.
/// # Errors
/// As [`run`].
pub fn stop_everywhere(
    course: &Course,
    every: usize,
    publisher: &dyn Fn(&Path, &str) -> Command,
    out: &mut dyn Write,
) -> Result<Score, Failure> {
    let (_folder, app, [mut first, mut second]) = at_the_start(course, publisher)?;
    let mut score = Score::default();
    let mut client = Client::new(&app, &course.url)?;
    for operation in (0..).step_by(every.max(1)) {
        let version = format!("1.{operation}.0");
        first.prepare("stable", &version, TRIPLES[0])?;
        first.tell(&format!("stop {operation}\n"))?;
        match first.answer()?.as_str() {
            "stopped" => {}
            "done" => return Ok(score),
            answer => return Err(format!("a publisher answered {answer:?}").into()),
        }
        score.polls += 2;
        if let Err(error) = client.poll() {
            score.broken += 1;
            writeln!(out, "broken after a stop before operation {operation}: {error}")?;
        }
        second.prepare("stable", &version, TRIPLES[0])?;
        second.go()?;
        second.wait()?;
        score.releases += 1;
        if !client.poll()?.contains(&format!("stable {version} {}", TRIPLES[0])) {
            score.lost += 1;
            writeln!(out, "lost after a stop before operation {operation}: {version}")?;
        }
    }
    Ok(score)
}

/// Makes an app with two publishers. The first one has published a release, so that there is something to poll.
fn at_the_start(
    course: &Course,
    publisher: &dyn Fn(&Path, &str) -> Command,
) -> Result<(tempfile::TempDir, App, [Racer; 2]), Failure> {
    let folder = tempfile::tempdir()?;
    let app = App::create(folder.path())?;
    let start = || Racer::start(publisher(folder.path(), &course.storage), course);
    let [mut first, second] = [start()?, start()?];
    first.prepare("stable", "0.1.0", TRIPLES[0])?;
    first.go()?;
    first.wait()?;
    Ok((folder, app, [first, second]))
}

fn race(
    racers: &mut [Racer; 2],
    rounds: usize,
    judge: &mut Client,
    score: &mut Score,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    for round in 1..=rounds {
        let version = format!("1.{round}.0");
        let channels = if round % 2 == 0 { ["stable", "stable"] } else { ["stable", "beta"] };
        for (index, racer) in racers.iter_mut().enumerate() {
            racer.prepare(channels[index], &version, TRIPLES[index])?;
        }
        for racer in racers.iter_mut() {
            racer.go()?;
        }
        for racer in racers.iter_mut() {
            racer.wait()?;
            score.releases += 1;
        }
        let listed = judge.poll().inspect_err(|_| score.broken += 1)?;
        for (channel, triple) in channels.iter().zip(TRIPLES) {
            let release = format!("{channel} {version} {triple}");
            if !listed.contains(&release) {
                score.lost += 1;
                writeln!(out, "lost in round {round}: {release}")?;
            }
        }
    }
    Ok(())
}

/// Polls until the race is over; returns how often, and what did not verify.
fn poll(app: &App, course: &Course, over: &AtomicBool) -> Result<(usize, Vec<String>), Failure> {
    let mut client = Client::new(app, &course.url)?;
    let (mut polls, mut problems) = (0, Vec::new());
    while !over.load(Ordering::Relaxed) {
        polls += 1;
        if let Err(error) = client.poll() {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            problems.push(text);
        }
        std::thread::sleep(PAUSE);
    }
    Ok((polls, problems))
}

/// A publisher in a process of its own.
struct Racer {
    process: Child,
    /// Gone when it is told to end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Racer {
    fn start(mut command: Command, course: &Course) -> Result<Self, Failure> {
        command.envs(course.environment.iter().cloned()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("a publisher has no pipes".into());
        };
        Ok(Self { process, input: Some(input), output: BufReader::new(output) })
    }

    fn prepare(&mut self, channel: &str, version: &str, triple: &str) -> Result<(), Failure> {
        self.tell(&format!("prepare {channel} {version} {triple}\n"))?;
        self.expect("ready")
    }

    fn go(&mut self) -> Result<(), Failure> {
        self.tell("go\n")
    }

    fn tell(&mut self, line: &str) -> Result<(), Failure> {
        let input = self.input.as_mut().ok_or("the publisher was told to end")?;
        Ok(input.write_all(line.as_bytes())?)
    }

    fn wait(&mut self) -> Result<(), Failure> {
        self.expect("done")
    }

    fn answer(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn expect(&mut self, expected: &str) -> Result<(), Failure> {
        match self.answer()? {
            answer if answer == expected => Ok(()),
            answer => Err(format!("a publisher answered {answer:?} and not {expected:?}").into()),
        }
    }
}

impl Drop for Racer {
    /// Ends it by the end of its input, so that it closes its connections; by force when that takes too long.
    fn drop(&mut self) {
        drop(self.input.take());
        let end = Instant::now() + FAREWELL;
        while self.process.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < end {
            std::thread::sleep(PAUSE);
        }
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// One for each publisher.
const TRIPLES: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];
/// Between two looks of the client: as often as it can without taking the machine from the publishers.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a publisher may take to end.
const FAREWELL: Duration = Duration::from_secs(10);
