//! The binary as a script starts it.

use std::process::Command;

#[expect(
    clippy::expect_used,
    reason = "helper of a test, which may end where it stands"
)]
fn exit_code(arguments: &[&str], variables: &[(&str, &str)]) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conformance-server"));
    command
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied());
    command.status().expect("started").code()
}

#[test]
fn what_it_does_not_know_it_does_not_start_with() {
    assert_eq!(exit_code(&[], &[]), Some(2));
    assert_eq!(exit_code(&["stdio"], &[]), Some(2));
    assert_eq!(exit_code(&["http", "http"], &[]), Some(2));
    assert_eq!(exit_code(&["http"], &[("PORT", "none")]), Some(2));
}
