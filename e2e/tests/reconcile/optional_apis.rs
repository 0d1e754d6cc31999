//! Kinds that a cluster may lack: missing, then installed, then used, then removed, and all the while the rest goes on.

use iam_mcp_crds::{ConditionType, Reason};
use iam_mcp_e2e::{
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{
    definitions::{Definition, MONITORS, ROUTES},
    scaling::nothing_more_is_written,
};

impl Definition {
    fn api(&self, sandbox: &Sandbox) -> Api<DynamicObject> {
        Api::namespaced_with(sandbox.client.clone(), sandbox.namespace(), &self.resource)
    }

    async fn child(&self, sandbox: &Sandbox, what: &str, holds: impl Fn(&Value) -> bool) -> DynamicObject {
        eventually(SOON, what, || async {
            let found = self.api(sandbox).get_opt(NAME).await.map_err(|e| e.to_string())?;
            let found = found.ok_or("none")?;
            when(holds(&found.data["spec"]), &found.data).map(|()| found)
        })
        .await
    }

    async fn none(&self, sandbox: &Sandbox) {
        eventually(SOON, "no such child", || async {
            let found = self.api(sandbox).get_opt(NAME).await.map_err(|e| e.to_string())?;
            when(found.is_none(), found)
        })
        .await;
    }
}

async fn told_missing(sandbox: &Sandbox, part: &str) {
    let message = sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::ApiNotInstalled)
        .await;
    assert!(message.contains(part), "{message}");
}

async fn well(sandbox: &Sandbox) {
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
}

fn route_spec() -> Value {
    json!({"replicas": 1, "httpRoute": {"parentRefs": [{"name": "public"}], "hostnames": ["jobs.example.com"], "path": "/jobs"}})
}

#[tokio::test]
async fn a_route_waits_for_the_gateway_api_and_outlives_it() {
    let _one = ROUTES.lock().await;
    let routes = Definition::of_routes();
    routes.remove().await;
    let mut sandbox = Sandbox::new("routes").await;
    sandbox.serve(NAME, route_spec()).await;
    told_missing(&sandbox, "Gateway API").await;
    sandbox.event(NAME, "ApiNotInstalled", &["HTTPRoute"]).await;
    // The rest is done, and says so.
    sandbox
        .condition(NAME, ConditionType::Accepted, true, Reason::Valid)
        .await;
    sandbox
        .condition(NAME, ConditionType::Ready, false, Reason::PodsNotReady)
        .await;
    sandbox.api::<Deployment>().get(NAME).await.unwrap();
    nothing_more_is_written(&mut sandbox).await;

    // Installed, and no restart.
    routes.install().await;
    let route = routes.child(&sandbox, "a route", |_| true).await;
    assert_eq!(
        route.data["spec"],
        json!({
            "parentRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public"}],
            "hostnames": ["jobs.example.com"],
            "rules": [{
                "matches": [{"path": {"type": "PathPrefix", "value": "/jobs"}}],
                "timeouts": {"request": "0s"},
                "backendRefs": [{"group": "", "kind": "Service", "name": NAME, "port": 80, "weight": 1}],
            }],
        })
    );
    assert_eq!(route.owner_references().len(), 1);
    well(&sandbox).await;
    let deployment = sandbox.api::<Deployment>().get(NAME).await.unwrap();
    let container =
        serde_json::to_string(&deployment.spec.unwrap().template.spec.unwrap().containers).unwrap();
    assert!(
        container.contains("jobs.example.com") && container.contains("BASE_PATH"),
        "the server knows its name and path: {container}"
    );
    nothing_more_is_written(&mut sandbox).await;

    // Used: changed, put back, made again.
    sandbox
        .change(
            NAME,
            json!({"httpRoute": {"parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https", "port": 443}]}}),
        )
        .await;
    routes
        .child(&sandbox, "the other listener", |spec| {
            spec["parentRefs"][0]["sectionName"] == "https" && spec["parentRefs"][0]["port"] == 443
        })
        .await;
    let edit = Patch::Merge(json!({"spec": {"hostnames": ["evil.example.com"]}}));
    routes
        .api(&sandbox)
        .patch(NAME, &PatchParams::default(), &edit)
        .await
        .unwrap();
    routes
        .child(&sandbox, "its own name again", |spec| {
            spec["hostnames"] == json!(["jobs.example.com"])
        })
        .await;
    sandbox.event(NAME, "DriftRepaired", &["HTTPRoute/jobs"]).await;
    nothing_more_is_written(&mut sandbox).await;

    // Removed with all its objects; a server is well without, and other changes go through.
    routes.remove().await;
    told_missing(&sandbox, "Gateway API").await;
    sandbox.change(NAME, json!({"logLevel": "DEBUG"})).await;
    sandbox
        .child::<Deployment>(NAME, "the new level", |d| {
            serde_json::to_string(d).unwrap().contains("DEBUG")
        })
        .await;
    assert!(
        sandbox.events(NAME, "DriftRepaired").await.len() == 1,
        "the end of an API is nobody's edit: {:?}",
        sandbox.events(NAME, "DriftRepaired").await
    );

    // And back, and pruned.
    routes.install().await;
    routes.child(&sandbox, "a route again", |_| true).await;
    well(&sandbox).await;
    sandbox.change(NAME, json!({"httpRoute": null})).await;
    routes.none(&sandbox).await;
    sandbox.event(NAME, "Pruned", &["HTTPRoute/jobs"]).await;
    assert_eq!(sandbox.events(NAME, "DriftRepaired").await.len(), 1);
}

#[tokio::test]
async fn an_operator_that_starts_with_the_api_keeps_what_it_made() {
    let _one = ROUTES.lock().await;
    let routes = Definition::of_routes();
    routes.install().await;
    let mut sandbox = Sandbox::new("routes").await;
    sandbox.serve(NAME, route_spec()).await;
    let before = routes.child(&sandbox, "a route", |_| true).await;
    nothing_more_is_written(&mut sandbox).await;
    sandbox.stop_operator().await;
    sandbox.change(NAME, json!({"httpRoute": null})).await;
    sandbox.start_operator().await;
    routes.none(&sandbox).await;
    assert!(before.uid().is_some());
}

#[tokio::test]
async fn metrics_are_announced_as_the_cluster_has_it_and_no_pod_restarts_for_it() {
    let _one = MONITORS.lock().await;
    let monitors = Definition::of_monitors();
    monitors.remove().await;
    let mut sandbox = Sandbox::new("monitors").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let before = template(&sandbox).await;
    let service: Service = sandbox.api().get(NAME).await.unwrap();
    assert!(service.annotations().is_empty(), "unset is nothing");

    // Auto, without PodMonitors: annotations, and nothing to complain of.
    sandbox
        .change(
            NAME,
            json!({"monitoring": {"labels": {"release": "prometheus"}, "interval": "30s"}}),
        )
        .await;
    let annotated = |service: &Service| {
        service
            .annotations()
            .get("prometheus.io/scrape")
            .is_some_and(|s| s == "true")
            && service
                .annotations()
                .get("prometheus.io/port")
                .is_some_and(|p| p == "9090")
    };
    sandbox.child::<Service>(NAME, "annotations", annotated).await;
    well(&sandbox).await;

    monitors.install().await;
    let monitor = monitors.child(&sandbox, "a PodMonitor", |_| true).await;
    assert_eq!(monitor.labels()["release"], "prometheus");
    assert_eq!(
        monitor.data["spec"],
        json!({
            "selector": {"matchLabels": {"app": NAME, "app.kubernetes.io/managed-by": "iam-mcp-operator"}},
            "podMetricsEndpoints": [{"port": "admin", "path": "/metrics", "interval": "30s"}],
        })
    );
    sandbox
        .child::<Service>(NAME, "no annotations beside it", |s| s.annotations().is_empty())
        .await;
    well(&sandbox).await;
    assert_eq!(template(&sandbox).await, before, "the pods are as they were");
    nothing_more_is_written(&mut sandbox).await;

    monitors.remove().await;
    sandbox
        .child::<Service>(NAME, "annotations again", annotated)
        .await;
    well(&sandbox).await;
    // Asked for by name, it is missed.
    sandbox
        .change(NAME, json!({"monitoring": {"mode": "PodMonitor"}}))
        .await;
    told_missing(&sandbox, "Prometheus operator").await;
    sandbox.change(NAME, json!({"monitoring": null})).await;
    well(&sandbox).await;
    sandbox
        .child::<Service>(NAME, "nothing", |s| s.annotations().is_empty())
        .await;
    assert_eq!(template(&sandbox).await, before, "the pods are as they were");
}

async fn template(sandbox: &Sandbox) -> String {
    let deployment = sandbox.api::<Deployment>().get(NAME).await.unwrap();
    serde_json::to_string(&deployment.spec.unwrap().template).unwrap()
}
