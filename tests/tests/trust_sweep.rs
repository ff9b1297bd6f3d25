//! One byte of every published file flipped, every file truncated, every pair of files swapped: each is refused.
//!
//! The positions are sampled with a printed seed; `UPDATER_SEED=N` repeats a run, `UPDATER_SWEEP=all` tries every byte
//! with every bit.

#![expect(clippy::unwrap_used, reason = "in a test a wrong set-up is a failure like any other")]
#![expect(clippy::print_stdout, reason = "a failure is repeated with the seed that is printed")]

use updater_format::release::Artifact;
use updater_tests::simulator::{Fault, RepositorySimulator, SimulatedClient};

/// A published repository with everything in it that a client reads: two roots, two channels, an artifact in each.
struct Published {
    sim: RepositorySimulator,
    first_root: Vec<u8>,
    artifacts: [Artifact; 2],
}

impl Published {
    fn new() -> Self {
        let sim = RepositorySimulator::new();
        let first_root = sim.file("metadata/1.root.json");
        sim.repo().next_root();
        let stable = sim.repo().release("stable", "1.0.0", b"the bundle of the stable release");
        let beta = sim.repo().release("beta", "1.1.0-beta.1", b"the bundle of the beta release!!");
        Self { sim, first_root, artifacts: [stable, beta] }
    }

    /// Returns the files that a client reads, all but the root that it has compiled in.
    fn files(&self) -> Vec<String> {
        self.sim.files().into_iter().filter(|path| path != "metadata/1.root.json").collect()
    }

    /// Reads all of it with one file replaced. `Err` says what refused it.
    fn read_with(&self, path: &str, fault: Fault) -> Result<(), String> {
        let sim = self.sim.copy();
        sim.fault(path, fault);
        let mut client: SimulatedClient = sim.client();
        client.embedded = self.first_root.clone();
        client.keeps_state = false;
        for (channel, artifact) in ["stable", "beta"].iter().zip(&self.artifacts) {
            client.channel(channel).map_err(|error| format!("{error:?}"))?;
            client.download(artifact).map_err(|error| format!("{error:?}"))?;
        }
        Ok(())
    }

    fn assert_refused(&self, path: &str, fault: Fault, what: &str) {
        assert!(self.read_with(path, fault).is_err(), "{path}: {what} was accepted");
    }
}

#[test]
fn the_untouched_repository_is_read() {
    let published = Published::new();
    assert_eq!(published.files().len(), 8);
    published.read_with("metadata/nothing", Fault::Offline).unwrap();
}

#[test]
fn a_flipped_byte_in_any_file_is_refused() {
    let (published, mut random) = (Published::new(), Random::from_environment());
    for path in published.files() {
        let length = published.sim.file(&path).len();
        let flips: Vec<(usize, u8)> = if everything() {
            (0..length).flat_map(|at| (0..8).map(move |bit| (at, 1 << bit))).collect()
        } else {
            (0..SAMPLES).map(|_| (random.below(length), 1 << random.below(8))).collect()
        };
        for (at, bits) in flips {
            published.assert_refused(&path, Fault::Flip(at, bits), &format!("byte {at} changed by {bits:#x}"));
        }
    }
}

#[test]
fn a_truncated_file_is_refused() {
    let (published, mut random) = (Published::new(), Random::from_environment());
    for path in published.files() {
        let length = published.sim.file(&path).len();
        let mut cuts: Vec<usize> =
            if everything() { (0..length).collect() } else { (0..SAMPLES).map(|_| random.below(length)).collect() };
        cuts.extend([0, 1, length - 1]);
        for cut in cuts {
            published.assert_refused(&path, Fault::Truncate(cut), &format!("the first {cut} bytes"));
            published.assert_refused(&path, Fault::Cut(cut), &format!("a connection that broke after {cut} bytes"));
        }
    }
}

#[test]
fn a_file_with_something_after_its_end_is_refused() {
    let published = Published::new();
    for path in published.files() {
        for tail in [&b" "[..], b"\n", b"{}", b"\0"] {
            let longer = [published.sim.file(&path), tail.to_vec()].concat();
            // Root and timestamp have no signed length, and white space after JSON is still the same document.
            let is_harmless =
                tail.trim_ascii().is_empty() && ["2.root.json", "timestamp.json"].iter().any(|f| path.ends_with(f));
            let result = published.read_with(&path, Fault::Replace(longer));
            assert_eq!(result.is_ok(), is_harmless, "{path}: {tail:?} after its end: {result:?}");
        }
    }
}

#[test]
fn any_two_files_swapped_are_refused() {
    let published = Published::new();
    let files = published.files();
    let mut pairs = 0;
    for path in &files {
        for other in files.iter().filter(|other| *other != path) {
            let bytes = published.sim.file(other);
            published.assert_refused(path, Fault::Replace(bytes), &format!("{other} in its place"));
            pairs += 1;
        }
    }
    assert_eq!(pairs, 56);
}

#[test]
fn the_files_of_another_publishing_are_refused_in_every_combination() {
    // Two states of one repository, each genuine. All 2^5 mixtures of their documents: only the two whole ones pass.
    let old = Published::new();
    let new = Published { sim: old.sim.copy(), first_root: old.first_root.clone(), artifacts: old.artifacts.clone() };
    {
        let mut repo = new.sim.repo();
        repo.targets.version += 1;
        repo.role("stable").version += 1;
        repo.role("beta").version += 1;
        repo.bump();
    }
    let documents = ["timestamp", "snapshot", "targets", "stable", "beta"];
    let served = |published: &Published, document: &str| {
        published.sim.files().into_iter().find(|path| path.ends_with(&format!("{document}.json"))).unwrap()
    };
    for mixture in 0..1u32 << documents.len() {
        let sim = new.sim.copy();
        for (i, document) in documents.iter().enumerate() {
            let from = if mixture >> i & 1 == 1 { &new } else { &old };
            let bytes = from.sim.file(&served(from, document));
            // Under either name, so that only what the documents say of each other can tell them apart.
            for name in [served(&old, document), served(&new, document)] {
                sim.fault(&name, Fault::Replace(bytes.clone()));
            }
        }
        let mut client = sim.client();
        client.embedded = old.first_root.clone();
        let is_read = client.channel("stable").is_ok() && client.channel("beta").is_ok();
        let is_whole = mixture == 0 || mixture == (1 << documents.len()) - 1;
        assert_eq!(is_read, is_whole, "mixture {mixture:05b}");
    }
}

fn everything() -> bool {
    std::env::var("UPDATER_SWEEP").as_deref() == Ok("all")
}

/// Positions tried per file: a change that is accepted anywhere in a file's signatures or numbers shows within few runs.
const SAMPLES: usize = 60;

/// A small generator (xorshift64*), so that a seed repeats a run on every platform.
struct Random(u64);

impl Random {
    fn from_environment() -> Self {
        let given = std::env::var("UPDATER_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            now.as_nanos() as u64 | 1
        });
        println!("UPDATER_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}
