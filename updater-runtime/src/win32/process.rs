//! Processes: who started this one and when, consoles, and jobs.

use super::check;
use std::io::{Error, Result};
use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::os::windows::process::CommandExt as _;
use std::process::{Child, Command};
use windows_sys::Win32::Foundation::{FILETIME, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Console::{GetConsoleCP, SetConsoleCtrlHandler};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
};
use windows_sys::Win32::System::JobObjects::{AssignProcessToJobObject, CreateJobObjectW, TerminateJobObject};
use windows_sys::Win32::System::Threading::{CREATE_NO_WINDOW, GetCurrentProcess, GetProcessTimes};

/// Returns when this process started, in units of 100 ns since 1601.
pub(crate) fn start_time() -> Option<u64> {
    let [mut created, mut ended, mut kernel, mut user] = [FILETIME::default(); 4];
    // SAFETY: the pseudo handle of this process is always open, and each place is of the structure that is written.
    let answer = unsafe {
        GetProcessTimes(GetCurrentProcess(), &raw mut created, &raw mut ended, &raw mut kernel, &raw mut user)
    };
    (answer != 0).then(|| u64::from(created.dwHighDateTime) << 32 | u64::from(created.dwLowDateTime))
}

/// Returns the number of the process that started this one, which may have ended.
pub(crate) fn parent_process() -> Option<u32> {
    // SAFETY: takes numbers; gives a handle or INVALID_HANDLE_VALUE.
    let snapshot = unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0) };
    if snapshot == INVALID_HANDLE_VALUE {
        return None;
    }
    // SAFETY: the handle was just made, is valid and belongs to nobody else.
    let snapshot = unsafe { OwnedHandle::from_raw_handle(snapshot) };
    let size = u32::try_from(size_of::<PROCESSENTRY32W>()).ok()?;
    let mut entry = PROCESSENTRY32W { dwSize: size, ..PROCESSENTRY32W::default() };
    // SAFETY: the handle is open, and the structure says its own size.
    let mut found = unsafe { Process32FirstW(snapshot.as_raw_handle(), &raw mut entry) } != 0;
    while found {
        if entry.th32ProcessID == std::process::id() {
            return Some(entry.th32ParentProcessID);
        }
        // SAFETY: as above.
        found = unsafe { Process32NextW(snapshot.as_raw_handle(), &raw mut entry) } != 0;
    }
    None
}

/// Lets a program start without a console window of its own.
pub(crate) fn hide_console(command: &mut Command) {
    command.creation_flags(CREATE_NO_WINDOW);
}

/// Keeps a console window from appearing for a console program that a process without a console starts. With a console the
/// program gets that one.
pub(crate) fn no_console_flash(command: &mut Command) {
    // SAFETY: takes nothing; the answer is 0 for a process without a console.
    if unsafe { GetConsoleCP() } == 0 {
        hide_console(command);
    }
}

/// Lets Ctrl-C and Ctrl-Break pass by this process. Others of the same console still get them.
pub(crate) fn leave_interrupts_to_others() {
    extern "system" fn ignore(_event: u32) -> windows_sys::core::BOOL {
        1
    }
    // SAFETY: the function has the type that is asked for and lives as long as the program. Without a console the call
    // fails, and there is nothing to ignore.
    unsafe { SetConsoleCtrlHandler(Some(ignore), 1) };
}

/// A job: a process and all that it starts.
pub(crate) struct Job(OwnedHandle);

impl Job {
    /// Makes a job of a child.
    pub(crate) fn holding(child: &Child) -> Result<Self> {
        // SAFETY: null for no attributes and no name; gives a handle or null.
        let job = unsafe { CreateJobObjectW(std::ptr::null(), std::ptr::null()) };
        if job.is_null() {
            return Err(Error::last_os_error());
        }
        // SAFETY: the handle was just made, is valid and belongs to nobody else.
        let job = unsafe { OwnedHandle::from_raw_handle(job) };
        // SAFETY: both handles are open.
        check(unsafe { AssignProcessToJobObject(job.as_raw_handle(), child.as_raw_handle()) })?;
        Ok(Self(job))
    }

    /// Ends all of its processes.
    pub(crate) fn kill(&self) {
        // SAFETY: the handle is open.
        let killed = check(unsafe { TerminateJobObject(self.0.as_raw_handle(), 1) });
        if let Err(error) = killed {
            log::debug!("cannot end a job: {error}");
        }
    }
}
