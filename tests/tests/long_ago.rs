//! An installed copy that slept through the worst: the online key was stolen and versions pushed far ahead, the root was
//! rotated twice, the online keys were replaced, the channel's key was revoked. It becomes the new version in one run.

use std::path::Path;
use std::process::{Command, Stdio};
use updater_format::UtcTime;
use updater_format::role::RoleName;
use updater_tests::crash::app::{REPOSITORY, ROOT};
use updater_tests::crash::release::{Release, small_program, write_repository};
use updater_tests::crash::world::{Kind, World};
use updater_tests::server::TestServer;
use updater_tests::simulator::{RepositorySimulator, SigningKey, keyring};

#[test]
fn a_copy_from_before_two_rotations_a_theft_and_a_revocation_updates_in_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let program = small_program(Path::new(env!("CARGO_BIN_EXE_crash-points")), folder.path());
    let served = folder.path().join("repository");
    let server = TestServer::start();
    server.serve_folder(&served);
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let repository = RepositorySimulator::starting_at(UtcTime::from_unix(now));
    std::fs::write(folder.path().join("root.json"), repository.repo().root_bytes()).unwrap();

    let kind = Kind::Directory;
    let world = World { slot: folder.path().join("slot"), kind };
    let old = Release::new(&program, kind.install(), "1.0.0", true);
    world.install(&old).unwrap();
    old.publish(&repository);
    let run = || {
        write_repository(&repository, &served).unwrap();
        let output = Command::new(world.program())
            .arg("update")
            .env(REPOSITORY, format!("http://{}/", server.address()))
            .env(ROOT, folder.path().join("root.json"))
            .env("XDG_STATE_HOME", world.state())
            .env_remove("UPDATER_DISABLE")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let told = run();
    assert!(told.ends_with("version 1.0.0\n") && !told.contains("failed"), "{told}");

    // Whoever has the online key pushes versions far ahead, and the copy sees it.
    repository.repo().timestamp.version = 1 << 40;
    repository.repo().snapshot.version = 1 << 40;
    let told = run();
    assert!(told.ends_with("version 1.0.0\n") && !told.contains("failed"), "{told}");

    // Then the copy sleeps.
    let channel_key = vec![SigningKey::from_seed(44)];
    {
        let mut repo = repository.repo();
        repo.rotate(RoleName::Root, 41);
        repo.rotate(RoleName::Root, 42);
        repo.rotate(RoleName::Timestamp, 43);
        repo.rotate(RoleName::Snapshot, 43);
        repo.targets.delegations.as_mut().unwrap().roles[0].keyring = keyring(&channel_key, 1);
        repo.targets.version += 1;
        repo.signers.roles.insert("stable".to_owned(), channel_key);
        repo.timestamp.version = 1;
        repo.snapshot.version = 1;
    }
    let new = Release::new(&program, kind.install(), "1.1.0", true);
    new.publish(&repository);
    let told = run();
    assert!(told.ends_with("version 1.1.0\n") && !told.contains("failed"), "{told}");
    world.check(&new).unwrap();

    // The revoked key is worth nothing any more.
    repository.repo().signers.roles.insert("stable".to_owned(), vec![SigningKey::from_seed(4)]);
    Release::new(&program, kind.install(), "1.2.0", true).publish(&repository);
    let told = run();
    assert!(
        told.contains("failed metadata-refused") && told.contains("metadata stable is signed by 0 of the 1 keys"),
        "{told}"
    );
    world.check(&new).unwrap();
}
