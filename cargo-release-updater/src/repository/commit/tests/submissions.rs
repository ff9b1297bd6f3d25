//! Roles that wait for the online key, and the refresh that folds them in.

use super::*;
use updater_format::signed::{Signed, Untrusted};

impl App {
    /// Returns the key of the channels alone: what it signs waits for the online key.
    fn channel_keychain(&self) -> Keychain {
        let mut keychain =
            Keychain::open(KeyFolder::at("/nonexistent".into()), Passwords::none(Prompts::Never)).unwrap();
        keychain.add(Signer::from_text("test", &self.texts[3], || panic!("plain")).unwrap());
        keychain
    }

    /// Submits a file of this name; `meanwhile` happens on the first try, after everything was read.
    fn submit(
        &self,
        storage: &Storage,
        name: &str,
        meanwhile: impl FnOnce(),
    ) -> (usize, Result<Committed, CommandError>) {
        let (mut tries, mut meanwhile) = (0, Some(meanwhile));
        let mut keychain = self.channel_keychain();
        let committed = self.commit(storage, &mut keychain, NO_LEASE).publish(&self.channel, |role, _| {
            tries += 1;
            if let Some(meanwhile) = meanwhile.take() {
                meanwhile();
            }
            role.targets.insert(name.to_owned(), target(name));
            Ok(())
        });
        (tries, committed)
    }

    pub(super) fn refresh(&self, storage: &Storage) -> Result<crate::repository::Refreshed, CommandError> {
        let mut keychain = self.keychain();
        self.commit(storage, &mut keychain, NO_LEASE).refresh(crate::repository::Renew::Always)
    }
}

/// Returns the names that a channel's submission lists.
fn waiting(storage: &Storage) -> Vec<String> {
    let submission = Submission::read(storage, "stable").unwrap().unwrap();
    submission.parse(storage, "stable").unwrap().unverified().targets.keys().cloned().collect()
}

const SUBMITTED: &str = "submissions/stable.json";

#[test]
fn a_submission_made_from_an_older_role_is_not_folded_in() {
    let app = App::new();
    let (temp, storage) = folder();
    app.publish(&storage, "a", NO_LEASE).unwrap();
    // The role of a release that is not committed yet has taken number 2.
    storage.put_new(&metadata("2.stable.json"), b"of another publisher".to_vec()).unwrap();
    assert_eq!(app.submit(&storage, "s", || {}).1.unwrap().role, 3);
    let submitted = storage.read(SUBMITTED, 1 << 20).unwrap().unwrap();
    Submission::withdraw(&storage, "stable").unwrap();
    std::fs::remove_file(temp.path().join("repository/metadata/2.stable.json")).unwrap();
    app.publish(&storage, "b", NO_LEASE).unwrap();
    storage.put_mutable(SUBMITTED, submitted).unwrap();

    let refreshed = app.refresh(&storage).unwrap();
    let [skipped] = &refreshed.skipped[..] else { panic!("{refreshed:?}") };
    assert!(skipped.problem.contains("the channel stable has changed since version 3"), "{skipped:?}");
    assert!(skipped.hints[0].contains("refresh --discard stable"), "{skipped:?}");
    // Nor is it built upon.
    let error = app.submit(&storage, "t", || {}).1.unwrap_err();
    assert!(error.to_string().contains("the channel stable has changed since version 3"), "{error}");
    assert_eq!(app.visible(&storage).unwrap(), ["a", "b"]);
}

#[test]
fn a_submitter_builds_on_a_release_that_was_published_while_it_signed() {
    let app = App::new();
    let storage = memory();
    app.publish(&storage, "a", NO_LEASE).unwrap();
    let (tries, submitted) = app.submit(&storage, "s", || {
        app.publish(&storage, "b", NO_LEASE).unwrap();
    });
    assert_eq!((tries, submitted.unwrap().role), (2, 3));
    assert_eq!(waiting(&storage), ["a", "b", "s"]);
}

#[test]
fn the_second_of_two_submitters_builds_on_what_the_first_has_left() {
    for withdrawn in [false, true] {
        let app = App::new();
        let storage = memory();
        app.publish(&storage, "a", NO_LEASE).unwrap();
        if withdrawn {
            Submission::withdraw(&storage, "stable").unwrap();
        }
        let (tries, second) = app.submit(&storage, "y", || {
            app.submit(&storage, "x", || {}).1.unwrap();
        });
        assert_eq!((tries, second.unwrap().role), (2, 2));
        assert_eq!(waiting(&storage), ["a", "x", "y"]);
        // Whoever has the online key decides about it first.
        let error = app.publish(&storage, "z", NO_LEASE).unwrap_err();
        assert!(error.to_string().contains("version 2 of the role stable waits for the online key"), "{error}");
        app.refresh(&storage).unwrap();
        assert_eq!(app.visible(&storage).unwrap(), ["a", "x", "y"]);
    }
}

#[test]
fn what_others_have_left_in_the_place_of_a_submission_is_not_built_upon() {
    let app = App::new();
    let storage = memory();
    app.publish(&storage, "a", NO_LEASE).unwrap();
    app.submit(&storage, "s", || {}).1.unwrap();
    let ours = Submission::read(&storage, "stable").unwrap().unwrap();
    let stranger = Rc::new(Signer::from_text("test", &App::new().texts[3], || panic!("plain")).unwrap());
    let role = ours.parse(&storage, "stable").unwrap().unverified().clone();
    // By another key; and by ours, made from a role that is not the published one, with the base of the published one beside it.
    let foreign = Document::sign("stable", &role, &[stranger]).unwrap();
    let mut other = role.clone();
    crate::repository::Base { version: 1, sha256: updater_format::Sha256::of(b"another") }
        .name_in(other.extension.as_mut().unwrap());
    let own = Rc::new(Signer::from_text("test", &app.texts[3], || panic!("plain")).unwrap());
    let elsewhere = Document::sign("stable", &other, &[own]).unwrap();
    for document in [foreign, elsewhere] {
        let left = ours.clone().with_document(&document.bytes);
        left.put(&storage, "stable").unwrap();
        let error = app.submit(&storage, "t", || {}).1.unwrap_err();
        assert!(error.to_string().contains("version 2 of the role stable waits for the online key"), "{error}");
        assert_eq!(Submission::read(&storage, "stable").unwrap(), Some(left));
    }
}

#[test]
fn a_submission_whose_number_went_to_another_release_is_told() {
    let app = App::new();
    let storage = memory();
    app.publish(&storage, "a", NO_LEASE).unwrap();
    app.submit(&storage, "s", || {}).1.unwrap();
    let submitted = storage.read(SUBMITTED, 1 << 20).unwrap().unwrap();
    Submission::withdraw(&storage, "stable").unwrap();
    app.publish(&storage, "b", NO_LEASE).unwrap();
    app.refresh(&storage).unwrap();
    assert!(!app.shell.output().0.contains("was submitted"), "nothing is lost yet");
    storage.put_mutable(SUBMITTED, submitted).unwrap();
    app.refresh(&storage).unwrap();
    assert!(app.shell.output().0.contains("version 2 of the role stable was submitted and something else"));
}

#[test]
fn a_bad_submission_does_not_stop_the_good_one_of_another_channel() {
    let app = App::new();
    let storage = memory();
    app.publish(&storage, "a", NO_LEASE).unwrap();
    app.submit(&storage, "s", || {}).1.unwrap();
    for bad in [b"{".to_vec(), vec![b' '; 4 << 20]] {
        storage.put_mutable("submissions/beta.json", bad).unwrap();
        // Nothing is folded in twice, so each round has one of its own.
        let refreshed = app.refresh(&storage).unwrap();
        let [skipped] = &refreshed.skipped[..] else { panic!("{refreshed:?}") };
        assert_eq!((skipped.role.as_str(), skipped.code), ("beta", crate::error::ExitCode::Storage));
    }
    assert_eq!(app.visible(&storage).unwrap(), ["a", "s"]);
}

#[test]
fn a_later_targets_role_may_be_the_first_that_is_published() {
    let app = App::new();
    let storage = memory();
    app.submit(&storage, "a", || {}).1.unwrap();
    let targets = Signed::<Targets>::parse(&Untrusted::new(&*app.targets)).unwrap().unverified().clone();
    let signer = Rc::new(Signer::from_text("test", &app.texts[1], || panic!("plain")).unwrap());
    let second = Document::sign("targets", &Targets { version: 2, ..targets }, &[signer]).unwrap();
    Submission::new(&second.bytes, None, None).put(&storage, "targets").unwrap();
    let refreshed = app.refresh(&storage).unwrap();
    assert_eq!(refreshed.skipped, []);
    assert_eq!(app.visible(&storage).unwrap(), ["a"]);
    assert_eq!(storage.read(&metadata("2.targets.json"), 1 << 20).unwrap().unwrap(), second.bytes);
}
