//! The commit protocol on GitHub, by a stand-in that is as strict as GitHub's documentation: whole publications, races,
//! every request lost or the last one, limits, and what must be refused with nothing half done.

use super::*;
use crate::error::{ExitCode, Explain as _};
use crate::storage::{GitHubError, Replaced, StorageUri};
use updater_tests::github::{Fault, GitHub, READS, WRITES};

/// Opens the stand-in with a token, and the commit of a workflow if there is one.
fn open(github: &GitHub, token: &str, commit: Option<&str>) -> Storage {
    let mut variables = github.variables(token);
    variables.extend(commit.map(|commit| ("GITHUB_SHA".to_owned(), commit.to_owned())));
    variables.push(("GITHUB_REPOSITORY".to_owned(), "owner/app".to_owned()));
    let StorageUri::GitHub(address) = StorageUri::parse("github:owner/app").unwrap() else { panic!("it is one") };
    let variable = |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    Storage::open_github(&address, variable).unwrap()
}

/// Publishes a release with one file, whose content is its version.
fn publish(app: &App, storage: &Storage, version: &str) -> Result<Committed, CommandError> {
    publish_as(app, storage, version, version)
}

fn publish_as(app: &App, storage: &Storage, version: &str, text: &str) -> Result<Committed, CommandError> {
    let mut keychain = app.keychain();
    let mut commit = app.commit(storage, &mut keychain, NO_LEASE);
    let mut content = tempfile::NamedTempFile::new().unwrap();
    content.write_all(text.as_bytes()).unwrap();
    let name = format!("hello-{version}.md");
    let upload = Upload {
        artifact: artifact(&name, text.as_bytes()),
        component: None,
        version: version.parse().unwrap(),
        content: content.path().to_owned(),
        minisig: Some("signature".to_owned()),
    };
    commit.upload(&[upload], |_, _| {})?;
    commit.publish(&app.channel, |role, _| {
        role.targets.insert(name.clone(), TargetFile { length: text.len() as u64, ..target(text) });
        Ok(())
    })
}

/// Asserts that clients see these versions, and that every file is where they look for it.
#[track_caller]
fn assert_published(app: &App, github: &GitHub, versions: &[&str]) {
    let names: Vec<String> = versions.iter().map(|version| format!("hello-{version}.md")).collect();
    assert_eq!(app.visible(&open(github, READS, None)).unwrap_or_default(), names);
    let state = github.state();
    for (version, name) in versions.iter().zip(&names) {
        let release = state.release(&format!("v{version}")).unwrap();
        assert!(!release.draft && state.refs.contains_key(&format!("tags/v{version}")), "{version}");
        let assets: Vec<_> = release.assets.values().map(|asset| (asset.name.as_str(), asset.state)).collect();
        assert_eq!(assets, [(name.as_str(), "uploaded")]);
        let digest = Sha256::of(version.as_bytes());
        assert_eq!(state.file(&format!("targets/{digest}.{name}.minisig")).unwrap(), b"signature");
    }
    let drafts = state.releases.values().filter(|release| release.draft).count();
    assert_eq!(drafts, 0, "no draft is left");
}

#[test]
fn a_release_is_one_commit_with_its_files_in_a_release() {
    let (app, github) = (App::new(), GitHub::start());
    github.state().tag("v1.0.0");
    let storage = open(&github, WRITES, Some("main"));
    assert_eq!(publish(&app, &storage, "1.0.0").unwrap(), Committed { timestamp: 1, snapshot: 1, role: 1 });
    assert_published(&app, &github, &["1.0.0"]);
    let files = github.state().files();
    for file in ["metadata/1.root.json", "metadata/timestamp.json", "VERSION", ".nojekyll", "404.html"] {
        assert!(files.iter().any(|known| known == file), "{file} is not in {files:?}");
    }
    let before = github.state().commits_of_branch();
    // Of another publisher, which has looked at nothing yet, and without a tag: GitHub makes it of the workflow's commit.
    let workflow = github.state().refs["heads/main"].clone();
    publish(&app, &open(&github, WRITES, Some(&workflow)), "1.1.0").unwrap();
    assert_published(&app, &github, &["1.0.0", "1.1.0"]);
    assert_eq!(github.state().commits_of_branch(), before + 1, "role, snapshot, timestamp and VERSION go together");
    assert_eq!(github.state().refs["tags/v1.1.0"], workflow);
    let text = String::from_utf8(github.state().file("VERSION").unwrap()).unwrap();
    assert!(text.contains("ROLE 2"), "{text}");
    // Files come from another host, and it never sees the token.
    let signed = |logged: &&updater_tests::github::Logged| logged.path.starts_with("/signed/");
    assert!(github.state().log.iter().filter(signed).all(|logged| !logged.has_token && logged.status == 200));
}

#[test]
fn what_somebody_else_commits_meanwhile_stays_and_a_faster_publisher_is_merged_with() {
    let (app, github) = (App::new(), GitHub::start());
    for tag in ["v1.0.0", "v1.1.0", "v1.2.0"] {
        github.state().tag(tag);
    }
    publish(&app, &open(&github, WRITES, None), "1.0.0").unwrap();
    // Between the tree and the update of the branch.
    github.state().fail_on("POST /repos/owner/app/git/commits", Fault::Pushed("docs.html", b"a page".to_vec()));
    publish(&app, &open(&github, WRITES, None), "1.1.0").unwrap();
    assert_eq!(github.state().file("docs.html").unwrap(), b"a page");
    assert_published(&app, &github, &["1.0.0", "1.1.0"]);

    // The first publication of two: the other has its root and its role there, after ours was made and before it goes
    // along with our root. A snapshot that went on from there would name a role that nobody has.
    let (app, github) = (App::new(), GitHub::start());
    github.state().tag("v1.0.0");
    let role = Fault::Pushed("metadata/1.stable.json", b"somebody else's".to_vec());
    github.state().fail_on("POST /repos/owner/app/git/commits", role);
    publish(&app, &open(&github, WRITES, None), "1.0.0").unwrap();
    assert_eq!(github.state().file("metadata/1.stable.json").unwrap(), b"somebody else's");
    assert_published(&app, &github, &["1.0.0"]);

    // Six at the same moment, on an empty branch.
    let (app, github) = (App::new(), GitHub::start());
    let versions: Vec<String> = (0..6).map(|minor| format!("1.{minor}.0")).collect();
    versions.iter().for_each(|version| github.state().tag(&format!("v{version}")));
    let (texts, root, targets) = (&app.texts, &app.root, &app.targets);
    std::thread::scope(|scope| {
        for version in &versions {
            let github = &github;
            scope.spawn(move || {
                let app = App {
                    id: AppId::parse("hello").unwrap(),
                    texts: texts.clone(),
                    root: root.clone(),
                    targets: targets.clone(),
                    channel: Channel::stable(),
                    shell: Shell::captured(MessageFormat::Human),
                };
                publish(&app, &open(github, WRITES, None), version).unwrap();
            });
        }
    });
    assert_published(&app, &github, &versions.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Returns which requests are tried: each one on request, by default a sample that falls differently in each test.
fn every() -> usize {
    if std::env::var("UPDATER_TEST_REQUESTS").as_deref() == Ok("all") { 1 } else { 7 }
}

/// Prepares a publication, on top of another one perhaps; returns how many requests were made before.
fn requests(app: &App, version: &str, published: Option<&str>) -> (GitHub, Storage, usize) {
    let github = GitHub::start();
    for version in published.into_iter().chain([version]) {
        github.state().tag(&format!("v{version}"));
    }
    if let Some(published) = published {
        publish(app, &open(&github, WRITES, None), published).unwrap();
    }
    let storage = open(&github, WRITES, None);
    let before = github.state().log.len();
    (github, storage, before)
}

#[test]
fn a_publisher_that_dies_at_any_request_leaves_the_old_state_or_the_new_one_and_a_repeat_gives_the_new_one() {
    let app = App::new();
    for published in [None, Some("1.0.0")] {
        let versions: Vec<&str> = published.into_iter().chain(["1.1.0"]).collect();
        let mut deaths = 0;
        for request in (0..).step_by(every()) {
            let (github, storage, _) = requests(&app, "1.1.0", published);
            github.state().stop_after(request);
            let died = publish(&app, &storage, "1.1.0").is_err();
            github.state().heal();
            let visible = app.visible(&open(&github, READS, None)).unwrap_or_default();
            let whole: Vec<String> = versions.iter().map(|version| format!("hello-{version}.md")).collect();
            let old = &whole[..whole.len() - 1];
            assert!(visible == whole || visible == *old, "after {request} requests: {visible:?}");
            publish(&app, &open(&github, WRITES, None), "1.1.0").unwrap();
            assert_published(&app, &github, &versions);
            if !died {
                break;
            }
            deaths += 1;
        }
        assert!(deaths * every() > 20, "{deaths} deaths");
    }
}

#[test]
fn any_request_or_answer_may_get_lost_once() {
    let app = App::new();
    for published in [None, Some("1.0.0")] {
        let versions: Vec<&str> = published.into_iter().chain(["1.1.0"]).collect();
        let (github, storage, before) = requests(&app, "1.1.0", published);
        publish(&app, &storage, "1.1.0").unwrap();
        let count = github.state().log.len() - before;
        for (offset, fault) in [Fault::Lost, Fault::AnswerLost, Fault::Status(502, Vec::new())].into_iter().enumerate()
        {
            for request in (offset * 2..count).step_by(every()).chain(count - 6..count) {
                let (github, storage, _) = requests(&app, "1.1.0", published);
                github.state().fail(request, fault.clone());
                publish(&app, &storage, "1.1.0").unwrap_or_else(|error| panic!("{fault:?} at {request}: {error}"));
                assert_published(&app, &github, &versions);
            }
        }
    }
}

#[test]
fn limits_are_waited_for_and_half_an_upload_is_replaced() {
    let app = App::new();
    let reset =
        || (std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 1).to_string();
    let faults: [(&str, Fault); 6] = [
        ("POST /repos/owner/app/git/trees", Fault::Status(429, vec![("retry-after", "1".to_owned())])),
        ("POST /repos/owner/app/releases", Fault::Status(403, vec![("retry-after", "1".to_owned())])),
        (
            "GET /repos/owner/app/git/ref/heads/gh-pages",
            Fault::Status(403, vec![("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", reset())]),
        ),
        // Of all requests below releases only the upload has a body that can be half there.
        ("POST /repos/owner/app/releases/", Fault::HalfUploaded),
        ("PATCH /repos/owner/app/releases", Fault::Status(503, Vec::new())),
        ("PATCH /repos/owner/app/git/refs", Fault::AnswerLost),
    ];
    for (on, fault) in faults {
        let (github, storage, _) = requests(&app, "1.1.0", Some("1.0.0"));
        github.state().fail_on(on, fault.clone());
        publish(&app, &storage, "1.1.0").unwrap_or_else(|error| panic!("{fault:?} on {on}: {error}"));
        assert_published(&app, &github, &["1.0.0", "1.1.0"]);
    }
    // An hour is not waited for; it is told.
    let (github, storage, _) = requests(&app, "1.1.0", None);
    github.state().fail_on("git/ref", Fault::Status(429, vec![("retry-after", "3600".to_owned())]));
    let error = publish(&app, &storage, "1.1.0").unwrap_err();
    assert!(error.to_string().contains("asks for a pause of 3600 s"), "{error}");
    assert!(error.hints[0].contains("run the same command again"), "{:?}", error.hints);
}

/// Asserts that a publication is refused for this reason, and that nothing of it is there.
#[track_caller]
fn refused(app: &App, github: &GitHub, storage: &Storage, reason: &str, help: &str) {
    let state = || {
        let state = github.state();
        (state.files(), state.releases.len())
    };
    let before = state();
    let error = publish(app, storage, "1.1.0").unwrap_err();
    assert!(error.to_string().contains(reason), "{error}");
    assert!(error.hints.iter().any(|hint| hint.contains(help)), "{:?}", error.hints);
    assert_eq!(state(), before);
    assert_eq!(error.code, ExitCode::Storage);
}

#[test]
fn what_cannot_be_published_is_refused_with_the_next_step_and_nothing_half_done() {
    let app = App::new();
    let github = GitHub::start();
    github.state().tag("v1.1.0");
    refused(&app, &github, &open(&github, "", None), "there is no token for 127.0.0.1", "GH_TOKEN");
    refused(&app, &github, &open(&github, "gone", None), "Bad credentials", "expired");
    // What a pull request from a fork gets.
    refused(&app, &github, &open(&github, READS, None), "Resource not accessible by integration", "contents: write");
    github.state().refs.remove("tags/v1.1.0");
    refused(&app, &github, &open(&github, WRITES, None), "there is no tag v1.1.0", "git push origin v1.1.0");
    refused(&app, &github, &open(&github, WRITES, Some("0123")), "invalid", "docs/github.md");

    // A release that was published before its files were there, and cannot take them any more.
    github.state().makes_immutable = true;
    github.state().tag("v1.1.0");
    let id = github.state().add_release("v1.1.0", false);
    refused(&app, &github, &open(&github, WRITES, None), "the release v1.1.0 is immutable", "raise `version`");
    github.state().releases.remove(&id);
    github.state().burned.insert("v1.1.0".to_owned());
    refused(&app, &github, &open(&github, WRITES, None), "the release v1.1.0 is immutable", "raise `version`");

    // A tag without a release is what most workflows begin with; immutable ones are filled as drafts.
    github.state().burned.clear();
    publish(&app, &open(&github, WRITES, None), "1.1.0").unwrap();
    assert_published(&app, &github, &["1.1.0"]);
    assert!(github.state().release("v1.1.0").unwrap().immutable);
    let again = publish_as(&app, &open(&github, WRITES, None), "1.1.0", "other").unwrap_err();
    assert!(again.to_string().contains("the release v1.1.0 is immutable"), "{again}");

    let empty = GitHub::start();
    empty.state().refs.clear();
    refused(&app, &empty, &open(&empty, WRITES, None), "the repository is empty", "git push origin HEAD");
    let private = GitHub::start();
    private.state().is_private = true;
    let unseen = RepositoryState::read(&open(&private, "", None), &app.id, &app.root, Expiry::Ignored).unwrap_err();
    assert!(unseen.hints()[0].contains("may read and write"), "{unseen}");
}

#[test]
fn files_of_a_published_release_never_change_and_drafts_are_taken_over() {
    let app = App::new();
    let github = GitHub::start();
    github.state().tag("v1.0.0");
    // Two drafts that others left: the older one is filled.
    let older = github.state().add_release("v1.0.0", true);
    let newer = github.state().add_release("v1.0.0", true);
    publish(&app, &open(&github, WRITES, None), "1.0.0").unwrap();
    assert!(github.state().releases[&newer].assets.is_empty());
    assert!(!github.state().releases[&older].draft);
    let error = publish_as(&app, &open(&github, WRITES, None), "1.0.0", "other").unwrap_err();
    assert!(error.to_string().contains("releases/v1.0.0/hello-1.0.0.md exists in github:owner/app"), "{error}");
    assert_eq!(app.visible(&open(&github, READS, None)).unwrap(), ["hello-1.0.0.md"]);
    // A person's release without files takes them.
    github.state().tag("v1.1.0");
    github.state().add_release("v1.1.0", false);
    publish(&app, &open(&github, WRITES, None), "1.1.0").unwrap();
    let names = github.state().release("v1.1.0").unwrap().assets.len();
    assert_eq!(names, 1);
    // Lists go over pages.
    for number in 0..250 {
        github.state().add_release(&format!("other-{number}"), false);
    }
    github.state().tag("v1.2.0");
    let draft = github.state().add_release("v1.2.0", true);
    for number in 0..250 {
        github.state().add_release(&format!("more-{number}"), false);
    }
    publish(&app, &open(&github, WRITES, None), "1.2.0").unwrap();
    assert!(!github.state().releases[&draft].draft, "the draft on the third page is the one that was filled");
}

#[test]
fn a_try_that_came_second_commits_nothing_that_names_what_was_dropped() {
    let github = GitHub::start();
    let (ours, theirs) = (open(&github, WRITES, None), open(&github, WRITES, None));
    let timestamp = "metadata/timestamp.json";
    let put = |storage: &Storage, name: &str, text: &str| storage.put_new(name, text.as_bytes().to_vec()).unwrap();
    assert_eq!(put(&ours, "metadata/1.stable.json", "ours"), Created::New);
    put(&theirs, "metadata/1.stable.json", "theirs");
    theirs.put_mutable("VERSION", b"theirs".to_vec()).unwrap();
    // The root goes all the same; our role cannot.
    assert_eq!(put(&ours, "metadata/1.root.json", "a root"), Created::New);
    assert_eq!(github.state().file("metadata/1.stable.json").unwrap(), b"theirs");
    put(&ours, "metadata/1.snapshot.json", "names our role");
    let absent = ours.precondition(timestamp).unwrap();
    assert_eq!(ours.replace(timestamp, b"ours".to_vec(), &absent).unwrap(), Replaced::Changed);
    assert_eq!(ours.read("metadata/1.snapshot.json", 100).unwrap(), None, "it passes for one that is there");
    put(&ours, "metadata/1.snapshot.json", "names our role");
    assert_eq!(put(&ours, timestamp, "ours"), Created::Exists);
    assert_eq!(github.state().file(timestamp), None);
    // What nothing else names is written, and the next try is a new one.
    ours.put_mutable("VERSION", b"ours".to_vec()).unwrap();
    assert_eq!(github.state().file("VERSION").unwrap(), b"ours");
    ours.start_over();
    put(&ours, "metadata/2.snapshot.json", "names their role");
    assert_eq!(ours.replace(timestamp, b"ours".to_vec(), &absent).unwrap(), Replaced::Done);
    assert!(github.state().file("metadata/2.snapshot.json").is_some());
    assert_eq!(github.state().file("metadata/1.snapshot.json"), None);
}

#[test]
fn a_draft_that_was_filled_is_published_without_a_commit_and_what_another_has_published_is_not_replaced() {
    let github = GitHub::start();
    github.state().tag("v1.0.0");
    let (ours, theirs) = (open(&github, WRITES, None), open(&github, WRITES, None));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let asset = |name: &str| format!("releases/v1.0.0/{name}");
    // Both know the release as a draft.
    ours.put_file(&asset("a"), &file("a", "a"), |_| {}).unwrap();
    theirs.put_file(&asset("b"), &file("theirs", "theirs"), |_| {}).unwrap();
    theirs.flush().unwrap();
    assert!(!github.state().release("v1.0.0").unwrap().draft);
    let ours_b = file("ours", "ours!!");
    // At first it is not known to be there; then it is, and public.
    ours.put_file(&asset("b"), &ours_b, |_| {}).unwrap_err();
    let error = ours.put_file(&asset("b"), &ours_b, |_| {}).unwrap_err();
    assert!(matches!(error, StorageError::Differs { .. }), "{error:?}");
    let release = github.state().release("v1.0.0").unwrap().clone();
    let kept = release.assets.values().find(|asset| asset.name == "b").unwrap();
    assert_eq!(kept.bytes, b"theirs");
}

#[test]
fn an_error_of_github_says_what_was_asked_and_shows_no_token() {
    let github = GitHub::start();
    let storage = open(&github, "ghs_hunter2", None);
    let error = storage.read("metadata/timestamp.json", 10).unwrap_err();
    assert!(matches!(&error, StorageError::GitHub { source, .. } if matches!(**source, GitHubError::Token { .. })));
    assert!(!format!("{storage:?} {error:?}").contains("hunter2"));
    assert_eq!(error.to_string(), "cannot read metadata/timestamp.json in github:owner/app");
}
