//! The calls of macOS that the standard library does not make: what a process can learn about itself where there is no
//! `/proc`. Both stand in `<libproc.h>`, a part of libSystem.

#![expect(unsafe_code, reason = "foreign calls; each says why it is sound")]

use std::ffi::{OsString, c_int, c_void};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// Returns where the file lies now that this process runs. It follows the file when that is renamed, as the path that the
/// process was started by does not.
pub(crate) fn running_program() -> Option<PathBuf> {
    let mut path = vec![0_u8; PATH_SIZE as usize];
    // SAFETY: the buffer is writable and has the length that is named; the call keeps no reference to it.
    let length = unsafe { proc_pidpath(own_number(), path.as_mut_ptr().cast(), PATH_SIZE) };
    path.truncate(usize::try_from(length).ok().filter(|length| *length > 0)?);
    Some(PathBuf::from(OsString::from_vec(path)))
}

/// Returns when this process started, in microseconds since 1970.
pub(crate) fn start_time() -> Option<u64> {
    let mut info = BsdInfo { begin: [0; 120], seconds: 0, microseconds: 0 };
    let size = c_int::try_from(size_of::<BsdInfo>()).ok()?;
    // SAFETY: the buffer is writable, has the size that is named and no invalid values; the call keeps no reference to it.
    let length = unsafe { proc_pidinfo(own_number(), PROC_PIDTBSDINFO, 0, (&raw mut info).cast(), size) };
    (length == size).then(|| info.seconds.wrapping_mul(1_000_000).wrapping_add(info.microseconds))
}

fn own_number() -> c_int {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// `struct proc_bsdinfo` of `<sys/proc_info.h>`: only its last fields are read.
#[repr(C)]
struct BsdInfo {
    begin: [u8; 120],
    seconds: u64,
    microseconds: u64,
}

unsafe extern "C" {
    fn proc_pidpath(pid: c_int, buffer: *mut c_void, size: u32) -> c_int;
    fn proc_pidinfo(pid: c_int, flavor: c_int, argument: u64, buffer: *mut c_void, size: c_int) -> c_int;
}

/// `PROC_PIDPATHINFO_MAXSIZE`: four times the longest path.
const PATH_SIZE: u32 = 4 * 1024;
const PROC_PIDTBSDINFO: c_int = 3;
const _: () = assert!(size_of::<BsdInfo>() == 136);
