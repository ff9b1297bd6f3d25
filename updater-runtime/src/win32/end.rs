//! The end of this process, as the loader tells it.
//!
//! `std::process::exit` calls `ExitProcess`, which does not run what was registered by the C library's `atexit`. But the loader
//! calls, for that and for a return from `main`, the functions in the section `.CRT$XL*` of a program (callbacks of
//! thread-local storage), and the callback of fiber-local storage in the thread that ends the process. It calls none for
//! `TerminateProcess`, an abort, or a fault. Both are used: Wine only has the second, and the second only hears of the
//! thread that it was made in.

use std::ffi::c_void;
use std::sync::Mutex;
use windows_sys::Win32::System::SystemServices::DLL_PROCESS_DETACH;
use windows_sys::Win32::System::Threading::{FLS_OUT_OF_INDEXES, FlsAlloc, FlsSetValue};

type Callback = unsafe extern "system" fn(*mut c_void, u32, *mut c_void);

static HANDLER: Mutex<Option<extern "C" fn()>> = Mutex::new(None);

// The linker puts it between the `.CRT$XLA` and `.CRT$XLZ` of the C library, which begin and end the list.
#[used]
#[unsafe(link_section = ".CRT$XLM")]
static CALLBACK: Callback = on_event;

/// Calls a function, which lets no panic out, once, when this process ends in order. At that moment no other thread runs
/// any more.
pub(crate) fn at_exit(handler: extern "C" fn()) {
    // A read, so that no linker drops what nobody seems to use.
    // SAFETY: the address of a static that is never written.
    let _ = unsafe { std::ptr::read_volatile(&raw const CALLBACK) };
    let Ok(mut registered) = HANDLER.lock() else { return };
    if registered.replace(handler).is_some() {
        return;
    }
    // SAFETY: a function of the type that is asked for, which lives as long as the program.
    let index = unsafe { FlsAlloc(Some(on_thread_end)) };
    if index != FLS_OUT_OF_INDEXES {
        // SAFETY: an index of our own; the value is never followed, it only must not be null.
        unsafe { FlsSetValue(index, (&raw const CALLBACK).cast()) };
    }
}

unsafe extern "system" fn on_event(_module: *mut c_void, event: u32, _reserved: *mut c_void) {
    if event == DLL_PROCESS_DETACH {
        run();
    }
}

unsafe extern "system" fn on_thread_end(_value: *const c_void) {
    // SAFETY: takes nothing and answers what the loader knows.
    let is_end = unsafe { RtlDllShutdownInProgress() } != 0;
    // Else it is only this thread that ends.
    if is_end {
        run();
    }
}

fn run() {
    // A thread that holds the lock does not run any more.
    let handler = HANDLER.try_lock().ok().and_then(|mut handler| handler.take());
    if let Some(handler) = handler {
        handler();
    }
}

#[link(name = "ntdll")]
unsafe extern "system" {
    fn RtlDllShutdownInProgress() -> u8;
}
