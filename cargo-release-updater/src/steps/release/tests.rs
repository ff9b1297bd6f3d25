//! What a release does to the role of its channel.

use super::*;
use updater_format::release::PatchEntry;

const LINUX: &str = "x86_64-unknown-linux-gnu";

fn bundled(version: &str, content: &str) -> Bundled {
    let file = format!("hello-{version}-{LINUX}.tar.xz");
    let part = crate::steps::bundle::Part {
        app: "hello".parse().unwrap(),
        component: None,
        version: version.parse().unwrap(),
        platform: LINUX.parse().unwrap(),
        file: file.parse().unwrap(),
        length: content.len() as u64,
        sha256: Sha256::of(content.as_bytes()),
        install: updater_format::InstallKind::Executable,
        unpacked: 1,
        files: 1,
        manifest: Sha256::of(version.as_bytes()),
        codecs: vec!["refs-1".to_owned()],
        libc: None,
    };
    Bundled { part, path: file.into() }
}

fn patch(from: &str, to: &str) -> Patch {
    let name = format!("hello-{from}-to-{to}-{LINUX}.patch");
    let artifact = Artifact { name: name.parse().unwrap(), length: 1, sha256: Sha256::of(name.as_bytes()) };
    let entry = PatchEntry {
        artifact,
        platform: LINUX.parse().unwrap(),
        from: from.parse().unwrap(),
        version: to.parse().unwrap(),
        manifest: Sha256::of(to.as_bytes()),
        codecs: vec!["refs-1".to_owned()],
        component: None,
    };
    Patch { entry, path: name.into() }
}

fn release(version: &str, content: &str, patches: &[&str]) -> Release {
    let request = Request {
        app: "hello".parse().unwrap(),
        component: None,
        channel: Channel::stable(),
        version: version.parse().unwrap(),
        platforms: vec![LINUX.parse().unwrap()],
        patches_from: 3,
        keep: 2,
        epoch: Default::default(),
    };
    let patches = patches.iter().map(|from| patch(from, version)).collect();
    let released = UtcTime::from_unix(0);
    let bundles = vec![bundled(version, content)];
    Release { request, bundles, patches, notes: None, released, metadata: Default::default() }
}

/// A role and what a client reads out of it.
fn apply(role: &mut Targets, release: &Release) -> Result<Plan, ReleaseError> {
    let contents = ChannelContents::read(release.app(), role).unwrap();
    release.edit(role, Some(&contents))
}

fn empty_role() -> Targets {
    crate::roles::next_channel(&"hello".parse().unwrap(), &Channel::stable(), None, UtcTime::from_unix(0))
}

fn names(role: &Targets) -> Vec<String> {
    role.targets.keys().map(|name| name.replace(&format!("-{LINUX}"), "").replace("hello-", "")).collect()
}

#[test]
fn releases_beyond_keep_leave_the_role_with_their_patches() {
    let mut role = empty_role();
    apply(&mut role, &release("1.0.0", "one", &[])).unwrap();
    apply(&mut role, &release("1.1.0", "two", &["1.0.0"])).unwrap();
    assert_eq!(names(&role), ["1.0.0-to-1.1.0.patch", "1.0.0.tar.xz", "1.1.0.tar.xz"]);
    apply(&mut role, &release("1.2.0", "three", &["1.1.0", "1.0.0"])).unwrap();
    assert_eq!(
        names(&role),
        ["1.0.0-to-1.1.0.patch", "1.0.0-to-1.2.0.patch", "1.1.0-to-1.2.0.patch", "1.1.0.tar.xz", "1.2.0.tar.xz"]
    );
    let plan = apply(&mut role, &release("1.3.0", "four", &["1.2.0"])).unwrap();
    assert_eq!(plan.retired, ["1.1.0".parse().unwrap()]);
    assert_eq!(
        names(&role),
        ["1.0.0-to-1.2.0.patch", "1.1.0-to-1.2.0.patch", "1.2.0-to-1.3.0.patch", "1.2.0.tar.xz", "1.3.0.tar.xz"]
    );
}

#[test]
fn entries_of_unknown_kinds_stay() {
    let mut role = empty_role();
    apply(&mut role, &release("1.0.0", "one", &[])).unwrap();
    let mut foreign = role.targets.values().next().unwrap().clone();
    foreign.custom = Some(serde_json::json!({"fmt": 9, "kind": "hologram"}));
    role.targets.insert("hello-hologram".to_owned(), foreign);
    for version in ["1.1.0", "1.2.0", "1.3.0"] {
        apply(&mut role, &release(version, version, &[])).unwrap();
    }
    assert!(names(&role).contains(&"hologram".to_owned()));
}

#[test]
fn the_same_release_again_changes_nothing_and_other_bytes_are_refused() {
    let mut role = empty_role();
    let first = release("1.0.0", "one", &[]);
    apply(&mut role, &first).unwrap();
    let before = role.clone();
    assert!(first.is_published(&ChannelContents::read(first.app(), &role).unwrap()));
    apply(&mut role, &first).unwrap();
    assert_eq!(role, before);
    let error = apply(&mut role, &release("1.0.0", "other", &[])).unwrap_err();
    assert!(matches!(&error, ReleaseError::OtherBytes { version, .. } if version.to_string() == "1.0.0"), "{error}");
    assert_eq!(error.code(), ExitCode::Storage);
    let error = apply(&mut role, &release("0.9.0", "older", &[])).unwrap_err();
    assert!(matches!(error, ReleaseError::Plan(PlanError::NotGreater { .. })), "{error}");
    assert_eq!(role, before);
}

#[test]
fn a_raised_epoch_never_falls() {
    let mut role = empty_role();
    apply(&mut role, &release("1.0.0", "one", &[])).unwrap();
    let raised = role.targets.values_mut().next().unwrap();
    raised.custom.as_mut().unwrap()["epoch"] = 7.into();
    apply(&mut role, &release("1.1.0", "two", &[])).unwrap();
    let contents = ChannelContents::read(&"hello".parse().unwrap(), &role).unwrap();
    assert!(contents.bundles.iter().all(|bundle| bundle.epoch == 7));
}

#[test]
fn notes_are_bounded_text() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("notes.md");
    let (app, version) = ("hello".parse().unwrap(), "1.0.0".parse().unwrap());
    let read = |content: &[u8]| {
        std::fs::write(&path, content).unwrap();
        Notes::read(&path, &app, None, &version)
    };
    assert_eq!(read(b"- better").unwrap().entry.artifact.name.as_str(), "hello-1.0.0.md");
    assert!(matches!(read(b"\xff"), Err(ReleaseError::Notes { .. })));
    assert!(matches!(read(&vec![b'x'; MAX_NOTES as usize + 1]), Err(ReleaseError::Notes { .. })));
    assert!(matches!(Notes::read(&temp.path().join("none"), &app, None, &version), Err(ReleaseError::Notes { .. })));
}

#[test]
fn every_file_gets_a_signature_that_says_what_it_is() {
    let temp = tempfile::tempdir().unwrap();
    let mut release = release("1.1.0", "two", &["1.0.0"]);
    release.bundles[0].path = temp.path().join("bundle");
    release.patches[0].path = temp.path().join("patch");
    std::fs::write(&release.bundles[0].path, "two").unwrap();
    std::fs::write(&release.patches[0].path, "p").unwrap();
    let (signer, _) = Signer::generate("test", None).unwrap();
    let uploads = release.uploads(&signer).unwrap();
    let sha256 = Sha256::of(b"two");
    assert_eq!(uploads[0].name(), format!("{sha256}.hello-1.1.0-{LINUX}.tar.xz"));
    let signature = minisign::SignatureBox::from_string(uploads[0].minisig.as_ref().unwrap()).unwrap();
    assert_eq!(
        signature.trusted_comment().unwrap(),
        format!(
            "app=hello version=1.1.0 target={LINUX} channel=stable sha256={sha256} file=hello-1.1.0-{LINUX}.tar.xz"
        )
    );
    let public = minisign::PublicKey::from_base64(&signer.public_line()).unwrap();
    minisign::verify(&public, &signature, std::io::Cursor::new("two"), true, false, false).unwrap();
    assert_eq!(uploads.len(), 2);
    std::fs::remove_file(&release.patches[0].path).unwrap();
    assert!(release.uploads(&signer).unwrap_err().to_string().contains("cannot read"));
}
