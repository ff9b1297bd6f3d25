//! The end of this process, as the loader tells it.
//!
//! `std::process::exit` calls `ExitProcess`, which does not run what was registered by the C library's `atexit`. The loader
//! calls the functions in the section `.CRT$XL*` of a program (callbacks of thread-local storage) for both: a return from
//! `main` and `ExitProcess`. It calls none for `TerminateProcess`, an abort, or a fault.

use std::ffi::c_void;
use std::sync::OnceLock;
use windows_sys::Win32::System::SystemServices::DLL_PROCESS_DETACH;

type Callback = unsafe extern "system" fn(*mut c_void, u32, *mut c_void);

static HANDLER: OnceLock<extern "C" fn()> = OnceLock::new();

// The linker puts it between the `.CRT$XLA` and `.CRT$XLZ` of the C library, which begin and end the list.
#[used]
#[unsafe(link_section = ".CRT$XLM")]
static CALLBACK: Callback = on_event;

/// Calls a function, which lets no panic out, when this process ends in order. At that moment no other thread runs any more.
pub(crate) fn at_exit(handler: extern "C" fn()) {
    // A read, so that no linker drops what nobody seems to use.
    // SAFETY: the address of a static that is never written.
    let _ = unsafe { std::ptr::read_volatile(&raw const CALLBACK) };
    let _ = HANDLER.set(handler);
}

unsafe extern "system" fn on_event(_module: *mut c_void, event: u32, _reserved: *mut c_void) {
    if event == DLL_PROCESS_DETACH
        && let Some(handler) = HANDLER.get()
    {
        handler();
    }
}
