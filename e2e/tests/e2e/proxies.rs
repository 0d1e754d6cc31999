//! Sessions through nginx and haproxy, without stickiness: `ops/bench/sessions/proxies/check`.

use std::process::Stdio;

use iam_mcp_e2e::{sdk::cluster_name, setting};
use tokio::process::Command;

use crate::operator_alone;

const CHECK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ops/bench/sessions/proxies/check");

#[tokio::test]
async fn no_call_fails_through_nginx_and_haproxy_while_all_pods_restart() {
    let _operator = operator_alone().await;
    let check = Command::new(CHECK)
        .args(["--name", &cluster_name(), "--image", &setting("E2E_SERVER_IMAGE")])
        .args(["--sessions", "6"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("the check");
    let said = String::from_utf8_lossy(&check.stdout);
    let told = String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success(), "{said}\n{told}");
}
