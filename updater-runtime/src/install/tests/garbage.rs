//! Whatever somebody does to the hidden folder: the app stays whole, and the next update works. Sampled from a printed seed;
//! `UPDATER_TEST_SEED` repeats a run, `UPDATER_TEST_CASES` sets how many there are (40).

use super::*;
use crate::install::{exit, testing};
use std::os::unix::fs::symlink;

/// SplitMix64: the same seed gives the same choices.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((word ^ (word >> 31)) >> 1).unwrap() % limit
    }
}

/// What an update leaves at some moment.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Nothing,
    Download,
    Scheduled,
    OnTrial,
}

const MOMENTS: [Moment; 4] = [Moment::Nothing, Moment::Download, Moment::Scheduled, Moment::OnTrial];

fn reach(world: &World, moment: Moment) {
    match moment {
        Moment::Nothing => crate::fs::private_dir(world.layout.hidden()).unwrap(),
        Moment::Download => {
            let session = Session::open(&world.layout, now()).unwrap();
            std::fs::write(session.downloads().unwrap().join("half.part"), "half").unwrap();
        }
        Moment::Scheduled => {
            let staged = staged(&world.layout, &world.old, &world.new, Trial::Start).unwrap();
            staged.install_at_next_start().unwrap();
        }
        Moment::OnTrial => {
            world.swap(Trial::Confirm);
            exit::begin_attempt(&world.layout).unwrap();
            exit::end_attempt();
        }
    }
}

/// Does something to a random path in the hidden folder, which may or may not be there yet.
fn spoil(hidden: &Path, random: &mut Random) -> String {
    let mut paths: Vec<_> = tree_of(hidden).into_keys().map(|path| hidden.join(path)).collect();
    paths.extend(NAMES.iter().map(|name| hidden.join(name)));
    let at = paths[random.below(paths.len())].clone();
    let shape = random.below(8);
    // Its parent may have become something else before, a link to elsewhere above all.
    if at.ancestors().skip(1).take_while(|above| *above != hidden).any(|above| above.is_symlink() || above.is_file()) {
        return "nothing".to_owned();
    }
    crate::fs::remove_all(&at).unwrap();
    let made = std::fs::create_dir_all(at.parent().unwrap()).and_then(|()| match shape {
        0 => Ok(()),
        1 => std::fs::write(&at, ""),
        2 => std::fs::write(&at, (0..random.below(3000)).map(|_| random.below(256) as u8).collect::<Vec<_>>()),
        3 => std::fs::create_dir(&at),
        4 => std::fs::create_dir_all(at.join("tree/bin/hello")),
        5 => symlink("/", &at),
        6 => symlink(&at, &at),
        _ => symlink("/etc/passwd", &at),
    });
    format!("{} shape {shape}: {made:?}", at.strip_prefix(hidden).unwrap().display())
}

fn run(seed: u64) {
    let mut random = Random(seed);
    let world = World::each().into_iter().nth(random.below(4)).unwrap();
    let moment = MOMENTS[random.below(MOMENTS.len())];
    reach(&world, moment);
    let done: Vec<String> = (0..=random.below(3)).map(|_| spoil(world.layout.hidden(), &mut random)).collect();
    let what = format!("seed {seed}, {:?} {moment:?}: {done:?}", world.layout.kind());
    // A start may fail to settle it, but no start ends the app, and the second one is not stuck.
    for _ in 0..2 {
        if let Err(error) = settle(&world.layout, now()) {
            assert!(!matches!(error, InstallError::Journal { .. }), "{what}: {error:?}");
        }
    }
    let program = crate::fs::digest(&world.layout.program()).unwrap().map(|(_, digest)| digest);
    let is_old = program == Some(world.old.manifest.entry_digest());
    assert!(is_old || program == Some(world.new.manifest.entry_digest()), "{what}");
    let installed = if is_old { &world.old } else { &world.new };
    installed.assert_installed(&world.layout);
    // The next update.
    let newer = world.next("2.0.0");
    let staged = testing::staged(&world.layout, installed, &newer, Trial::Confirm);
    staged.and_then(crate::install::Staged::install).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    newer.assert_installed(&world.layout);
    assert!(confirm(&world.layout, now()).unwrap(), "{what}");
    world.assert_tidy();
    // Without a journal nothing tells a forged copy of a file that users may edit from the one that the user edited, in
    // the tree that was put aside: only the user can write to either.
    let was = |what: &str| done.iter().any(|done| done.contains(what));
    let is_forged = was("state.json") && was("tree/etc/app.conf");
    if world.layout.has_users_files() {
        for (path, content) in
            [("notes.txt", "the user's"), ("gone/mine", "the user's too"), ("etc/app.conf", "edited")]
        {
            if is_forged && path == "etc/app.conf" {
                continue;
            }
            assert_eq!(
                std::fs::read_to_string(world.layout.root().join(path)).ok().as_deref(),
                Some(content),
                "{what}"
            );
        }
    }
}

#[test]
fn a_spoiled_hidden_folder_heals() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let clock = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let (first, cases) = match number("UPDATER_TEST_SEED") {
        Some(seed) => (seed, number("UPDATER_TEST_CASES").unwrap_or(1)),
        None => (clock << 16, number("UPDATER_TEST_CASES").unwrap_or(40)),
    };
    eprintln!("seeds {first} and the {cases} behind it");
    (first..first + cases).for_each(run);
}

/// Names that the updater uses, whether they are there or not; `state` is a user's trusted metadata, which it never sweeps.
const NAMES: [&str; 18] = [
    "lock",
    "state.json",
    "download",
    "staged",
    "staged/manifest.json",
    "staged/tree",
    "previous",
    "previous/tree",
    "previous/tree/hello",
    "earlier",
    "manifests",
    "earlier/tree",
    "attempts",
    "attempts/1-1",
    "attempts/.2-2",
    "exchange-1",
    "next",
    ".state.json.1-1.tmp",
];
