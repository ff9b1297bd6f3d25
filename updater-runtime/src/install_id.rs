//! The install id: what decides which share of a rollout this copy is in. Drawn when it is first needed, never sent.

use crate::fs;
use crate::trust_store::make_parents;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::path::Path;
use updater_format::InstallId;

/// Returns the id that is kept in a state folder, and draws one if there is none. `None` when none can be kept: one that
/// changes from start to start would be in every rollout sooner or later.
pub(crate) fn install_id(state_dir: &Path) -> Option<InstallId> {
    let file = state_dir.join("install-id");
    read(&file).or_else(|| {
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).ok()?;
        let id = InstallId::from_bytes(bytes);
        let written =
            make_parents(&file).and_then(|()| fs::atomic_write(&file, format!("{}\n", id.to_hex()).as_bytes()));
        if let Err(error) = written {
            log::info!("this copy waits for the end of rollouts: {error}");
        }
        // Read again: two processes may have drawn one at the same time.
        read(&file)
    })
}

fn read(file: &Path) -> Option<InstallId> {
    let bytes = fs::read_bounded(file, MAX_FILE).ok()??;
    InstallId::parse(std::str::from_utf8(&bytes).ok()?).ok()
}

/// Bytes that are read of the file; an id and a line feed have 33.
const MAX_FILE: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn it_is_drawn_once_and_private() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("state/hello");
        let id = install_id(&folder).unwrap();
        assert_eq!(install_id(&folder), Some(id));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(folder.join("install-id")).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600);
        }
        assert_ne!(install_id(&home.path().join("other")), Some(id));
        std::fs::write(folder.join("install-id"), "damaged").unwrap();
        let new = install_id(&folder).unwrap();
        assert_ne!(new, id);
        assert_eq!(install_id(&folder), Some(new));
    }

    #[test]
    fn without_a_place_there_is_none() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(install_id(&file.join("state")), None);
    }
}
