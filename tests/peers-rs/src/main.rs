//! Reads a repository with another implementation of TUF: refresh, then every target named.
//!
//! ```text
//! updater-peers (tough | sigstore-tuf) ROOT METADATA_URL TARGETS_URL STATE_DIR [TARGET...]
//! ```
//! Prints the SHA-256 of each target that was downloaded and verified, one per line. Exit code 1 and the whole chain of
//! causes on stderr when the implementation refuses.

use futures_util::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use sigstore_tuf::cache::FileStore;
use sigstore_tuf::client::{HttpRepository, Updater};
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use tough::{RepositoryLoader, TargetName};

/// What both are asked for.
struct Job {
    root: Vec<u8>,
    metadata: String,
    targets: String,
    state: PathBuf,
    names: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [implementation, root, metadata, targets, state, names @ ..] = arguments.as_slice() else {
        eprintln!("usage: updater-peers (tough | sigstore-tuf) ROOT METADATA_URL TARGETS_URL STATE_DIR [TARGET...]");
        return ExitCode::from(2);
    };
    let root = match std::fs::read(root) {
        Ok(bytes) => bytes,
        Err(error) => return failed(&format!("cannot read {root}: {error}")),
    };
    let (metadata, targets) = (metadata.clone(), targets.clone());
    let job = Job { root, metadata, targets, state: state.into(), names: names.to_vec() };
    let digests = match implementation.as_str() {
        "tough" => read_with_tough(job).await,
        "sigstore-tuf" => read_with_sigstore(job).await,
        other => return failed(&format!("no implementation is called {other}")),
    };
    match digests {
        Ok(digests) => {
            digests.iter().for_each(|digest| println!("{digest}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            let mut message = error.to_string();
            let mut next = error.source();
            while let Some(cause) = next {
                message = format!("{message}: {cause}");
                next = cause.source();
            }
            failed(&message)
        }
    }
}

async fn read_with_tough(job: Job) -> Result<Vec<String>, Box<dyn Error>> {
    std::fs::create_dir_all(&job.state)?;
    let repository = RepositoryLoader::new(&job.root, job.metadata.parse()?, job.targets.parse()?)
        .datastore(&job.state)
        .load()
        .await?;
    let mut digests = Vec::new();
    for name in job.names {
        let name = TargetName::new(name)?;
        let stream = repository.read_target(&name).await?;
        let mut bytes = stream.ok_or_else(|| format!("no role lists {}", name.raw()))?;
        let mut hasher = Sha256::new();
        while let Some(chunk) = bytes.try_next().await? {
            hasher.update(&chunk);
        }
        digests.push(hex(&hasher.finalize()));
    }
    Ok(digests)
}

async fn read_with_sigstore(job: Job) -> Result<Vec<String>, Box<dyn Error>> {
    let repository = HttpRepository::new(&job.metadata)?.with_targets_base(&job.targets)?;
    let mut updater = Updater::new(repository, &job.root)?.with_store(FileStore::new(&job.state));
    let now = jiff::Timestamp::now();
    updater.refresh(now).await?;
    let mut digests = Vec::new();
    for name in job.names {
        digests.push(hex(&Sha256::digest(updater.get_target(&name, now).await?)));
    }
    Ok(digests)
}

fn failed(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::FAILURE
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
