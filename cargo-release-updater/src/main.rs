//! `cargo updater`: parse, run, report, exit code.

fn main() -> std::process::ExitCode {
    cargo_release_updater::cli::main(std::env::args_os())
}
