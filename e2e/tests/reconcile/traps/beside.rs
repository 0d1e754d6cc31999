//! Traps about edits that an apply leaves beside our fields, where the API server refuses the two together.

use std::time::Instant;

use iam_mcp_crds::{ConditionType, Reason};
use iam_mcp_e2e::{
    json_patch,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::PodSpec};
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;

/// Puts `value` at `path` below the server's container, as `kubectl edit` does.
async fn edit_container(sandbox: &Sandbox, path: &str, value: serde_json::Value) {
    edit_pod(sandbox, &format!("containers/0/{path}"), value).await;
}

async fn edit_pod(sandbox: &Sandbox, path: &str, value: serde_json::Value) {
    let path = format!("/spec/template/spec/{path}");
    let operations = json!([{"op": "replace", "path": path, "value": value}]);
    let url = format!("/apis/apps/v1/namespaces/{}/deployments", sandbox.namespace());
    json_patch::send(&sandbox.client, &url, NAME, "kubectl-edit", &operations)
        .await
        .unwrap();
}

/// The pod's spec as it is, without what the API server fills in.
async fn pod(sandbox: &Sandbox) -> PodSpec {
    let live: Deployment = sandbox.api().get(NAME).await.unwrap();
    live.spec.unwrap().template.spec.unwrap()
}

async fn becomes(sandbox: &Sandbox, before: &PodSpec, what: &str) {
    sandbox
        .child::<Deployment>(NAME, what, |d| {
            let now = d.spec.as_ref().and_then(|s| s.template.spec.as_ref());
            // Lists that are merged come back in the order of the merge.
            now.is_some_and(|now| sorted(now) == sorted(before))
        })
        .await;
    sandbox
        .condition(NAME, ConditionType::Accepted, true, Reason::Valid)
        .await;
}

fn sorted(pod: &PodSpec) -> PodSpec {
    let mut pod = pod.clone();
    let by_json = |item: &serde_json::Value| item.to_string();
    for container in &mut pod.containers {
        if let Some(env) = &mut container.env {
            env.sort_by_key(|variable| by_json(&json!(variable)));
        }
        if let Some(ports) = &mut container.ports {
            ports.sort_by_key(|port| by_json(&json!(port)));
        }
    }
    if let Some(volumes) = &mut pod.volumes {
        volumes.sort_by_key(|volume| by_json(&json!(volume)));
    }
    pod
}

/// Ports are a list keyed by number: an edited one stands beside ours under the same name, and every apply is refused.
#[tokio::test]
async fn an_edited_container_port() {
    let sandbox = Sandbox::new("port").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let sidecar = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "injected", "image": "mesh:1", "ports": [{"containerPort": 15001, "name": "mesh"}]},
    ]}}}});
    let params = PatchParams::default();
    let api = sandbox.api::<Deployment>();
    api.patch(NAME, &params, &Patch::Strategic(sidecar))
        .await
        .unwrap();
    sandbox.settle(NAME).await;
    let before = pod(&sandbox).await;
    let ours = before.containers.iter().position(|c| c.name == NAME).unwrap();
    for (field, value) in [("containerPort", json!(8081)), ("protocol", json!("UDP"))] {
        edit_pod(&sandbox, &format!("containers/{ours}/ports/0/{field}"), value).await;
        becomes(&sandbox, &before, &format!("the {field} to be put back")).await;
        sandbox.settle(NAME).await;
    }
    // Nothing of the repair stays ours that an apply would not take away.
    let live = api.get(NAME).await.unwrap();
    let twice = live
        .managed_fields()
        .iter()
        .filter(|entry| entry.manager.as_deref() == Some("iam-mcp-operator"));
    assert_eq!(twice.count(), 1, "{:?}", live.managed_fields());
}

/// What is of one kind out of several stands beside another kind, and the API server refuses the two.
#[tokio::test]
async fn another_kind_of_probe_variable_and_volume() {
    let sandbox = Sandbox::new("kinds").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let before = pod(&sandbox).await;
    edit_container(&sandbox, "livenessProbe", json!({"tcpSocket": {"port": 8080}})).await;
    becomes(&sandbox, &before, "the probe to be put back").await;

    let env = pod(&sandbox).await.containers[0].env.clone().unwrap();
    let at = env.iter().position(|variable| variable.value.is_some()).unwrap();
    let from = json!({"name": env[at].name, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}});
    edit_container(&sandbox, &format!("env/{at}"), from).await;
    becomes(&sandbox, &before, "the variable to be put back").await;

    let volumes = pod(&sandbox).await.volumes.unwrap();
    let at = volumes.iter().position(|volume| volume.name == "data").unwrap();
    let other = json!({"name": "data", "hostPath": {"path": "/"}});
    edit_pod(&sandbox, &format!("volumes/{at}"), other).await;
    becomes(&sandbox, &before, "the volume to be put back").await;
}

/// The operator hears of an edit before its own creation is recorded, and must not take the edited template for one that an
/// earlier release made.
#[tokio::test]
async fn an_edit_in_the_moment_of_the_creation() {
    const SERVERS: usize = 20;
    let sandbox = Sandbox::new("moment").await;
    let api = sandbox.api::<Deployment>();
    let value =
        json!([{"op": "replace", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": 1}]);
    let url = format!("/apis/apps/v1/namespaces/{}/deployments", sandbox.namespace());
    for number in 0..SERVERS {
        let name = format!("s{number}");
        sandbox.submit(&name, json!({"replicas": 0})).await;
        let start = Instant::now();
        while json_patch::send(&sandbox.client, &url, &name, "kubectl-edit", &value)
            .await
            .is_err()
        {
            assert!(start.elapsed() < SOON, "no Deployment {name}");
        }
    }
    eventually(SOON, "each Deployment to be put back", || async {
        let all = api
            .list(&ListParams::default())
            .await
            .map_err(|e| e.to_string())?;
        let grace = |d: &Deployment| {
            d.spec
                .as_ref()?
                .template
                .spec
                .as_ref()?
                .termination_grace_period_seconds
        };
        let edited: Vec<_> = all
            .items
            .iter()
            .filter(|d| grace(d) == Some(1))
            .map(ResourceExt::name_any)
            .collect();
        when(edited.is_empty() && all.items.len() == SERVERS, edited)
    })
    .await;
}
