use super::{ApplyError, Target, Watch, stage_bundle, stage_patch, verify_staged};
use crate::cancel::CancelToken;
use crate::install::testing::{Release, now, stage, tree_of, version};
use crate::install::{InstallKind, Layout, Session};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use updater_delta::DiffOptions;
use updater_format::patch::{Operation, PatchError, PatchHeader, PatchParts, PatchSource, pack_added, write_patch};
use updater_format::{EntryContent, FilePath, MANIFEST_PATH, ManifestEntry, Sha256};

/// Makes a patch by hand: a file that is there is copied, `share/data` is a delta, the rest is added.
fn patch(old: &Release, new: &Release) -> Vec<u8> {
    let sources: Vec<PatchSource> = old
        .manifest
        .entries()
        .iter()
        .filter_map(|entry| match entry.content {
            EntryContent::File { length, sha256, .. } => Some(PatchSource { length, path: entry.path.clone(), sha256 }),
            EntryContent::Link { .. } => None,
        })
        .collect();
    let (mut operations, mut payloads) = (Vec::new(), Vec::new());
    for ManifestEntry { path, content } in new.manifest.entries() {
        let EntryContent::File { sha256, .. } = content else { continue };
        let new_bytes = &new.files[path.as_str()];
        if let Some(source) = sources.iter().position(|source| source.sha256 == *sha256) {
            operations.push(Operation::Copy { source });
            payloads.push(Vec::new());
        } else if path.as_str() == "share/data" || path.as_str() == "hello" {
            let source = sources.iter().position(|source| source.path == *path).unwrap();
            let delta = delta(&old.files[path.as_str()], new_bytes);
            operations.push(Operation::Delta {
                codec: updater_delta::Codec::SUPPORTED[0].id().to_owned(),
                packed: delta.len() as u64,
                source,
            });
            payloads.push(delta);
        } else {
            let packed = pack_added(new_bytes.as_slice(), Vec::new(), 1).unwrap();
            operations.push(Operation::Add { packed: packed.len() as u64 });
            payloads.push(packed);
        }
    }
    let manifest = new.manifest.encode();
    let header = PatchHeader::new(PatchParts { from: old.version().clone(), manifest, sources, operations }).unwrap();
    write_patch(Vec::new(), &header, |at| Ok(payloads[at].as_slice())).unwrap()
}

/// The same by one delta for all files that are not there yet.
fn joint_patch(old: &Release, new: &Release) -> Vec<u8> {
    let file = |entry: &ManifestEntry| match entry.content {
        EntryContent::File { length, sha256, .. } => Some(PatchSource { length, path: entry.path.clone(), sha256 }),
        EntryContent::Link { .. } => None,
    };
    let sources: Vec<PatchSource> = old.manifest.entries().iter().filter_map(file).collect();
    let (mut operations, mut together) = (Vec::new(), Vec::new());
    for made in new.manifest.entries().iter().filter_map(file) {
        operations.push(match sources.iter().position(|source| source.sha256 == made.sha256) {
            Some(source) => Operation::Copy { source },
            None => Operation::Part,
        });
        if let Some(Operation::Part) = operations.last() {
            together.extend(&new.files[made.path.as_str()]);
        }
    }
    let earlier: Vec<u8> = sources.iter().flat_map(|source| old.files[source.path.as_str()].clone()).collect();
    let delta = delta(&earlier, &together);
    let first = operations.iter_mut().find(|operation| **operation == Operation::Part).unwrap();
    let codec = updater_delta::Codec::Refs1.id().to_owned();
    *first = Operation::Joint { codec, packed: delta.len() as u64, sources: (0..sources.len()).collect() };
    let manifest = new.manifest.encode();
    let header = PatchHeader::new(PatchParts { from: old.version().clone(), manifest, sources, operations }).unwrap();
    write_patch(Vec::new(), &header, |_| Ok(delta.as_slice())).unwrap()
}

fn delta(old: &[u8], new: &[u8]) -> Vec<u8> {
    updater_delta::diff(old, new, &DiffOptions::default()).unwrap().bytes().to_vec()
}

fn releases() -> (Release, Release) {
    let data = |version: &str| format!("{version} {}", "all work and no play ".repeat(200));
    let (old, new) = (data("one"), data("two"));
    let old = [("share/data", old.as_str()), ("share/kept", "kept"), ("old-name", "moved"), ("gone", "gone")];
    let new = [
        ("share/data", new.as_str()),
        ("share/kept", "kept"),
        ("lib/new-name", "moved"),
        ("added", "added"),
        ("lib/link", "-> new-name"),
    ];
    (Release::directory("1.0.0", &old, &[]), Release::directory("1.1.0", &new, &[]))
}

struct World {
    _folder: tempfile::TempDir,
    layout: Layout,
    old: Release,
    new: Release,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = releases();
    let layout = old.install_at(&folder.path().join("my app"));
    World { _folder: folder, layout, old, new }
}

impl World {
    fn stage_patch(&self, patch: &[u8]) -> Result<super::Tree, ApplyError> {
        self.stage_patch_for(patch, &self.new.target())
    }

    fn stage_patch_for(&self, patch: &[u8], target: &Target) -> Result<super::Tree, ApplyError> {
        let mut session = Session::open(&self.layout, now()).unwrap();
        let cancel = CancelToken::new();
        let mut watch = Watch { progress: &mut |_, _| {}, cancel: &cancel };
        stage_patch(&mut session, patch, self.old.version(), target, &mut watch)
    }

    fn installed(&self, path: &str) -> std::path::PathBuf {
        self.layout.root().join(path)
    }
}

#[test]
fn a_bundle_and_a_patch_stage_the_same_tree_and_touch_nothing_else() {
    let world = world();
    let before = tree_of(world.layout.root());
    stage(&mut Session::open(&world.layout, now()).unwrap(), &world.new).unwrap();
    let by_bundle = tree_of(&world.layout.staged_tree());
    verify_staged(&world.layout, world.new.digest()).unwrap();
    for patch in [patch, joint_patch].map(|make| make(&world.old, &world.new)) {
        world.stage_patch(&patch).unwrap();
        assert_eq!(tree_of(&world.layout.staged_tree()), by_bundle);
        verify_staged(&world.layout, world.new.digest()).unwrap();
    }
    assert_eq!(by_bundle[Path::new("lib/link")], b"-> new-name");
    assert_eq!(by_bundle[Path::new(MANIFEST_PATH)], world.new.manifest.encode());
    assert_eq!(by_bundle.len(), world.new.files.len() + 4, "files, links, the manifest and three folders");
    assert_eq!(tree_of(world.layout.root()), before);
}

#[test]
fn an_executable_is_patched_from_the_installed_file_whatever_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let old = Release::executable("1.0.0", &[7; 5000]);
    let new = Release::executable("1.1.0", &[8; 5000]);
    let layout = old.install_at(&folder.path().join("renamed by its user"));
    let world = World { _folder: folder, layout, old, new };
    world.stage_patch(&patch(&world.old, &world.new)).unwrap();
    assert_eq!(std::fs::read(world.layout.staged_tree().join("hello")).unwrap(), [8; 5000]);
    assert!(!world.layout.staged_tree().join(MANIFEST_PATH).exists());
    verify_staged(&world.layout, world.new.digest()).unwrap();
}

#[test]
fn an_installed_file_that_does_not_fit_sends_to_the_next_route() {
    type Case = (&'static str, fn(&World));
    let cases: [Case; 5] = [
        ("edited", |w| std::fs::write(w.installed("share/data"), "edited").unwrap()),
        ("same length", |w| {
            let length = std::fs::read(w.installed("share/data")).unwrap().len();
            std::fs::write(w.installed("share/data"), vec![b'x'; length]).unwrap();
        }),
        ("missing", |w| std::fs::remove_file(w.installed("share/data")).unwrap()),
        ("a link", |w| {
            std::fs::rename(w.installed("share/data"), w.installed("moved")).unwrap();
            symlink("../moved", w.installed("share/data")).unwrap();
        }),
        ("below a link", |w| {
            std::fs::rename(w.installed("share"), w.installed("elsewhere")).unwrap();
            symlink("elsewhere", w.installed("share")).unwrap();
        }),
    ];
    for (name, change) in cases {
        let world = world();
        let patch = patch(&world.old, &world.new);
        change(&world);
        let error = world.stage_patch(&patch).unwrap_err();
        assert!(matches!(&error, ApplyError::Source { path, .. } if path == "share/data"), "{name}: {error:?}");
        assert!(error.is_fault_of_route(), "{name}");
        stage(&mut Session::open(&world.layout, now()).unwrap(), &world.new).unwrap();
    }
}

#[test]
fn a_patch_that_makes_something_else_is_refused() {
    let world = world();
    let (mut lying, good) = (world.new.clone(), patch(&world.old, &world.new));
    lying.files.insert("added".to_owned(), b"addeD".to_vec());
    let error = world.stage_patch(&patch(&world.old, &lying)).unwrap_err();
    assert!(matches!(&error, ApplyError::Patch(PatchError::Digest { path, .. }) if path == "added"), "{error:?}");
    let length = lying.files["share/data"].len();
    lying.files.insert("share/data".to_owned(), vec![b'z'; length]);
    let error = world.stage_patch(&patch(&world.old, &lying)).unwrap_err();
    assert!(error.is_fault_of_route());
    let mut target = world.new.target();
    target.bundle.manifest = Sha256::of(b"another");
    let error = world.stage_patch_for(&good, &target).unwrap_err();
    assert!(matches!(&error, ApplyError::Patch(PatchError::Mismatch { .. })), "{error:?}");
    let mut target = world.new.target();
    target.version = version("1.2.0");
    assert!(world.stage_patch_for(&good, &target).unwrap_err().is_fault_of_route());
    let damaged = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x55;
        world.stage_patch(&bytes)
    };
    for at in [20, good.len() / 2] {
        let error = damaged(at).unwrap_err();
        assert!(error.is_fault_of_route(), "{at}: {error:?}");
    }
    // The body of a delta may say something of programs that these files have no use for: another byte there is either
    // refused, or changes nothing.
    for at in good.len() - 40..good.len() {
        match damaged(at) {
            Ok(tree) => assert_eq!(tree.digest(), world.new.target().bundle.manifest, "{at}"),
            Err(error) => assert!(error.is_fault_of_route(), "{at}: {error:?}"),
        }
    }
}

#[test]
fn an_unknown_codec_sends_to_the_next_route() {
    let (old, new) = (Release::executable("1.0.0", b"old"), Release::executable("1.1.0", b"new"));
    let folder = tempfile::tempdir().unwrap();
    let layout = old.install_at(&folder.path().join("hello"));
    let header = PatchHeader::new(PatchParts {
        from: version("1.0.0"),
        manifest: new.manifest.encode(),
        sources: vec![PatchSource { length: 3, path: FilePath::parse("hello").unwrap(), sha256: Sha256::of(b"old") }],
        operations: vec![Operation::Delta { codec: "later-2".to_owned(), packed: 1, source: 0 }],
    })
    .unwrap();
    let patch = write_patch(Vec::new(), &header, |_| Ok(b"x".as_slice())).unwrap();
    let error = World { _folder: folder, layout, old, new }.stage_patch(&patch).unwrap_err();
    assert!(matches!(&error, ApplyError::Codec { codec } if codec == "later-2") && error.is_fault_of_route());
}

#[test]
fn a_release_for_something_else_is_refused() {
    let world = world();
    let mut session = Session::open(&world.layout, now()).unwrap();
    let error = stage(&mut session, &Release::executable("1.1.0", b"x")).unwrap_err();
    assert!(matches!(error, ApplyError::OtherKind { expected: InstallKind::Directory, .. }), "{error:?}");
    let (cancel, bundle) = (CancelToken::new(), world.new.bundle());
    let mut watch = Watch { progress: &mut |_, _| {}, cancel: &cancel };
    let mut target = world.new.target();
    target.version = version("9.0.0");
    let error = stage_bundle(&mut session, bundle, &target, &mut watch).unwrap_err();
    assert!(matches!(error, ApplyError::OtherRelease { field: "version", .. }), "{error:?}");
    assert!(!world.layout.staged().exists(), "nothing is staged before that is known");
}

#[test]
fn a_full_disk_is_found_before_anything_is_written() {
    use updater_format::{Manifest, bundle::BundleExpectation};
    let world = world();
    let mut parts = world.new.manifest.clone().into_parts();
    parts.entries.push(ManifestEntry {
        path: FilePath::parse("huge").unwrap(),
        content: EntryContent::File { length: 1 << 52, sha256: Sha256::of(b""), mode: updater_format::FileMode::Data },
    });
    let manifest = Manifest::new(parts).unwrap();
    // The manifest alone is enough: the space is checked before the first file is read.
    let bytes = manifest.encode();
    let header = PatchHeader::new(PatchParts {
        from: version("1.0.0"),
        manifest: bytes,
        sources: vec![],
        operations: vec![Operation::Add { packed: 0 }; manifest.entries().len() - 1],
    })
    .unwrap();
    let patch = write_patch(Vec::new(), &header, |_| Ok(b"".as_slice())).unwrap();
    let target = Target { bundle: BundleExpectation::of(&manifest), ..world.new.target() };
    let error = world.stage_patch_for(&patch, &target).unwrap_err();
    assert!(matches!(error, ApplyError::Space { unit: "bytes", .. }), "{error:?}");
    assert!(!error.is_fault_of_route() && !world.layout.staged().exists());
}

#[test]
fn progress_grows_to_the_total_and_cancelling_stops() {
    let world = world();
    let (bundle, target) = (world.new.bundle(), world.new.target());
    let mut session = Session::open(&world.layout, now()).unwrap();
    let (cancel, mut seen) = (CancelToken::new(), Vec::new());
    let mut watch = Watch { progress: &mut |done, total| seen.push((done, total)), cancel: &cancel };
    stage_bundle(&mut session, bundle, &target, &mut watch).unwrap();
    let total = world.new.manifest.unpacked();
    assert_eq!(seen.last(), Some(&(total, total)));
    assert!(seen.is_sorted());
    let mut calls = 0;
    let token = cancel.clone();
    let mut watch = Watch {
        progress: &mut |_, _| {
            calls += 1;
            token.cancel();
        },
        cancel: &cancel,
    };
    let result = stage_bundle(&mut session, bundle, &target, &mut watch);
    assert!(matches!(result, Err(ApplyError::Cancelled)), "{result:?}");
    assert_eq!(calls, 1);
}

#[test]
fn what_changes_after_staging_is_found_before_it_is_installed() {
    let set_mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    type Case<'a> = (&'a str, &'a str, &'a dyn Fn(&Path));
    let cases: [Case<'_>; 10] = [
        ("share/data", "its content differs", &|tree| std::fs::write(tree.join("share/data"), "x").unwrap()),
        ("share/kept", "its content differs", &|tree| std::fs::write(tree.join("share/kept"), "tpek").unwrap()),
        ("added", "it is missing", &|tree| std::fs::remove_file(tree.join("added")).unwrap()),
        ("bin/hello", "it has other permission bits", &|tree| set_mode(&tree.join("bin/hello"), 0o4755)),
        ("extra", "the manifest does not list it", &|tree| std::fs::write(tree.join("extra"), "").unwrap()),
        ("bin/x", "the manifest does not list it", &|tree| symlink("/bin/sh", tree.join("bin/x")).unwrap()),
        ("folder", "the manifest does not list it", &|tree| std::fs::create_dir(tree.join("folder")).unwrap()),
        ("lib/link", "it is not the listed link", &|tree| {
            std::fs::remove_file(tree.join("lib/link")).unwrap();
            symlink("/etc/passwd", tree.join("lib/link")).unwrap();
        }),
        ("manifest", "its copy in the folder has another digest", &|tree| {
            std::fs::write(tree.join(MANIFEST_PATH), "{}").unwrap();
        }),
        ("manifest", "it has another digest", &|tree| {
            std::fs::write(tree.with_file_name("manifest.json"), "{}").unwrap();
        }),
    ];
    for (path, expected, change) in cases {
        let world = world();
        stage(&mut Session::open(&world.layout, now()).unwrap(), &world.new).unwrap();
        change(&world.layout.staged_tree());
        match verify_staged(&world.layout, world.new.digest()) {
            Err(ApplyError::Damaged { path: at, problem }) => assert_eq!((at.as_str(), problem), (path, expected)),
            other => panic!("{path}: {other:?}"),
        }
    }
    // A link in the place of a file or folder is never followed, whatever it leads to.
    for victim in ["share", "share/data"] {
        let world = world();
        stage(&mut Session::open(&world.layout, now()).unwrap(), &world.new).unwrap();
        let (at, aside) = (world.layout.staged_tree().join(victim), world.layout.hidden().join("aside"));
        std::fs::rename(&at, &aside).unwrap();
        symlink(&aside, &at).unwrap();
        let result = verify_staged(&world.layout, world.new.digest());
        assert!(matches!(result, Err(ApplyError::File(_))), "{victim}: {result:?}");
    }
}

#[test]
fn a_planted_staging_folder_is_replaced_not_followed() {
    let world = world();
    let outside = world.layout.parent().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("precious"), "p").unwrap();
    let mut session = Session::open(&world.layout, now()).unwrap();
    symlink(&outside, world.layout.staged()).unwrap();
    stage(&mut session, &world.new).unwrap();
    assert_eq!(tree_of(&outside).len(), 1);
    assert!(world.layout.staged().symlink_metadata().unwrap().is_dir());
}
