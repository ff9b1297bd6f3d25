//! `init`: local settings by question and answer, or a unit for the system's own supervisor.

use super::Place;
use crate::error::{Error, Result};
use crate::places::{Places, write_atomic};
use crate::release::Install;
use crate::shell;
use clap::{Args, ValueEnum};
use std::io::{BufRead, IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;
use updater_format::json::{Map, Value};
use updater_format::launcher::LauncherSettings;

/// Write launcher.toml by question and answer: what this computer wants otherwise than the publisher. With --service print
/// a unit that keeps the launcher itself running.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  updater-launcher init -C /opt/hello
  updater-launcher init -C /opt/hello --service systemd > /etc/systemd/system/hello.service
  updater-launcher init -C /opt/hello --service launchd > ~/Library/LaunchAgents/hello.plist")]
pub(super) struct Init {
    #[command(flatten)]
    place: Place,
    /// Print a unit instead of asking.
    #[arg(long, value_enum)]
    service: Option<Service>,
}

/// A supervisor of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Service {
    /// A systemd service.
    Systemd,
    /// A launchd job for macOS.
    Launchd,
}

impl Init {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self.service {
            Some(service) => {
                let install = Install::open(&self.place.dir)?;
                let program =
                    std::env::current_exe().map_err(|source| Error::file("find", Path::new("the launcher"), source))?;
                let settings = install.settings(&install.current()?.dir)?.settings;
                let grace = settings.stop.grace.duration().as_secs() + SLACK_SECONDS;
                let (app, root) = (install.record.app.as_str(), install.places.root());
                shell::out(match service {
                    Service::Systemd => systemd(app, &program, root, grace)?,
                    Service::Launchd => {
                        shell::step(
                            "Note",
                            "launchd is of macOS, and this launcher runs on Linux alone: change the paths for a Mac",
                        );
                        launchd(app, &program, root, grace)?
                    }
                });
            }
            None => ask_all(&Places::at(&self.place.dir)?)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn ask_all(places: &Places) -> Result<()> {
    let path = places.overrides();
    if path.exists() {
        let hint = "edit it, or remove it first";
        return Err(Error::Usage { problem: format!("{} is there already", path.display()), hint });
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let hint = "write launcher.toml yourself; docs/format/launcher.md lists the keys";
        return Err(Error::Usage { problem: "there is no terminal to ask on".to_owned(), hint });
    }
    let text =
        questions(&mut stdin.lock(), &mut std::io::stderr()).map_err(|source| Error::file("ask on", &path, source))?;
    write_atomic(&path, text.as_bytes())?;
    shell::step("Wrote", path.display().to_string());
    Ok(())
}

/// Asks every question until the answer is good, and returns the text of launcher.toml. An empty answer leaves the key to
/// the publisher.
fn questions(input: &mut impl BufRead, output: &mut impl Write) -> std::io::Result<String> {
    let mut text =
        "# What this computer wants otherwise than the publisher; docs/format/launcher.md lists the keys.\n".to_owned();
    for (key, question) in QUESTIONS {
        loop {
            write!(output, "{question}\n  {key} [as published]: ")?;
            output.flush()?;
            let mut answer = String::new();
            if input.read_line(&mut answer)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let answer = answer.trim();
            if answer.is_empty() {
                break;
            }
            // A number where it is one, else text: no key here takes anything else.
            let value = answer.parse::<u64>().map_or_else(|_| Value::from(answer), Value::from);
            match LauncherSettings::from_layers([&Map::from_iter([((*key).to_owned(), value.clone())])]) {
                Ok(_) => {
                    text.push_str(&format!("{key} = {value}\n"));
                    break;
                }
                Err(error) => writeln!(output, "  {error}")?,
            }
        }
    }
    Ok(text)
}

/// Writes a unit of systemd. The launcher restarts the app, systemd the launcher.
fn systemd(app: &str, program: &Path, root: &Path, grace: u64) -> Result<String> {
    let quoted = |path: &Path| match path.to_str() {
        // `%` is a specifier of systemd, `$` a variable of ExecStart.
        Some(text) if !text.contains(['"', '\\', '\n', '$', '%']) => Ok(format!("\"{text}\"")),
        _ => Err(Error::Usage {
            problem: format!("{} cannot stand in a unit", path.display()),
            hint: "use a path without quotes, backslashes, $ and %",
        }),
    };
    let (program, root) = (quoted(program)?, quoted(root)?);
    Ok(format!(
        "[Unit]\nDescription={app}, kept running and up to date by updater-launcher\nAfter=network-online.target\nWants=network-online.target\n\n\
         [Service]\nExecStart={program} start -C {root}\nRestart=on-failure\nKillMode=mixed\nTimeoutStopSec={grace}\n\n\
         [Install]\nWantedBy=multi-user.target"
    ))
}

/// Writes a job of launchd: `~/Library/LaunchAgents/APP.plist`, or `/Library/LaunchDaemons/APP.plist` for all users.
fn launchd(app: &str, program: &Path, root: &Path, grace: u64) -> Result<String> {
    let text = |path: &Path| match path.to_str() {
        Some(text) if !text.contains(char::is_control) => {
            Ok(text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
        }
        _ => Err(Error::Usage {
            problem: format!("{} cannot stand in a property list", path.display()),
            hint: "use a path of printable UTF-8",
        }),
    };
    let (program, root) = (text(program)?, text(root)?);
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n<dict>\n\
         \t<key>Label</key>\n\t<string>{app}</string>\n\
         \t<key>ProgramArguments</key>\n\t<array>\n\t\t<string>{program}</string>\n\t\t<string>start</string>\n\
         \t\t<string>-C</string>\n\t\t<string>{root}</string>\n\t</array>\n\
         \t<key>RunAtLoad</key>\n\t<true/>\n\
         \t<key>KeepAlive</key>\n\t<dict>\n\t\t<key>SuccessfulExit</key>\n\t\t<false/>\n\t</dict>\n\
         \t<key>ExitTimeOut</key>\n\t<integer>{grace}</integer>\n\
         </dict>\n</plist>"
    ))
}

/// What is asked, key by key.
const QUESTIONS: &[(&str, &str)] = &[
    ("restart", "When is the app started again: never, on-failure, always?"),
    ("interval", "How often are updates looked for: never, or a time such as 6h?"),
    ("keep", "How many versions stay on disk, two at least?"),
];
/// Seconds that systemd waits longer than the launcher waits for the app.
const SLACK_SECONDS: u64 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_settings_and_wrong_ones_are_asked_again() {
        let mut output = Vec::new();
        let text = questions(&mut "sometimes\nalways\n\n1\n4\n".as_bytes(), &mut output).unwrap();
        assert!(text.ends_with("keys.\nrestart = \"always\"\nkeep = 4\n"), "{text}");
        let asked = String::from_utf8(output).unwrap();
        assert!(asked.contains("`restart`: ") && asked.contains("`keep`: it must be 2 to 100"), "{asked}");
        let table: Map<String, Value> = toml_edit::de::from_str(&text).unwrap();
        assert_eq!(LauncherSettings::from_layers([&table]).unwrap().keep, 4);
        assert!(questions(&mut "always\n".as_bytes(), &mut Vec::new()).is_err(), "the terminal was closed");
    }

    #[test]
    fn a_unit_starts_the_launcher_and_odd_paths_are_refused() {
        let unit = systemd("hello", Path::new("/usr/bin/updater-launcher"), Path::new("/opt/my hello"), 25).unwrap();
        assert!(unit.contains("\nExecStart=\"/usr/bin/updater-launcher\" start -C \"/opt/my hello\"\n"), "{unit}");
        assert!(unit.contains("\nTimeoutStopSec=25\n"));
        let odd = systemd("hello", Path::new("/x"), Path::new("/opt/100%"), 25);
        assert!(matches!(odd, Err(Error::Usage { .. })));
    }
}
