//! The command `orch`.
fn main() {}
