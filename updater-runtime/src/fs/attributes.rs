//! Extended attributes that a user gave to a program or a folder of an app on macOS: Finder tags and comments, and what
//! other programs keep there. They go over to its successor, as permission bits do. A user's own files keep theirs anyway:
//! they are renamed.
//!
//! Of Apple's own only what the Finder lets a user write goes over: the quarantine, the origin and the signature that an
//! attribute tells of are those of the old bytes.

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use std::os::fd::AsFd;

/// Gives an open file or folder the attributes of another. What the file system does not take is left out: it is no reason
/// to stay without an update.
pub(super) fn adopt(to: impl AsFd, from: impl AsFd) {
    let mut list = vec![0; MAX_BYTES];
    let Ok(length) = flistxattr(&from, &mut list[..]) else { return };
    let mut value = vec![0; MAX_BYTES];
    for name in list[..length].split(|byte| *byte == 0).filter(|name| is_users(name)) {
        let Ok(length) = fgetxattr(&from, name, &mut value[..]) else { continue };
        if let Err(error) = fsetxattr(&to, name, &value[..length], XattrFlags::empty()) {
            log::debug!("the attribute {} is left behind: {error}", String::from_utf8_lossy(name));
        }
    }
}

/// Tells whether a user, or a program in their name, wrote an attribute.
fn is_users(name: &[u8]) -> bool {
    let finders = name == b"com.apple.FinderInfo" || name.starts_with(b"com.apple.metadata:");
    match cfg!(target_os = "linux") {
        // Linux has no other attributes that everybody may write.
        true => name.starts_with(b"user."),
        false => !name.is_empty() && (finders || !name.starts_with(b"com.apple.")),
    }
}

/// The most bytes of a list or a value: 64 KiB, the most that Linux has. Tags have about 100.
const MAX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn what_a_user_wrote_goes_over() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| File::create(folder.path().join(name)).unwrap();
        let (old, new) = (make("old"), make("new"));
        if fsetxattr(&old, "user.tag", b"red", XattrFlags::empty()).is_err() {
            // A file system without attributes.
            return;
        }
        fsetxattr(&new, "user.tag", b"blue and long", XattrFlags::empty()).unwrap();
        fsetxattr(&old, "user.empty", b"", XattrFlags::empty()).unwrap();
        adopt(&new, &old);
        let mut value = [0; 32];
        let length = fgetxattr(&new, "user.tag", &mut value[..]).unwrap();
        assert_eq!(&value[..length], b"red");
        assert_eq!(fgetxattr(&new, "user.empty", &mut value[..]).unwrap(), 0);
    }

    #[test]
    fn folders_have_them_too() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let open = |folder: &tempfile::TempDir| File::open(folder.path()).unwrap();
        if fsetxattr(open(&old), "user.tag", b"red", XattrFlags::empty()).is_err() {
            return;
        }
        adopt(open(&new), open(&old));
        assert_eq!(fgetxattr(open(&new), "user.tag", &mut [0; 8][..]).unwrap(), 3);
    }
}
