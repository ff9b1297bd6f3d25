//! Who may do what with files: owners and access lists.

use super::{check, wide};
use std::io::{Error, Result};
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::path::Path;
use windows_sys::Win32::Foundation::{ERROR_SUCCESS, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW, GetNamedSecurityInfoW,
    SDDL_REVISION_1, SE_FILE_OBJECT,
};
use windows_sys::Win32::Security::{
    ACCESS_ALLOWED_ACE, ACE_HEADER, ACL, DACL_SECURITY_INFORMATION, GetAce, GetFileSecurityW, GetTokenInformation,
    INHERIT_ONLY_ACE, OWNER_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID, SECURITY_ATTRIBUTES, SetFileSecurityW,
    TOKEN_ELEVATION, TOKEN_INFORMATION_CLASS, TOKEN_QUERY, TOKEN_USER, TokenElevation, TokenUser,
};
use windows_sys::Win32::Storage::FileSystem::CreateDirectoryW;
use windows_sys::Win32::System::SystemServices::ACCESS_ALLOWED_ACE_TYPE;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// An entry of an access list that allows something: to whom, as `S-1-...`, and what, as the bits of an access mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) sid: String,
    pub(crate) mask: u32,
}

/// Returns the user that this process runs as, as `S-1-...`.
pub(crate) fn user() -> Result<String> {
    let bytes = token_information(TokenUser)?;
    // SAFETY: for this class the system writes a TOKEN_USER, followed by what it points to, into the buffer, whose words are
    // aligned as the structure wants it.
    let user = unsafe { &*bytes.as_ptr().cast::<TOKEN_USER>() };
    // SAFETY: it points into `bytes`, which is alive.
    unsafe { sid_text(user.User.Sid) }
}

/// Tells whether this process has the rights of an administrator at hand, and not only the group.
pub(crate) fn elevated() -> bool {
    let Ok(bytes) = token_information(TokenElevation) else { return false };
    // SAFETY: for this class the system writes a TOKEN_ELEVATION.
    let elevation = unsafe { &*bytes.as_ptr().cast::<TOKEN_ELEVATION>() };
    elevation.TokenIsElevated != 0
}

/// Returns the owner of a file or folder, as `S-1-...`.
pub(crate) fn owner(path: &Path) -> Result<String> {
    let (path, mut owner, mut descriptor) = (wide(path)?, std::ptr::null_mut(), Descriptor::none());
    let nothing = std::ptr::null_mut();
    // SAFETY: a string that ends in a zero; places for the owner and for the descriptor, which is freed by its guard.
    let answer = unsafe {
        let (what, none) = (OWNER_SECURITY_INFORMATION, std::ptr::null_mut());
        GetNamedSecurityInfoW(
            path.as_ptr(),
            SE_FILE_OBJECT,
            what,
            &raw mut owner,
            none,
            nothing,
            nothing,
            &raw mut descriptor.0,
        )
    };
    succeeded(answer)?;
    // SAFETY: it points into the descriptor, which is alive.
    unsafe { sid_text(owner) }
}

/// Returns what the access list of a file or folder allows, entries that are only for what is made in a folder left out;
/// `None` when it has no list, so that everybody may do everything.
pub(crate) fn grants(path: &Path) -> Result<Option<Vec<Grant>>> {
    let (path, mut list, mut descriptor) = (wide(path)?, std::ptr::null_mut::<ACL>(), Descriptor::none());
    // SAFETY: a string that ends in a zero; places for the list and for the descriptor, which is freed by its guard.
    let answer = unsafe {
        let (what, none) = (DACL_SECURITY_INFORMATION, std::ptr::null_mut());
        let nothing = std::ptr::null_mut();
        GetNamedSecurityInfoW(
            path.as_ptr(),
            SE_FILE_OBJECT,
            what,
            none,
            none,
            &raw mut list,
            nothing,
            &raw mut descriptor.0,
        )
    };
    succeeded(answer)?;
    if list.is_null() {
        return Ok(None);
    }
    // SAFETY: the list lies in the descriptor, which is alive.
    let count = unsafe { (*list).AceCount };
    let mut grants = Vec::new();
    for index in 0..u32::from(count) {
        let mut entry = std::ptr::null_mut();
        // SAFETY: the list is alive and has an entry of this index.
        check(unsafe { GetAce(list, index, &raw mut entry) })?;
        // SAFETY: every entry begins with this header.
        let header = unsafe { &*entry.cast::<ACE_HEADER>() };
        let is_inherit_only = u32::from(header.AceFlags) & INHERIT_ONLY_ACE != 0;
        // Entries that deny only take away; those for objects and conditions are not found on files.
        if u32::from(header.AceType) != ACCESS_ALLOWED_ACE_TYPE || is_inherit_only {
            continue;
        }
        // SAFETY: an entry of this type is this structure, whose last field is the first word of a SID.
        let (mask, sid) = unsafe {
            let allowed = entry.cast::<ACCESS_ALLOWED_ACE>();
            ((*allowed).Mask, (&raw mut (*allowed).SidStart).cast())
        };
        // SAFETY: the SID lies in the list, which is alive.
        grants.push(Grant { sid: unsafe { sid_text(sid) }?, mask });
    }
    Ok(Some(grants))
}

/// Gives a file the access list of another, entry by entry as it is: what was inherited stays marked so, and is not worked
/// out anew from the folder that the file lies in at the moment.
pub(crate) fn copy_access(from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (wide(from)?, wide(to)?);
    let mut needed = 0;
    let nothing = std::ptr::null_mut();
    // SAFETY: a string that ends in a zero; no buffer, so that only the size is told.
    unsafe { GetFileSecurityW(from.as_ptr(), DACL_SECURITY_INFORMATION, nothing, 0, &raw mut needed) };
    let mut buffer = aligned(needed)?;
    let descriptor: PSECURITY_DESCRIPTOR = buffer.as_mut_ptr().cast();
    // SAFETY: the buffer has `needed` bytes at least, and is aligned for pointers.
    check(unsafe { GetFileSecurityW(from.as_ptr(), DACL_SECURITY_INFORMATION, descriptor, needed, &raw mut needed) })?;
    // SAFETY: a string that ends in a zero, and the descriptor that was just written.
    check(unsafe { SetFileSecurityW(to.as_ptr(), DACL_SECURITY_INFORMATION, descriptor) })
}

/// Returns the access list of what is private: this user, the system and the administrators, inherited by all below, and
/// nothing inherited from above.
pub(crate) fn private_sddl() -> Result<String> {
    let user = user()?;
    Ok(format!("D:P(A;OICI;FA;;;{user})(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"))
}

/// Makes a folder that only this user, the system and the administrators can enter.
pub(crate) fn make_private_folder(path: &Path) -> Result<()> {
    let path = wide(path)?;
    with_access_list(&private_sddl()?, |attributes| {
        // SAFETY: a string that ends in a zero, and attributes whose descriptor is alive.
        check(unsafe { CreateDirectoryW(path.as_ptr(), attributes) })
    })?
}

/// Calls a function with the attributes that give what it makes this access list. They are alive until it returns.
pub(crate) fn with_access_list<T>(list: &str, make: impl FnOnce(*const SECURITY_ATTRIBUTES) -> T) -> Result<T> {
    let text: Vec<u16> = list.encode_utf16().chain([0]).collect();
    let mut descriptor = Descriptor::none();
    let (revision, no_size) = (SDDL_REVISION_1, std::ptr::null_mut());
    // SAFETY: a string that ends in a zero; a place for the descriptor, which is freed by its guard.
    check(unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(text.as_ptr(), revision, &raw mut descriptor.0, no_size)
    })?;
    let length = u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or(0);
    let attributes = SECURITY_ATTRIBUTES { nLength: length, lpSecurityDescriptor: descriptor.0, bInheritHandle: 0 };
    Ok(make(&raw const attributes))
}

fn token_information(class: TOKEN_INFORMATION_CLASS) -> Result<Vec<usize>> {
    let mut token = std::ptr::null_mut();
    // SAFETY: the pseudo handle of this process is always open; a place for the new handle.
    check(unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) })?;
    // SAFETY: the handle was just made, is valid and belongs to nobody else.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    let mut needed = 0;
    // SAFETY: an open handle and no buffer, so that only the size is told.
    unsafe { GetTokenInformation(token.as_raw_handle(), class, std::ptr::null_mut(), 0, &raw mut needed) };
    let mut buffer = aligned(needed)?;
    // SAFETY: the buffer has `needed` bytes at least.
    check(unsafe {
        GetTokenInformation(token.as_raw_handle(), class, buffer.as_mut_ptr().cast(), needed, &raw mut needed)
    })?;
    Ok(buffer)
}

/// Makes room for structures that begin with pointers; refuses what no such structure needs.
fn aligned(bytes: u32) -> Result<Vec<usize>> {
    let bytes = bytes as usize;
    if bytes == 0 || bytes > MAX_INFORMATION {
        return Err(Error::last_os_error());
    }
    Ok(vec![0; bytes.div_ceil(size_of::<usize>())])
}

/// Writes a SID as text.
///
/// # Safety
/// It must point to a valid SID.
unsafe fn sid_text(sid: PSID) -> Result<String> {
    let mut text = std::ptr::null_mut();
    // SAFETY: by the contract of this function; a place for the string, which is freed below.
    check(unsafe { ConvertSidToStringSidW(sid, &raw mut text) })?;
    let mut length = 0;
    // SAFETY: the string ends in a zero, at which this stops.
    while unsafe { *text.add(length) } != 0 {
        length += 1;
    }
    // SAFETY: so many characters were just read.
    let found = String::from_utf16_lossy(unsafe { std::slice::from_raw_parts(text, length) });
    // SAFETY: allocated by the call above, and not used any more.
    unsafe { LocalFree(text.cast()) };
    Ok(found)
}

/// A descriptor that the system has allocated.
struct Descriptor(PSECURITY_DESCRIPTOR);

impl Descriptor {
    const fn none() -> Self {
        Self(std::ptr::null_mut())
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: allocated by the system for us, and what pointed into it is gone.
            unsafe { LocalFree(self.0) };
        }
    }
}

fn succeeded(answer: u32) -> Result<()> {
    if answer == ERROR_SUCCESS { Ok(()) } else { Err(Error::from_raw_os_error(answer.cast_signed())) }
}

/// The most bytes of such information: 256 KiB. An access list has 64 KiB at most.
const MAX_INFORMATION: usize = 256 * 1024;
