//! The version of the C library that this process runs with, for releases that need a newer one.

/// Returns the version of the GNU C library, such as `2.36`; `None` where the program does not use it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn libc_version() -> Option<String> {
    #[expect(unsafe_code, reason = "the declaration of the C library's function; std links that library already")]
    unsafe extern "C" {
        fn gnu_get_libc_version() -> *const std::ffi::c_char;
    }
    // SAFETY: declared as glibc's manual has it (`gnu/libc-version.h`); it returns a static string that ends in NUL.
    #[expect(unsafe_code, reason = "std has no call for the version of the C library")]
    let text = unsafe { std::ffi::CStr::from_ptr(gnu_get_libc_version()) };
    text.to_str().ok().map(str::to_owned)
}

/// Returns `None`: this program does not use the GNU C library.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn libc_version() -> Option<String> {
    None
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    #[test]
    fn it_is_a_dotted_number() {
        let version = super::libc_version().unwrap();
        assert!(version.starts_with("2.") && version[2..].parse::<u32>().is_ok(), "{version}");
    }
}
