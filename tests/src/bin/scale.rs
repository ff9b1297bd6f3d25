//! `scale [--counts 10,100,1000,10000] [--write]`: what the next publish and a client's check cost with so many releases for six
//! triples there already, beside python-tuf with one targets role that lists them all.
//!
//! ```text
//! cargo run --release -p updater-tests --bin scale -- --write
//! ```
//!
//! `--write` writes docs/benchmarks/scale.csv, scale.svg and the tables of scale.md. Linux only: it reads what /proc says of a process.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::process::ExitCode;
use updater_tests::peers;
use updater_tests::race::Failure;
use updater_tests::scale::history::History;
use updater_tests::scale::{as_tool, draw, measure, rival};
use updater_tests::workspace;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|word| word == "cli") {
        return as_tool(&arguments[1..]);
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    let (mut counts, mut write) = (vec![10, 100, 1000, 10_000], false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--write" => write = true,
            "--counts" => {
                let list = words.next().ok_or("--counts needs numbers")?;
                counts = list.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            other => return Err(format!("{other:?} is not understood").into()),
        }
    }
    let program = std::env::current_exe()?;
    let python = peers::python_tuf();
    let mut history = History::new(&TRIPLES, &program)?;
    let mut rows = Vec::new();
    for releases in counts {
        let row = measure(&mut history, releases, &program)?;
        let (requests, read, written) =
            (row.publish.traffic.requests(), row.publish.traffic.read, row.publish.traffic.written);
        eprintln!(
            "{releases} releases: {requests} requests, {read} bytes read, {written} written; {:.2} s of CPU, {:.1} s; a first check reads {} bytes",
            row.publish.cpu, row.publish.elapsed, row.check.first.read
        );
        let rival = python.as_ref().map(|python| rival::measure(python, releases, TRIPLES.len())).transpose()?;
        rows.push((row, rival));
    }
    let tables = draw::tables(&rows);
    println!("{tables}");
    if write {
        let folder = workspace().join("docs/benchmarks");
        std::fs::write(folder.join("scale.csv"), draw::csv(&rows))?;
        std::fs::write(folder.join("scale.svg"), draw::svg(&rows))?;
        let page = folder.join("scale.md");
        let before = std::fs::read_to_string(&page)?;
        let (head, rest) = before.split_once(BEGIN).ok_or("scale.md has lost its marks")?;
        let (_, tail) = rest.split_once(END).ok_or("scale.md has lost its marks")?;
        std::fs::write(&page, format!("{head}{BEGIN}\n{tables}\n{END}{tail}"))?;
    }
    Ok(())
}

const TRIPLES: [&str; 6] = [
    "aarch64-apple-darwin",
    "aarch64-unknown-linux-gnu",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
];
const BEGIN: &str = "<!-- written by scale -->\n";
const END: &str = "<!-- end of what scale wrote -->\n";
