//! Every bound on what is read from the outside, in bytes or entries, each with its reason.

/// The most bytes a `root.json` may have: 65,536. Ours has about 2.4 kB with 8 keys; python-tuf allows 512,000.
pub const MAX_ROOT: u64 = 64 * 1024;
/// The most bytes a `timestamp.json` may have: 16,384, as python-tuf has it. Ours has about 600.
pub const MAX_TIMESTAMP: u64 = 16 * 1024;
/// The most bytes a `snapshot.json` may have when the timestamp does not say its length: 262,144.
pub const MAX_SNAPSHOT: u64 = 256 * 1024;
/// The most bytes a `targets.json` or channel role may have when the snapshot does not say its length: 1,048,576.
pub const MAX_ROLE: u64 = 1024 * 1024;
/// The most new roots one check walks through: 256, as python-tuf has it. With one root a year this is 256 years.
pub const MAX_ROOT_STEPS: u32 = 256;
/// The most delegated roles one search visits: 32, as python-tuf has it.
pub const MAX_DELEGATED_ROLES: usize = 32;
/// The most levels of nesting in a JSON document: 64. Ours nest 8 deep; recursion stays far from the stack's end.
pub const MAX_JSON_DEPTH: usize = 64;
/// The largest number in metadata: 2^53, beyond which other JSON readers lose digits, so two would disagree.
pub const MAX_NUMBER: u64 = 1 << 53;
/// The most bytes of a manifest: 16 MiB, about 100,000 files of 160 bytes each.
pub const MAX_MANIFEST: u64 = 16 * 1024 * 1024;
/// The most entries in a bundle: 100,000, so that a bundle cannot fill a file system with inodes.
pub const MAX_ENTRIES: usize = 100_000;
/// The most bytes of a path inside a bundle: 1,024, a quarter of Linux's `PATH_MAX`.
pub const MAX_PATH: usize = 1024;
/// The most bytes of a patch header, unpacked: 32 MiB, a manifest of the most bytes and as much again for the operations.
pub const MAX_PATCH_HEADER: u64 = 32 * 1024 * 1024;
/// The most bytes of the joint files of a patch, old and new each: 16 MiB, because both are held in memory.
pub const MAX_JOINT: u64 = 16 * 1024 * 1024;
/// The most bytes of release notes: 65,536. Longer ones are refused by the publisher and not fetched by a client.
pub const MAX_NOTES: u64 = 64 * 1024;
/// The most bytes of a `VERSION`: 65,536. A line for each platform has less than 400.
pub const MAX_VERSION_FILE: u64 = 64 * 1024;
/// The most bytes of a `.minisig`: 4,096. Ours have about 350.
pub const MAX_MINISIG: u64 = 4096;
/// The memory that decoding xz may take: 128 MiB. `xz -9` needs 65 MiB; a crafted header may ask for 1.5 GiB.
pub const MAX_XZ_MEMORY: u64 = 128 * 1024 * 1024;
