//! Places that macOS shows an app in for a look and not to stay: what is changed there is gone with the place.
//!
//! * A quarantined app that was opened where it was unpacked runs from a read-only copy below a random path ("App
//!   Translocation"; Apple Platform Security, "Gatekeeper and runtime protection": "Gatekeeper opens apps from randomized,
//!   read-only locations"). It ends when the Finder has moved the app.
//! * An app on a disk image that was opened runs from a read-only volume below `/Volumes`.

use super::error::Obstacle;
use std::path::{Component, Path, PathBuf};

/// A mounted file system, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where it is mounted.
    pub(super) on: PathBuf,
    /// Nothing on it can be changed.
    pub(super) is_read_only: bool,
}

/// Tells why a program cannot be updated at the place that it was started from.
pub(super) fn obstacle(program: &Path, mount: Option<&Mount>) -> Option<Obstacle> {
    if is_translocated(program) {
        return Some(Obstacle::Translocated { path: program.to_owned() });
    }
    mount
        .filter(|mount| mount.is_read_only && mount.on.starts_with(VOLUMES))
        .map(|mount| Obstacle::DiskImage { path: mount.on.clone() })
}

/// The path is all there is to see: the call that tells, `SecTranslocateIsTranslocatedURL`, is not public.
fn is_translocated(program: &Path) -> bool {
    let is_temporary = TEMPORARY.iter().any(|folder| program.starts_with(folder));
    is_temporary && program.components().any(|part| part == Component::Normal(TRANSLOCATED.as_ref()))
}

/// Returns the file system that a path lies on.
#[cfg(target_os = "macos")]
pub(super) fn mount_of(path: &Path) -> Option<Mount> {
    use std::os::unix::ffi::OsStrExt as _;
    let found = rustix::fs::statfs(path).ok()?;
    let name: Vec<u8> = found.f_mntonname.iter().take_while(|c| **c != 0).map(|c| c.cast_unsigned()).collect();
    let is_read_only = found.f_flags & MNT_RDONLY != 0;
    Some(Mount { on: PathBuf::from(std::ffi::OsStr::from_bytes(&name)), is_read_only })
}

/// `<sys/mount.h>`.
#[cfg(target_os = "macos")]
const MNT_RDONLY: u32 = 1;
/// The temporary folders of users, by the path itself and by the link to it.
const TEMPORARY: [&str; 2] = ["/private/var/folders", "/var/folders"];
/// The folder in them that apps are shown in.
const TRANSLOCATED: &str = "AppTranslocation";
/// Where volumes other than that of the system are mounted.
const VOLUMES: &str = "/Volumes";

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = "/Applications/Hello.app/Contents/MacOS/hello";

    fn mount(on: &str, is_read_only: bool) -> Mount {
        Mount { on: on.into(), is_read_only }
    }

    #[test]
    fn a_translocated_app_is_told_by_its_path() {
        let id = "AppTranslocation/613DF902-6BE1-4C37-A4C2-349AA050923C/d/Hello.app/Contents/MacOS/hello";
        for folder in ["/private/var/folders/zy/jmx4/T", "/var/folders/zy/jmx4/X"] {
            let path = PathBuf::from(format!("{folder}/{id}"));
            assert_eq!(obstacle(&path, None), Some(Obstacle::Translocated { path }));
        }
        for path in [format!("/Users/me/{id}"), "/private/var/folders/zy/AppTranslocations/hello".to_owned()] {
            assert_eq!(obstacle(Path::new(&path), None), None, "{path}");
        }
    }

    #[test]
    fn a_disk_image_is_a_volume_that_cannot_be_written() {
        let image = mount("/Volumes/Hello 1.0", true);
        let expected = Some(Obstacle::DiskImage { path: "/Volumes/Hello 1.0".into() });
        assert_eq!(obstacle(Path::new("/Volumes/Hello 1.0/Hello.app/Contents/MacOS/hello"), Some(&image)), expected);
        for other in [mount("/Volumes/Work", false), mount("/", true), mount("/System/Volumes/Data", false)] {
            assert_eq!(obstacle(Path::new(PROGRAM), Some(&other)), None, "{other:?}");
        }
    }
}
