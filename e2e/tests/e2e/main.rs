//! The whole product on real nodes: the operator installed with its chart, pods, MCP clients.
//!
//! The operator is one for all tests. Tests that only use it run side by side; those that load the
//! machine or take the operator away run alone.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test stops at a surprise"
)]

mod autoscaling;
mod bearer;
mod bridge;
mod deleting;
mod door;
mod idle;
mod jsearch;
mod kill;
mod lifecycle;
mod path;
mod proxies;
mod roles;
mod rollout;
mod rotation;
mod scale_down;

use std::{collections::BTreeMap, time::Duration};

use iam_mcp_crds::{ConditionType, Reason};
use iam_mcp_e2e::{helm, sandbox::Sandbox};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt as _, api::ListParams};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Time for pods to become ready on a busy machine.
const PODS: Duration = Duration::from_mins(2);

static OPERATOR: RwLock<()> = RwLock::const_new(());
static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// The operator, used beside other tests.
async fn operator() -> RwLockReadGuard<'static, ()> {
    INSTALLED.get_or_init(|| helm::install(helm::CHART)).await;
    OPERATOR.read().await
}

/// The operator, while no other test runs.
async fn operator_alone() -> RwLockWriteGuard<'static, ()> {
    INSTALLED.get_or_init(|| helm::install(helm::CHART)).await;
    OPERATOR.write().await
}

/// Waits until all pods of a server are ready.
async fn ready(sandbox: &Sandbox, name: &str) {
    sandbox
        .condition_within(PODS, name, ConditionType::Ready, true, Reason::PodsReady)
        .await;
}

/// Uid of each pod of a server, and how often its container was started again.
async fn pods(sandbox: &Sandbox, name: &str) -> BTreeMap<String, i32> {
    let list = sandbox
        .api::<Pod>()
        .list(&ListParams::default().labels(&format!("app={name}")))
        .await
        .unwrap();
    let restarts = |pod: &Pod| {
        let containers = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref());
        containers.into_iter().flatten().map(|c| c.restart_count).sum()
    };
    list.items
        .iter()
        .map(|pod| (pod.uid().unwrap(), restarts(pod)))
        .collect()
}
