//! Patches between small releases: what they carry, when none is kept, and that they give the new release.

use super::*;
use crate::shell::MessageFormat;
use crate::steps::bundle::{Contents, Packing, bundle, from_folder};
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};

/// Releases of one app and the folders of the steps.
struct Scene {
    temp: tempfile::TempDir,
    shell: Shell,
}

/// The files of one release, by path.
type Files = BTreeMap<&'static str, Vec<u8>>;

impl Scene {
    fn new() -> Self {
        Self { temp: tempfile::tempdir().unwrap(), shell: Shell::captured(MessageFormat::Human) }
    }

    fn patches(&self) -> PathBuf {
        self.temp.path().join("patches")
    }

    fn release(&self, version: &str, files: &Files) -> Bundled {
        self.release_for("x86_64-unknown-linux-gnu", version, 6, files)
    }

    fn release_for(&self, platform: &str, version: &str, level: u32, files: &Files) -> Bundled {
        let folder = self.temp.path().join(format!("files-{version}-{platform}"));
        for (path, content) in files {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
        }
        std::fs::set_permissions(folder.join("bin/app"), std::fs::Permissions::from_mode(0o755)).unwrap();
        symlink("bin/app", folder.join("app")).unwrap();
        let contents = Contents {
            app: "hello".parse().unwrap(),
            component: None,
            version: version.parse().unwrap(),
            platform: platform.parse().unwrap(),
            install: None,
            entry: None,
            keep_local: Vec::new(),
            codecs: vec!["refs-1".to_owned()],
            files: from_folder(&folder).unwrap(),
        };
        bundle(&contents, Packing { level, mtime: 0 }, &self.temp.path().join("bundles"), &self.shell).unwrap()
    }

    fn diff(&self, new: &Bundled, old: &[&Bundled]) -> Result<Vec<Outcome>, DiffStepError> {
        let old: Vec<OldBundle> = old.iter().map(|old| published(old)).collect();
        diff(new, &old, &self.patches(), DiffLimits { threads: 2, memory: 1 << 30 }, &self.shell)
    }
}

fn published(bundled: &Bundled) -> OldBundle {
    OldBundle { entry: bundled.part.entry(0, None), path: bundled.path.clone() }
}

/// Bytes that do not compress, the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

fn first() -> Files {
    Files::from([
        ("bin/app", noise(1, 40_000)),
        ("share/same.dat", noise(2, 9_000)),
        ("share/moved.dat", noise(3, 9_000)),
        ("share/gone.dat", noise(4, 9_000)),
    ])
}

/// The program changed in one place, one file moved, one is gone, one is new.
fn second() -> Files {
    let mut files = first();
    files.get_mut("bin/app").unwrap()[20_000..20_010].fill(7);
    let moved = files.remove("share/moved.dat").unwrap();
    files.insert("data/moved.dat", moved);
    files.remove("share/gone.dat");
    files.insert("share/new.txt", b"new text".repeat(20));
    files
}

fn kept(outcomes: Vec<Outcome>) -> Vec<Patch> {
    let keep = |outcome| match outcome {
        Outcome::Kept(patch) => *patch,
        other => panic!("{other:?}"),
    };
    outcomes.into_iter().map(keep).collect()
}

#[test]
fn a_patch_carries_only_what_changed_and_gives_the_new_release() {
    let scene = Scene::new();
    let (old, new) = (scene.release("1.0.0", &first()), scene.release("1.1.0", &second()));
    let [patch] = <[Patch; 1]>::try_from(kept(scene.diff(&new, &[&old]).unwrap())).unwrap();
    assert_eq!(patch.entry.artifact.name.as_str(), "hello-1.0.0-to-1.1.0-x86_64-unknown-linux-gnu.patch");
    assert_eq!((patch.entry.manifest, patch.entry.codecs.as_slice()), (new.part.manifest, &["refs-1".to_owned()][..]));
    assert!(patch.entry.artifact.length < new.part.length / 20, "{}", patch.entry.artifact.length);
    let reader = PatchReader::open_unchecked(File::open(&patch.path).unwrap()).unwrap();
    let kinds = reader.header().operations().iter().map(|operation| match operation {
        Operation::Copy { source } => format!("copy {}", reader.header().sources()[*source].path),
        Operation::Delta { source, .. } => format!("delta {}", reader.header().sources()[*source].path),
        Operation::Add { .. } => "add".to_owned(),
        Operation::Joint { .. } | Operation::Part => "joint".to_owned(),
    });
    let kinds: Vec<_> = kinds.collect();
    assert_eq!(kinds, ["delta bin/app", "copy share/moved.dat", "add", "copy share/same.dat"]);

    let (old, mut made) = (published(&old), Vec::new());
    let tree = Tree::unpack(&old.path, &old.entry, &scene.patches()).unwrap();
    let new_tree = Tree::unpack(&new.path, &new.part.entry(0, None), &scene.patches()).unwrap();
    apply(File::open(&patch.path).unwrap(), &tree, new_tree.manifest(), |path| {
        let path = scene.temp.path().join("made").join(path.as_str());
        std::fs::create_dir_all(path.parent().unwrap())?;
        made.push(path.clone());
        File::create(path)
    })
    .unwrap();
    assert_eq!(made.len(), second().len());
    for (path, content) in second() {
        assert_eq!(std::fs::read(scene.temp.path().join("made").join(path)).unwrap(), content, "{path}");
    }
}

#[test]
fn a_file_that_was_renamed_and_changed_is_made_from_its_earlier_version() {
    let scene = Scene::new();
    let (mut old, mut new) = (first(), first());
    old.insert("lib/core.so", noise(10, 20_000));
    old.insert("lib/extra.so", noise(11, 20_000));
    old.insert("lib/packed-1.4.2.bin", noise(12, 3000));
    let mut changed = noise(11, 20_000);
    changed.splice(9000..9100, [1, 2, 3]);
    new.insert("plugins/additions.so", changed);
    new.insert("plugins/unlike.so", noise(13, 3000));
    // Nothing in common but the name.
    new.insert("lib/packed-1.5.0.bin", noise(14, 3000));
    let (old, new) = (scene.release("1.0.0", &old), scene.release("1.1.0", &new));
    let [old_tree, new_tree] = [&old, &new].map(|bundled| {
        std::fs::create_dir_all(scene.patches()).unwrap();
        Tree::unpack(&bundled.path, &bundled.part.entry(0, None), &scene.patches()).unwrap()
    });
    let mut origins = pairs(old_tree.manifest(), new_tree.manifest());
    similar::fill(&mut origins, &old_tree, &new_tree).unwrap();
    let chosen: Vec<_> = pairs::files(new_tree.manifest())
        .zip(&origins)
        .filter(|((entry, ..), _)| !entry.path.as_str().starts_with("share") && entry.path.as_str() != "bin/app")
        .map(|((entry, ..), origin)| {
            format!("{} from {}", entry.path, origin.as_ref().map_or("-", |o| o.path().as_str()))
        })
        .collect();
    assert_eq!(
        chosen,
        [
            "lib/packed-1.5.0.bin from lib/packed-1.4.2.bin",
            "plugins/additions.so from lib/extra.so",
            "plugins/unlike.so from -"
        ]
    );
    let [patch] = <[Patch; 1]>::try_from(kept(scene.diff(&new, &[&old]).unwrap())).unwrap();
    // The two files of 3,000 bytes travel whole, the renamed one of 20,000 does not.
    assert!(patch.entry.artifact.length < 9000, "{}", patch.entry.artifact.length);
}

#[test]
fn small_files_that_are_alike_share_one_delta_where_the_old_release_knows_it() {
    let scene = Scene::new();
    let paths: Vec<&'static str> = (0..60).map(|page| &*format!("share/pages/{page:02}.html").leak()).collect();
    let page = |version: &str, path: &str| {
        format!("<html><title>{path}</title><p>made by generator {version}</p>{}</html>", path.repeat(30)).into_bytes()
    };
    let tree = |version: &str| {
        let mut files = first();
        files.extend(paths.iter().map(|path| (*path, page(version, path))));
        files
    };
    let (old, new) = (scene.release("1.0.0", &tree("4.1")), scene.release("1.1.0", &tree("4.2")));
    let [apart] = <[Patch; 1]>::try_from(kept(scene.diff(&new, &[&old]).unwrap())).unwrap();
    assert_eq!(apart.entry.codecs, ["refs-1"]);
    std::fs::remove_file(&apart.path).unwrap();
    let mut old = published(&old);
    old.entry.codecs.push(JOINT.to_owned());
    let outcomes = diff(&new, &[old.clone()], &scene.patches(), DiffLimits::default(), &scene.shell).unwrap();
    let [together] = <[Patch; 1]>::try_from(kept(outcomes)).unwrap();
    assert_eq!(together.entry.codecs, ["joint-1", "refs-1"]);
    let (apart, length) = (apart.entry.artifact.length, together.entry.artifact.length);
    assert!(length * 2 < apart, "{length} of {apart}");

    let tree_of = |path: &Path, entry: &BundleEntry| Tree::unpack(path, entry, &scene.patches()).unwrap();
    let (old, new) = (tree_of(&old.path, &old.entry), tree_of(&new.path, &new.part.entry(0, None)));
    apply(File::open(&together.path).unwrap(), &old, new.manifest(), |_| Ok(std::io::sink())).unwrap();
}

#[test]
fn several_releases_in_order_and_again_the_same_bytes() {
    let scene = Scene::new();
    let mut middle = second();
    middle.insert("share/new.txt", b"other text".to_vec());
    let (one, two) = (scene.release("1.0.0", &first()), scene.release("1.0.1", &middle));
    let new = scene.release("1.1.0", &second());
    let patches = kept(scene.diff(&new, &[&two, &one]).unwrap());
    let versions: Vec<_> = patches.iter().map(|patch| patch.entry.from.to_string()).collect();
    assert_eq!(versions, ["1.0.1", "1.0.0"]);
    let written = std::fs::metadata(&patches[0].path).unwrap().modified().unwrap();
    assert_eq!(kept(scene.diff(&new, &[&two, &one]).unwrap()), patches);
    assert_eq!(std::fs::metadata(&patches[0].path).unwrap().modified().unwrap(), written);
    std::fs::remove_dir_all(scene.patches()).unwrap();
    assert_eq!(kept(scene.diff(&new, &[&two, &one]).unwrap()), patches);
    assert_eq!(entry_of(&patches[1].path).unwrap(), patches[1].entry);
}

#[test]
fn patches_of_several_triples_are_made_side_by_side_within_the_memory() {
    let scene = Scene::new();
    let triples = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];
    let of = |triple: &str, seed: u64| {
        let old = noise(seed, 5_500_000);
        let mut new = old.clone();
        new[700_000..700_100].fill(7);
        let release = |version: &str, program: Vec<u8>| {
            scene.release_for(triple, version, 0, &Files::from([("bin/app", program)]))
        };
        (release("1.0.0", old), release("1.1.0", new))
    };
    let releases: Vec<_> = triples.iter().zip(1..).map(|(triple, seed)| of(triple, seed)).collect();
    let old: Vec<_> = releases.iter().map(|(old, _)| [published(old)]).collect();
    let bundles: Vec<_> = releases.iter().zip(&old).map(|((_, new), old)| (new, &old[..])).collect();
    // One delta of these is reckoned with 94 MB: the second budget has room for one.
    let mut made = Vec::new();
    for (memory, side_by_side) in [(1 << 30, 2), (150 << 20, 1)] {
        let limits = DiffLimits { threads: 2, memory };
        let folder = scene.temp.path().join(format!("patches-{side_by_side}"));
        let mut maker = Maker::new(limits, &folder);
        let outcomes = diff_with(&mut maker, &bundles, &folder, limits, &scene.shell).unwrap();
        assert_eq!(maker.side_by_side, side_by_side, "with {memory} bytes");
        assert_eq!(outcomes.len(), 2);
        made.push(outcomes.into_iter().flat_map(kept).collect::<Vec<_>>());
    }
    let platforms: Vec<_> = made[0].iter().map(|patch| patch.entry.platform.to_string()).collect();
    assert_eq!(platforms, triples, "each has its own, in the order of the bundles");
    assert!(made[0].iter().all(|patch| patch.entry.artifact.length < 2_000), "{made:?}");
}

#[test]
fn a_patch_that_was_damaged_meanwhile_is_made_again() {
    let scene = Scene::new();
    let (old, new) = (scene.release("1.0.0", &first()), scene.release("1.1.0", &second()));
    let patches = kept(scene.diff(&new, &[&old]).unwrap());
    let good = std::fs::read(&patches[0].path).unwrap();
    for damage in [good.len() - 1, 20, 0] {
        let mut bytes = good.clone();
        bytes[damage] ^= 1;
        std::fs::write(&patches[0].path, bytes).unwrap();
        assert_eq!(kept(scene.diff(&new, &[&old]).unwrap()), patches);
        assert_eq!(std::fs::read(&patches[0].path).unwrap(), good);
    }
}

#[test]
fn a_patch_that_saves_too_little_is_dropped_and_that_is_said() {
    let scene = Scene::new();
    let mut other = first();
    other.insert("bin/app", noise(9, 40_000));
    other.insert("share/same.dat", noise(8, 9_000));
    let (old, new) = (scene.release("1.0.0", &first()), scene.release("2.0.0", &other));
    let outcomes = scene.diff(&new, &[&old]).unwrap();
    assert!(
        matches!(&outcomes[..], [Outcome::TooLarge { from, length }] if from.to_string() == "1.0.0" && *length > 40_000)
    );
    assert_eq!(std::fs::read_dir(scene.patches()).unwrap().count(), 0);
    tell(&outcomes[0], &new, &scene.shell);
    let (stderr, _) = scene.shell.output();
    assert!(stderr.contains("no patch 1.0.0 -> 2.0.0: it would have"), "{stderr}");
}

#[test]
fn a_release_without_a_known_codec_gets_no_patch() {
    let scene = Scene::new();
    let (old, new) = (scene.release("1.0.0", &first()), scene.release("1.1.0", &second()));
    let mut published = published(&old);
    published.entry.codecs = vec!["bsdiff-1".to_owned()];
    let outcomes = diff(&new, &[published], &scene.patches(), DiffLimits::default(), &scene.shell).unwrap();
    assert_eq!(outcomes, [Outcome::NoCodec { from: "1.0.0".parse().unwrap() }]);
}

#[test]
fn too_little_memory_makes_larger_patches_and_no_failure() {
    let scene = Scene::new();
    let (old, new) = (scene.release("1.0.0", &first()), scene.release("1.1.0", &second()));
    let limits = DiffLimits { threads: 1, memory: 1000 };
    let outcomes = diff(&new, &[published(&old)], &scene.patches(), limits, &scene.shell).unwrap();
    let [patch] = <[Patch; 1]>::try_from(kept(outcomes)).unwrap();
    assert!(patch.entry.artifact.length > 40_000 && patch.entry.codecs.is_empty(), "{patch:?}");
    assert!(scene.shell.output().0.contains("bin/app travels whole"), "{}", scene.shell.output().0);
}

#[test]
fn a_bundle_other_than_its_entry_is_refused() {
    let scene = Scene::new();
    let (old, new) = (scene.release("1.0.0", &first()), scene.release("1.1.0", &second()));
    let mut wrong = published(&old);
    wrong.entry.manifest = new.part.manifest;
    let error = diff(&new, &[wrong], &scene.patches(), DiffLimits::default(), &scene.shell).unwrap_err();
    assert!(matches!(error, DiffStepError::Bundle { path, .. } if path == old.path));
}
