//! Each check, on both sides of its line.

use super::*;
use crate::error::ExitCode;
use crate::shell::MessageFormat;
use crate::steps::testing::App;

fn run_at(app: &App, keys: &[usize], channel: &str, now: UtcTime) -> (CommandResult, String) {
    let shell = Shell::captured(MessageFormat::Human);
    let keychain = app.keychain_with(keys);
    let channel = channel.parse().unwrap();
    let facts = Facts::new(&app.trust, None, &channel, &keychain, now).unwrap();
    let result = run(&facts, &shell);
    (result, shell.output().0)
}

fn start() -> UtcTime {
    UtcTime::parse("2026-01-01T00:00:00Z").unwrap()
}

#[test]
fn a_release_that_can_be_finished_passes_every_check() {
    let app = App::at(start());
    let (result, told) = run_at(&app, &[2, 3], "stable", start());
    result.unwrap();
    assert_eq!(told.matches("passed").count(), CHECKS.len(), "{told}");
}

#[test]
fn a_missing_key_is_named_with_its_role() {
    let app = App::at(start());
    for (keys, role) in [(&[2][..], "stable"), (&[], "stable"), (&[0, 1], "stable")] {
        let error = run_at(&app, keys, "stable", start()).0.unwrap_err();
        assert_eq!(error.code, ExitCode::Key);
        let message = error.to_string();
        assert!(message.starts_with(&format!("cannot sign the role {role}: 0 of the 1 keys")), "{message}");
        assert!(!error.hints.is_empty());
    }
}

#[test]
fn without_the_online_key_the_release_waits() {
    let (result, told) = run_at(&App::at(start()), &[3], "stable", start());
    result.unwrap();
    assert!(told.contains("warning: the online key is not here: the release waits"), "{told}");
}

#[test]
fn a_channel_that_does_not_exist_is_a_mistake_in_the_settings() {
    let error = run_at(&App::at(start()), &[2, 3], "beta", start()).0.unwrap_err();
    assert_eq!((error.code, error.to_string().as_str()), (ExitCode::Config, "the app has no channel `beta`"));
    let comes = "a channel comes by `channels` in the table, then `cargo updater keys rotate beta`";
    assert_eq!(error.hints, ["use one of: stable", comes]);
}

#[test]
fn expired_roles_refuse_and_expiring_ones_warn() {
    let app = App::at(start());
    let (result, told) = run_at(&app, &[2, 3], "stable", start().plus_days(300));
    result.unwrap();
    assert!(
        told.contains("warning: the role root expires on 2027-01-01T00:00:00Z; its holders renew it with"),
        "{told}"
    );
    let (result, told) = run_at(&app, &[2, 3], "stable", start().plus_days(200));
    result.unwrap();
    assert!(!told.contains("warning"), "{told}");
    let error = run_at(&app, &[2, 3], "stable", start().plus_days(366)).0.unwrap_err();
    assert_eq!(error.code, ExitCode::Verification);
    assert!(error.to_string().starts_with("the root role expired on 2027-01-01"), "{error}");
}

#[test]
fn a_project_whose_own_root_was_changed_is_refused() {
    let mut app = App::at(start());
    let at = app.trust.root.len() / 2;
    app.trust.root[at] ^= 1;
    let (channel, keychain) = (Channel::stable(), app.keychain());
    let error = Facts::new(&app.trust, None, &channel, &keychain, start()).unwrap_err();
    assert!(matches!(error, RepositoryError::Trust { file, .. } if file == "root.json"));
}
