//! The programs of the Rust toolchain, as the environment names them. A variable that is empty names none: to Cargo itself an
//! empty `RUSTC` is a program that cannot be started, so it is not passed on either.

use std::ffi::OsString;
use std::process::Command;

/// Returns the Cargo that started us, else the one in `PATH`.
pub(crate) fn cargo() -> OsString {
    named(std::env::var_os("CARGO"), "cargo")
}

/// Returns the compiler that the environment names, else the one in `PATH`.
pub(crate) fn rustc() -> OsString {
    named(std::env::var_os("RUSTC"), "rustc")
}

/// Returns the variables that name programs of the toolchain and are empty.
pub(crate) fn empty_variables() -> impl Iterator<Item = &'static str> {
    let is_empty = |name: &&str| std::env::var_os(name).is_some_and(|value| value.is_empty());
    VARIABLES.iter().copied().filter(is_empty)
}

/// Takes the empty variables from a program that is a Cargo, or starts one.
pub(crate) fn without_empty_variables(command: &mut Command) {
    for name in empty_variables() {
        command.env_remove(name);
    }
}

fn named(variable: Option<OsString>, usual: &str) -> OsString {
    variable.filter(|value| !value.is_empty()).unwrap_or_else(|| usual.into())
}

/// What Cargo reads of these: the compiler, its documentation tool, and the target for which it builds.
const VARIABLES: &[&str] = &["CARGO", "RUSTC", "RUSTDOC", "CARGO_BUILD_TARGET", "CARGO_BUILD_RUSTC"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_names_no_program() {
        assert_eq!(named(None, "rustc"), "rustc");
        assert_eq!(named(Some("".into()), "rustc"), "rustc");
        assert_eq!(named(Some("/opt/rustc".into()), "rustc"), "/opt/rustc");
    }
}
