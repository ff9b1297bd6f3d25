//! Self-update for Rust programs.
