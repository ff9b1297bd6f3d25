//! The calls of Windows that the standard library does not make: every foreign call of the launcher is here, each behind a
//! function that cannot be misused.

#![expect(unsafe_code, reason = "foreign calls; each says why it is sound")]

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::windows::io::{AsHandle, AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::time::Duration;
use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_IO_PENDING, ERROR_PIPE_CONNECTED, INVALID_HANDLE_VALUE, WAIT_OBJECT_0,
};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, GetFileInformationByHandle,
    PIPE_ACCESS_DUPLEX, ReadFile, WriteFile,
};
use windows_sys::Win32::System::Console::{
    AttachConsole, CTRL_BREAK_EVENT, FreeConsole, GenerateConsoleCtrlEvent, GetConsoleCP, SetConsoleCtrlHandler,
};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, TH32CS_SNAPTHREAD, THREADENTRY32, Thread32First, Thread32Next,
};
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, IsProcessInJob, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_BASIC_ACCOUNTING_INFORMATION, JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicAccountingInformation,
    JobObjectExtendedLimitInformation, QueryInformationJobObject, SetInformationJobObject, TerminateJobObject,
};
use windows_sys::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, GetNamedPipeClientProcessId, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS,
    PIPE_TYPE_BYTE, PIPE_UNLIMITED_INSTANCES, PIPE_WAIT,
};
use windows_sys::Win32::System::Threading::{
    CreateEventW, INFINITE, OpenProcess, OpenThread, PROCESS_QUERY_INFORMATION, ResumeThread, THREAD_SUSPEND_RESUME,
    WaitForSingleObject,
};

/// A job: a process and all that it starts. When its last handle is closed, which the end of this process does too, the system
/// ends all of them.
#[derive(Debug)]
pub(crate) struct Job(OwnedHandle);

impl Job {
    /// Makes an empty job.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: null for no attributes and no name; gives a handle or null.
        let job = owned(unsafe { CreateJobObjectW(std::ptr::null(), std::ptr::null()) })?;
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
        let size = size_of_u32::<JOBOBJECT_EXTENDED_LIMIT_INFORMATION>();
        let class = JobObjectExtendedLimitInformation;
        // SAFETY: the handle is open, and the structure is the one of this class and has the size that is told.
        check(unsafe { SetInformationJobObject(job.as_raw_handle(), class, (&raw const limits).cast(), size) })?;
        Ok(Self(job))
    }

    /// Puts a process into it.
    pub(crate) fn take(&self, process: &impl AsHandle) -> Result<()> {
        // SAFETY: both handles are open.
        check(unsafe { AssignProcessToJobObject(self.0.as_raw_handle(), process.as_handle().as_raw_handle()) })
    }

    /// Ends all of its processes with this exit code.
    pub(crate) fn terminate(&self, code: u32) -> Result<()> {
        // SAFETY: the handle is open.
        check(unsafe { TerminateJobObject(self.0.as_raw_handle(), code) })
    }

    /// Returns how many of its processes live.
    pub(crate) fn active(&self) -> Result<u32> {
        let mut found = JOBOBJECT_BASIC_ACCOUNTING_INFORMATION::default();
        let size = size_of_u32::<JOBOBJECT_BASIC_ACCOUNTING_INFORMATION>();
        let (class, nothing) = (JobObjectBasicAccountingInformation, std::ptr::null_mut());
        let place = (&raw mut found).cast();
        // SAFETY: the handle is open, and the structure is the one of this class and has the size that is told.
        check(unsafe { QueryInformationJobObject(self.0.as_raw_handle(), class, place, size, nothing) })?;
        Ok(found.ActiveProcesses)
    }

    /// Tells whether the process of this number is in it.
    pub(crate) fn holds(&self, process: u32) -> Result<bool> {
        // SAFETY: takes numbers; gives a handle or null.
        let process = owned(unsafe { OpenProcess(PROCESS_QUERY_INFORMATION, 0, process) })?;
        let mut is_in = 0;
        // SAFETY: both handles are open; a place for the answer.
        check(unsafe { IsProcessInJob(process.as_raw_handle(), self.0.as_raw_handle(), &raw mut is_in) })?;
        Ok(is_in != 0)
    }
}

/// Lets a process run that was started suspended.
pub(crate) fn resume(process: u32) -> Result<()> {
    // SAFETY: takes numbers; gives a handle or INVALID_HANDLE_VALUE.
    let snapshot = owned(unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0) })?;
    let mut entry = THREADENTRY32 { dwSize: size_of_u32::<THREADENTRY32>(), ..THREADENTRY32::default() };
    // SAFETY: the handle is open, and the structure says its own size.
    let mut found = unsafe { Thread32First(snapshot.as_raw_handle(), &raw mut entry) } != 0;
    while found {
        if entry.th32OwnerProcessID == process {
            // SAFETY: takes numbers; gives a handle or null.
            let thread = owned(unsafe { OpenThread(THREAD_SUSPEND_RESUME, 0, entry.th32ThreadID) })?;
            // A process that was started suspended has this one thread.
            // SAFETY: the handle is open and has the right to do so.
            return if unsafe { ResumeThread(thread.as_raw_handle()) } == u32::MAX {
                Err(Error::last_os_error())
            } else {
                Ok(())
            };
        }
        // SAFETY: as above.
        found = unsafe { Thread32Next(snapshot.as_raw_handle(), &raw mut entry) } != 0;
    }
    Err(ErrorKind::NotFound.into())
}

/// Waits until a process has ended.
pub(crate) fn wait_for_end(process: &OwnedHandle) {
    // SAFETY: the handle is open.
    unsafe { WaitForSingleObject(process.as_raw_handle(), INFINITE) };
}

/// Tells whether this process has a console, seen or unseen.
pub(crate) fn has_console() -> bool {
    // SAFETY: takes nothing; the answer is 0 without a console.
    unsafe { GetConsoleCP() != 0 }
}

/// Sends Ctrl-Break to the process group that a process leads. Without a console of our own that of the process is borrowed.
pub(crate) fn interrupt(leader: u32) -> Result<()> {
    // SAFETY: takes numbers.
    let sent = || check(unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, leader) });
    if has_console() {
        return sent();
    }
    // SAFETY: takes a number.
    check(unsafe { AttachConsole(leader) })?;
    let sent = sent();
    // SAFETY: takes nothing.
    unsafe { FreeConsole() };
    sent
}

/// Calls a function, in a thread of the system's own, for Ctrl-C (0), Ctrl-Break (1), the closing of the console (2), and the end of
/// the session (5, 6). For the last three the process ends when the function returns.
pub(crate) fn on_interrupt(handler: unsafe extern "system" fn(u32) -> i32) -> Result<()> {
    // SAFETY: a function of the type that is asked for, which lives as long as the program.
    check(unsafe { SetConsoleCtrlHandler(Some(handler), 1) })
}

/// Tells a file from every other: the number of its volume, and its own.
pub(crate) fn file_identity(file: &File) -> Result<(u64, u64)> {
    let mut found = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open for as long as `file` is borrowed, and `found` is a structure of the size that is written.
    check(unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut found) })?;
    let index = u64::from(found.nFileIndexHigh) << 32 | u64::from(found.nFileIndexLow);
    Ok((found.dwVolumeSerialNumber.into(), index))
}

/// The end of a named pipe that serves, one for each client.
#[derive(Debug)]
pub(crate) struct Pipe(OwnedHandle);

impl Pipe {
    /// Makes one, for this user alone and for clients of this computer. The first of a name must be the first of all.
    pub(crate) fn serve(name: &str, is_first: bool) -> Result<Self> {
        let text: Vec<u16> = name.encode_utf16().chain([0]).collect();
        let first = if is_first { FILE_FLAG_FIRST_PIPE_INSTANCE } else { 0 };
        let mode = PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS;
        let open = PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | first;
        let list = format!("D:P(A;;GA;;;{})", updater_runtime::windows::user()?);
        let made = updater_runtime::windows::with_access_list(&list, |attributes| {
            // SAFETY: a string that ends in a zero, and attributes that are alive for the call.
            owned(unsafe {
                CreateNamedPipeW(
                    text.as_ptr(),
                    open,
                    mode,
                    PIPE_UNLIMITED_INSTANCES,
                    BUFFER,
                    BUFFER,
                    0,
                    attributes.cast(),
                )
            })
        })?;
        Ok(Self(made?))
    }

    /// Waits for a client.
    pub(crate) fn connect(&self) -> Result<()> {
        // SAFETY: the handle is open, and the structure lives until the operation is over.
        let connected = self.wait(None, |io| unsafe { ConnectNamedPipe(self.0.as_raw_handle(), io) });
        match connected {
            // Between the making and the call.
            Err(error) if error.raw_os_error() == Some(ERROR_PIPE_CONNECTED.cast_signed()) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Waits for bytes, up to a limit; 0 when the client has gone.
    pub(crate) fn read(&self, buffer: &mut [u8], limit: Duration) -> Result<usize> {
        let (place, length) = (buffer.as_mut_ptr(), u32::try_from(buffer.len()).unwrap_or(u32::MAX));
        // SAFETY: the handle is open; buffer and structure live until the operation is over.
        let read = self.wait(Some(limit), |io| unsafe {
            ReadFile(self.0.as_raw_handle(), place, length, std::ptr::null_mut(), io)
        });
        match read {
            Err(error) if error.raw_os_error() == Some(ERROR_BROKEN_PIPE.cast_signed()) => Ok(0),
            other => other,
        }
    }

    /// Writes, and gives up a client who does not read within the limit.
    pub(crate) fn write(&self, mut bytes: &[u8], limit: Duration) -> Result<()> {
        while !bytes.is_empty() {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            // SAFETY: the handle is open; bytes and structure live until the operation is over.
            let written = self.wait(Some(limit), |io| unsafe {
                WriteFile(self.0.as_raw_handle(), bytes.as_ptr(), length, std::ptr::null_mut(), io)
            })?;
            bytes = bytes.get(written.max(1)..).unwrap_or_default();
        }
        Ok(())
    }

    /// Returns the number of the process at the other end.
    pub(crate) fn client(&self) -> Result<u32> {
        let mut process = 0;
        // SAFETY: the handle is open; a place for the number.
        check(unsafe { GetNamedPipeClientProcessId(self.0.as_raw_handle(), &raw mut process) })?;
        Ok(process)
    }

    /// Begins an operation and waits for its end, which is here in any case when this returns. Returns the bytes moved.
    fn wait(&self, limit: Option<Duration>, begin: impl FnOnce(*mut OVERLAPPED) -> i32) -> Result<usize> {
        // SAFETY: null for no attributes and no name; gives a handle or null.
        let event = owned(unsafe { CreateEventW(std::ptr::null(), 1, 0, std::ptr::null()) })?;
        let mut io = OVERLAPPED { hEvent: event.as_raw_handle(), ..OVERLAPPED::default() };
        if begin(&raw mut io) == 0 {
            let error = Error::last_os_error();
            if error.raw_os_error() != Some(ERROR_IO_PENDING.cast_signed()) {
                return Err(error);
            }
        }
        let mut is_late = false;
        if let Some(limit) = limit {
            let limit = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX - 1);
            // SAFETY: the handle is open.
            is_late = unsafe { WaitForSingleObject(event.as_raw_handle(), limit) } != WAIT_OBJECT_0;
            if is_late {
                // SAFETY: the handle is open, and the structure is that of the operation.
                unsafe { CancelIoEx(self.0.as_raw_handle(), &raw const io) };
            }
        }
        let mut moved = 0;
        // Waits: buffer and structure are the system's until then.
        // SAFETY: the handle is open, and the structure is that of the operation; a place for the number.
        let done = check(unsafe { GetOverlappedResult(self.0.as_raw_handle(), &raw const io, &raw mut moved, 1) });
        match done {
            Err(_) if is_late => Err(ErrorKind::TimedOut.into()),
            other => other.map(|()| moved as usize),
        }
    }
}

/// Takes a handle that was just made.
fn owned(handle: *mut std::ffi::c_void) -> Result<OwnedHandle> {
    if handle.is_null() || handle == INVALID_HANDLE_VALUE {
        return Err(Error::last_os_error());
    }
    // SAFETY: every caller has just got it from the system, and it belongs to nobody else.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

fn size_of_u32<T>() -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(0)
}

/// Turns the answer of a call into a result.
fn check(answer: windows_sys::core::BOOL) -> Result<()> {
    if answer == 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

/// The bytes that a pipe holds in each direction: 64 KiB, as one of Linux.
const BUFFER: u32 = 64 * 1024;
