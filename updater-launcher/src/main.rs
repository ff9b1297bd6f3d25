//! `updater-launcher`: parse, run, report, exit code.

fn main() -> std::process::ExitCode {
    updater_launcher::cli::main(std::env::args_os())
}
