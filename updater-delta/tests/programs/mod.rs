//! Small programs as linkers make them, for the tests: what they contain is known, and they can be linked again with a change.

mod elf;
mod go;
mod machine;
mod macho;
mod pe;

pub(crate) use elf::linked;
pub(crate) use go::go;
pub(crate) use machine::{Machine, Shape};
pub(crate) use macho::{Pointers, fat, macho};
pub(crate) use pe::pe;
