//! Power cuts: a real update inside a virtual machine, which is killed in the midst of it.
//!
//! ```text
//! disk.rs      the machine's disk, served by NBD: it has a cache that a cut takes away, and counts what it is asked to do
//! boot.rs      a Debian kernel and a file system in memory for it, with this binary as the first process
//! guest.rs     that process: takes the update, or judges what a cut has left
//! machine.rs   QEMU: its console line by line, and its end
//! campaign.rs  the moments of the cuts, and what came of them
//! ```
//!
//! What is lost is what a computer loses: the guest kernel's page cache, its file system's open transaction, the requests
//! that were on their way, and of what the disk had not been told to flush all, nothing or some. The programs, the versions
//! and what must hold are those of [`crate::crash`].

pub mod boot;
pub mod campaign;
pub mod disk;
pub mod guest;
pub mod machine;
