//! Definitions of kinds that a cluster may lack, for tests that install and remove them.

use iam_mcp_e2e::{children, kubectl};
use kube::api::ApiResource;
use tokio::sync::Mutex;

/// Definitions are the whole cluster's: one test at a time has each.
pub(crate) static ROUTES: Mutex<()> = Mutex::const_new(());
pub(crate) static MONITORS: Mutex<()> = Mutex::const_new(());

/// A definition that is removed at the end, on failure too.
pub(crate) struct Definition {
    name: &'static str,
    yaml: &'static str,
    pub(crate) resource: ApiResource,
}

impl Definition {
    pub(crate) fn of_routes() -> Self {
        Self {
            name: "httproutes.gateway.networking.k8s.io",
            yaml: include_str!("fixtures/httproutes.yaml"),
            resource: children::http_route(),
        }
    }

    pub(crate) fn of_monitors() -> Self {
        Self {
            name: "podmonitors.monitoring.coreos.com",
            yaml: include_str!("fixtures/podmonitors.yaml"),
            resource: children::pod_monitor(),
        }
    }

    pub(crate) async fn install(&self) {
        // One that a test before left on its way out would take the new one along.
        self.remove().await;
        kubectl::run_with(&["apply", "-f", "-"], self.yaml).await;
        let crd = format!("crd/{}", self.name);
        kubectl::run(&["wait", "--for=condition=Established", &crd, "--timeout=30s"]).await;
    }

    pub(crate) async fn remove(&self) {
        kubectl::run(&["delete", "crd", self.name, "--ignore-not-found", "--timeout=60s"]).await;
    }
}

impl Drop for Definition {
    fn drop(&mut self) {
        kubectl::delete_quietly(&["crd", self.name]);
    }
}
