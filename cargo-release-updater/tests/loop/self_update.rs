//! Programs that update themselves as real processes: what the new version is given, and what becomes of versions that
//! do not come up.

use crate::app::{App, Installed, Outcome, finish};
use crate::trial_app::{Behaviour, trial_app};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use updater_tests::server::TestServer;
use updater_tests::workspace;

#[test]
fn the_example_updates_itself_and_completes_its_trial() {
    let server = TestServer::start();
    let program = std::fs::read_to_string(workspace().join("examples/hello/src/main.rs")).unwrap();
    let app = App::new(&program, &server.url(""), "");
    let repository = app.publish("repository");
    let installed = app.install(&repository, "1.0.0");
    app.replace("Cargo.toml", "version = \"1.0.0\"", "version = \"1.1.0\"");
    app.publish("repository");
    server.serve_folder(&repository);

    let names = ["Ada", "and \"Grace\" & co", ""];
    let run = installed.run(&names);
    assert!(run.status.success(), "{run:#?}");
    assert_eq!(run.stdout, "hello Ada and \"Grace\" & co , this is 1.1.0\n");
    assert!(run.stderr.contains("hello: 1.0.0 -> 1.1.0 ("), "{run:#?}");
    let asked: Vec<_> = server.take_log().into_iter().map(|request| request.target).collect();
    assert_eq!(asked.iter().filter(|path| path.ends_with(".patch")).count(), 1, "{asked:?}");
    assert!(!asked.iter().any(|path| path.ends_with(".tar.xz")), "{asked:?}");
    // Completed: nothing is left of the old version, and the next start has nothing to do.
    assert!(!installed.hidden().exists());
    let run = installed.run(&["again"]);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("hello again, this is 1.1.0\n", ""));
    assert_eq!(server.take_log().len(), 2);

    // A folder that has gone and a server that does not answer are no business of those who want to be greeted.
    drop(server);
    let run = installed.run(&["offline"]);
    assert_eq!((run.stdout.as_str(), run.status.success()), ("hello offline, this is 1.1.0\n", true));
}

#[test]
fn the_new_version_has_the_arguments_environment_and_folder_of_the_old() {
    let (installed, server) = trial_app().installed_before(Behaviour::Healthy);
    let folder = installed.path("a folder");
    std::fs::create_dir(&folder).unwrap();
    let arguments =
        [OsStr::new("update"), OsStr::new(""), OsStr::new("--x=\"y z\""), OsStr::from_bytes(b"not \xff text")];
    let command = |command: &mut std::process::Command| {
        command.current_dir(&folder).env("TRIAL_URL", server.url("/")).env("EMPTY", "");
        command.env("ODD", OsStr::from_bytes(b"line\nbreak \xff"));
        finish(command)
    };
    let run = command(&mut installed.command(&arguments))
        .done_by("1.1.0")
        .tells("this is 1.0.0")
        .tells("event 1.1.0 is staged");
    let again =
        command(&mut installed.command(&arguments)).done_by("1.1.0").tells("no update: 1.1.0 is the newest version");
    let program = installed.program.as_os_str();
    let expected: Vec<&OsStr> = [program].into_iter().chain(arguments).collect();
    for run in [&run, &again] {
        assert_eq!(run.line("arguments "), format!("{expected:?}"));
        assert_eq!(run.line("folder "), format!("{folder:?}"));
    }
    // The one documented difference: the guard against versions that install themselves for ever.
    let variables = run.line("variables ");
    let begin = variables.find(r#", ("UPDATER_RESTARTED_FROM", "1.0.0 "#).unwrap_or_else(|| panic!("{variables}"));
    let end = begin + variables[begin..].find(')').unwrap() + 1;
    assert_eq!(format!("{}{}", &variables[..begin], &variables[end..]), again.line("variables "));
}

/// The version kills itself in some way, each time that it is started, until the old one is back.
fn a_version_that_dies_is_replaced(behaviour: Behaviour, died: impl Fn(Outcome)) {
    let (installed, server) = trial_app().installed_before(behaviour);
    let (old, url) = (installed.bytes(), server.url("/"));
    died(installed.update(&url).tells("event 1.1.0 is staged"));
    assert_ne!(installed.bytes(), old);
    died(installed.run(&["tell"]));
    assert_ne!(installed.bytes(), old, "one failure after the first start is not enough");
    // The third start finds two failed attempts, puts the old version back and becomes it.
    let back = installed.run(&["tell"]).done_by("1.0.0");
    assert_eq!(back.line("arguments "), format!("{:?}", [installed.program.as_os_str(), OsStr::new("tell")]));
    assert_eq!(installed.bytes(), old);
    // It is not offered again.
    installed.update(&url).done_by("1.0.0").tells("no update: ");
    assert_eq!(installed.bytes(), old);
}

#[test]
fn a_version_killed_at_its_start_is_replaced_by_the_old_one() {
    a_version_that_dies_is_replaced(Behaviour::Killed, |run| drop(run.killed_by(9)));
}

#[test]
fn a_version_that_aborts_is_replaced_by_the_old_one() {
    a_version_that_dies_is_replaced(Behaviour::Aborts, |run| drop(run.killed_by(6)));
}

#[test]
fn a_version_that_panics_is_replaced_by_the_old_one_and_a_newer_one_is_taken() {
    a_version_that_dies_is_replaced(Behaviour::Panics, |run| {
        assert!(run.status.code() == Some(101) && run.stderr.contains("broken"), "{run:#?}");
    });
    // The publisher mends it: whoever went back gets the next version.
    let mut app = trial_app();
    let (installed, server) = app.installed_before(Behaviour::Panics);
    installed.update(&server.url("/"));
    installed.run(&["tell"]);
    installed.run(&["tell"]).done_by("1.0.0");
    let mended = app.app.path("repositories/mended");
    crate::trial_app::copy_folder(&app.with_second(Behaviour::Panics), &mended);
    app.publish("1.2.0", Behaviour::Healthy, &mended);
    drop(app);
    server.serve_folder(&mended);
    installed.update(&server.url("/")).done_by("1.2.0").tells("event 1.2.0 is staged");
    installed.run(&["confirm"]).done_by("1.2.0").tells("confirmed: Ok(true)");
}

#[test]
fn twenty_short_runs_at_once_never_return_a_healthy_version() {
    let (installed, server) = trial_app().installed_before(Behaviour::Healthy);
    installed.update(&server.url("/")).done_by("1.1.0");
    let new = installed.bytes();
    for round in 0..2 {
        std::thread::scope(|scope| {
            let runs: Vec<_> = (0..20).map(|_| scope.spawn(|| installed.run(&["tell"]).done_by("1.1.0"))).collect();
            let help: Vec<_> = (0..20).map(|_| scope.spawn(|| installed.run(&["--help"]))).collect();
            runs.into_iter().for_each(|run| drop(run.join().unwrap()));
            for run in help {
                let run = run.join().unwrap();
                assert!(run.status.success() && run.stdout.starts_with("usage: "), "{run:#?}");
            }
        });
        assert_eq!(installed.bytes(), new);
        // On trial during the first round, confirmed before the second.
        assert_eq!(installed.hidden().exists(), round == 0);
        let confirmed = installed.run(&["confirm"]).done_by("1.1.0");
        assert_eq!(confirmed.line("confirmed: "), format!("Ok({})", round == 0));
    }
}

#[test]
fn a_version_that_does_not_answer_the_probe_is_never_installed() {
    let mut app = trial_app();
    let refused = app.at("1.1.0", Behaviour::Mute, || {
        let storage = format!("fs:{}", app.first.display());
        app.app.cargo_updater(&["publish", "--level", "1", "--storage", &storage])
    });
    // The publisher hears of it before anybody else.
    refused.fails(30, "the update from 1.0.0 to 1.1.0 does not work", "nothing was published");
    let (installed, server) = app.installed_before(Behaviour::Mute);
    drop(app);
    let old = installed.bytes();
    for _ in 0..2 {
        let run = installed
            .update(&server.url("/"))
            .done_by("1.0.0")
            .tells("error install-probe: release 1.1.0 does not start here");
        assert!(run.line("help: ").contains("`updater!()` must be the first line of `main`"), "{run:#?}");
        assert_no_change(&installed, &old);
    }
}

fn assert_no_change(installed: &Installed, old: &[u8]) {
    assert!(installed.bytes() == old, "the program was changed");
    installed.run(&["tell"]).done_by("1.0.0");
}
