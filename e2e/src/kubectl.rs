//! `kubectl`, where it is what a person would use.

use std::process::{Output, Stdio};

use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::setting;

/// A `kubectl` with the cluster and the arguments given.
#[must_use]
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new("kubectl");
    command
        .arg("--kubeconfig")
        .arg(setting("E2E_KUBECONFIG"))
        .args(args)
        .kill_on_drop(true);
    command
}

/// Runs `kubectl` and gives what it said, failed or not.
pub async fn output(args: &[&str], stdin: &str) -> Output {
    let mut child = command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kubectl is in PATH");
    let mut input = child.stdin.take().expect("piped");
    // It may end without reading; what it says then is told below.
    let _ = input.write_all(stdin.as_bytes()).await;
    drop(input);
    child.wait_with_output().await.expect("kubectl ends")
}

/// Runs `kubectl`, which must succeed, and gives its standard output.
pub async fn run(args: &[&str]) -> String {
    run_with(args, "").await
}

/// As [`run`], with something on standard input.
pub async fn run_with(args: &[&str], stdin: &str) -> String {
    let output = output(args, stdin).await;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "kubectl {} failed:\n{out}{}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    out
}

/// Runs `kubectl`, which must fail, and gives its standard error.
pub async fn fails(args: &[&str], stdin: &str) -> String {
    let output = output(args, stdin).await;
    assert!(
        !output.status.success(),
        "kubectl {} succeeded, but should not",
        args.join(" ")
    );
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Deletes an object, such as `["namespace", "a"]`, without waiting for its end. For what goes when a test ends,
/// be it by a panic.
pub fn delete_quietly(what: &[&str]) {
    let deleted = std::process::Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(setting("E2E_KUBECONFIG"))
        .arg("delete")
        .args(what)
        .args(["--wait=false", "--ignore-not-found"])
        .stdout(Stdio::null())
        .status();
    if !deleted.is_ok_and(|status| status.success()) {
        eprintln!("{} could not be deleted", what.join(" "));
    }
}
