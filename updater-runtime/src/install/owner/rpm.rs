//! What rpm owns. Its database has changed its format three times, so rpm itself is asked.

use super::{Found, MAX_RECORD, exists, found, shown};
use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Asks rpm, where it has a database, which package a program came with.
pub(super) fn rpm(program: &Path, system: &Path) -> Option<Found> {
    let database = DATABASES
        .iter()
        .map(|folder| system.join(folder))
        .find(|folder| FILES.iter().any(|file| exists(&folder.join(file))))?;
    let below = super::packaged_names(program, system)?.pop()?;
    let mut command = Command::new(RPM);
    if system != Path::new("/") {
        command.arg("--dbpath").arg(&database);
    }
    command.args(["--query", "--queryformat", "%{NAME}\\n", "--file"]).arg(PathBuf::from(os_str(&below)));
    let answer = match ask(command, PATIENCE) {
        Answer::Said(answer) => answer,
        Answer::No => return None,
        Answer::Unknown => return Some(Found::Unknown { manager: "rpm" }),
    };
    let package = shown(OsStr::new(answer.lines().next().filter(|name| !name.is_empty())?));
    let has = |path: &str| exists(&system.join(path));
    found(
        "rpm",
        match () {
            // The system is an image there, and is upgraded as one.
            () if has("run/ostree-booted") => "rpm-ostree upgrade".to_owned(),
            () if has("usr/bin/dnf") || has("usr/bin/dnf5") => format!("dnf upgrade {package}"),
            () if has("usr/bin/zypper") => format!("zypper update {package}"),
            () if has("usr/bin/yum") => format!("yum update {package}"),
            () => format!("rpm --upgrade {package}"),
        },
    )
}

/// What became of a question.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// It was answered so.
    Said(String),
    /// There is nobody to ask, or the answer is no.
    No,
    /// There was no answer in time.
    Unknown,
}

/// Runs a question with nothing but its arguments.
fn ask(mut command: Command, patience: Duration) -> Answer {
    command.env_clear().env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return Answer::No };
    let Some(status) = wait(&mut child, patience) else { return Answer::Unknown };
    let mut text = String::new();
    let read = child.stdout.take().map(|pipe| pipe.take(MAX_RECORD).read_to_string(&mut text));
    match (status.success(), status.code(), read) {
        (true, _, Some(Ok(_))) => Answer::Said(text),
        (false, Some(_), _) => Answer::No,
        // Killed by a signal, or its words cannot be read.
        _ => Answer::Unknown,
    }
}

/// Waits for the end of a process, not for ever; `None` when it was ended. What prints more than a pipe holds never ends.
fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let begin = Instant::now();
    while begin.elapsed() < patience {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => std::thread::sleep(PAUSE),
            Err(_) => break,
        }
    }
    if let Err(error) = child.kill().and_then(|()| child.wait().map(drop)) {
        log::debug!("cannot end rpm: {error}");
    }
    None
}

fn os_str(bytes: &[u8]) -> &OsStr {
    use std::os::unix::ffi::OsStrExt as _;
    OsStr::from_bytes(bytes)
}

/// rpm, where every distribution has it; what a search path says counts for nothing.
const RPM: &str = "/usr/bin/rpm";
/// Where the database lies, the present place first.
const DATABASES: [&str; 2] = ["usr/lib/sysimage/rpm", "var/lib/rpm"];
/// Its file, by format: SQLite, NDB, Berkeley DB.
const FILES: [&str; 3] = ["rpmdb.sqlite", "Packages.db", "Packages"];
/// How long rpm may take; it waits for nobody, but its database may be slow to read.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked after.
const PAUSE: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::super::of;
    use super::*;
    use crate::install::Obstacle;

    const SPEC: &str = "Name: hello-tools\nVersion: 1.0\nRelease: 1\nSummary: a test\nLicense: none\nBuildArch: noarch\n\
                        %description\nA test.\n%install\nmkdir -p %{buildroot}/usr/bin\n\
                        echo hello > %{buildroot}/usr/bin/hello-by-rpm\n%files\n/usr/bin/hello-by-rpm\n";

    fn run(command: &mut Command) {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes a database by rpm itself, in which one package owns one program.
    fn install_package(system: &Path) {
        let build = tempfile::tempdir().unwrap();
        let spec = build.path().join("hello.spec");
        std::fs::write(&spec, SPEC).unwrap();
        let top = format!("_topdir {}", build.path().display());
        run(Command::new("rpmbuild").args(["-bb", "--quiet", "--define", &top]).arg(&spec));
        let package = build.path().join("RPMS/noarch/hello-tools-1.0-1.noarch.rpm");
        let database = system.join("var/lib/rpm");
        std::fs::create_dir_all(&database).unwrap();
        let mut command = Command::new(RPM);
        command.arg("--dbpath").arg(&database).args(["--install", "--justdb", "--nodeps"]).arg(package);
        run(&mut command);
    }

    #[test]
    fn rpm_owns_what_it_installed() {
        if !Command::new("rpmbuild").arg("--version").output().is_ok_and(|output| output.status.success()) {
            assert!(std::env::var("UPDATER_REQUIRE").as_deref() != Ok("all"), "rpm is required here (apt install rpm)");
            eprintln!("skipped: rpm (install with apt install rpm)");
            return;
        }
        let system = tempfile::tempdir().unwrap();
        install_package(system.path());
        let owner = |program: &str| of(&system.path().join(program), system.path());
        let by = |command: &str| Some(Obstacle::PackageManager { manager: "rpm", command: command.to_owned() });
        assert_eq!(owner("usr/bin/hello-by-rpm"), by("rpm --upgrade hello-tools"));
        assert_eq!(owner("usr/bin/hello-by-hand"), None);
        assert_eq!(owner("usr/local/bin/hello-by-rpm"), None);
        for (tool, command) in [("zypper", "zypper update hello-tools"), ("dnf", "dnf upgrade hello-tools")] {
            std::fs::create_dir_all(system.path().join("usr/bin")).unwrap();
            std::fs::write(system.path().join("usr/bin").join(tool), "").unwrap();
            assert_eq!(owner("usr/bin/hello-by-rpm"), by(command));
        }
        std::fs::create_dir(system.path().join("run")).unwrap();
        std::fs::write(system.path().join("run/ostree-booted"), "").unwrap();
        assert_eq!(owner("usr/bin/hello-by-rpm"), by("rpm-ostree upgrade"));
    }

    #[test]
    fn without_a_database_nobody_is_asked() {
        let system = tempfile::tempdir().unwrap();
        assert!(rpm(&system.path().join("usr/bin/hello"), system.path()).is_none());
        // What is no database answers nothing, and holds nobody up.
        std::fs::create_dir_all(system.path().join("var/lib/rpm")).unwrap();
        std::fs::write(system.path().join("var/lib/rpm/rpmdb.sqlite"), "garbage").unwrap();
        assert!(rpm(&system.path().join("usr/bin/hello"), system.path()).is_none());
    }

    #[test]
    fn a_question_that_is_never_answered_is_ended() {
        let sh = |script: &str| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]);
            command
        };
        assert_eq!(ask(sh("echo hello"), PATIENCE), Answer::Said("hello\n".to_owned()));
        assert_eq!(ask(sh("echo hello; exit 1"), PATIENCE), Answer::No, "an answer that failed is none");
        assert_eq!(ask(Command::new("/nonexistent/rpm"), PATIENCE), Answer::No, "nobody is there to ask");
        assert_eq!(ask(sh("kill -9 $$"), PATIENCE), Answer::Unknown);
        let begin = Instant::now();
        assert_eq!(ask(sh("exec /bin/sleep 60"), Duration::from_millis(50)), Answer::Unknown);
        assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    }
}
