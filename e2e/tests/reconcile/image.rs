//! Images that are not builds of this project's server.

use iam_mcp_crds::{ConditionType, McpServer, Reason};
use iam_mcp_e2e::{
    fake_mcp::Speaks,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Secret, Service},
};
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::health::{asked_again, asking, verified};

/// The live pod template's spec.
async fn template(sandbox: &Sandbox) -> Value {
    let deployment: Deployment = sandbox.api().get(NAME).await.unwrap();
    serde_json::to_value(deployment.spec.unwrap().template.spec).unwrap()
}

async fn assert_no_keys(sandbox: &Sandbox) {
    let secrets = sandbox
        .api::<Secret>()
        .list(&ListParams::default())
        .await
        .unwrap();
    assert!(secrets.items.is_empty(), "{:?}", secrets.items);
}

/// A new operator finds nothing to write.
async fn assert_settled(sandbox: &mut Sandbox) {
    sandbox.settle(NAME).await;
    sandbox.stop_operator().await;
    sandbox.start_operator().await;
    sandbox.quiet().await;
    assert_eq!(sandbox.operator().writes().await, 0);
}

#[tokio::test]
async fn another_image_is_run_as_it_is_and_asked_where_it_serves() {
    let mut sandbox = asking("image").await;
    let spec = json!({
        "image": "weather:1", "replicas": 2, "command": ["/bin/weather"], "env": [{"name": "PORT", "value": "8080"}],
        "endpoint": {"path": "/api/mcp", "healthPath": "/healthz"}, "protocol": "Legacy",
        "service": {"sessionAffinity": "Auto"},
    });
    let server = sandbox.serve(NAME, spec).await;
    let status = server.status.unwrap();
    let namespace = sandbox.namespace();
    assert_eq!(status.url, Some(format!("http://{NAME}.{namespace}.svc/api/mcp")));
    let affinity = status.session_affinity.unwrap();
    assert!(
        affinity.value == "ClientIP" && affinity.reason.contains("protocol is Legacy"),
        "{affinity:?}"
    );
    let pod = template(&sandbox).await;
    let container = &pod["containers"][0];
    assert_eq!(container["command"], json!(["/bin/weather"]));
    assert_eq!(container["env"], json!([{"name": "PORT", "value": "8080"}]));
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/healthz");
    assert_eq!(pod["terminationGracePeriodSeconds"], 30);
    assert_no_keys(&sandbox).await;

    let pods = sandbox
        .run_pods(NAME, 2, |_, says| {
            says.mcp.speaks = Speaks::Legacy { sessions: true }
        })
        .await;
    let message = verified(&sandbox, NAME, "True", Reason::ProtocolAnswered).await;
    assert!(message.contains("2025-11-25"), "{message}");
    // They take turns; by then pods of ours would have been asked for their sessions.
    asked_again(&pods[0]).await;
    asked_again(&pods[1]).await;
    let says = pods[0].server.says();
    let elsewhere = says.mcp.heard.iter().find(|heard| heard.path != "/api/mcp");
    assert_eq!(elsewhere, None);
    assert_eq!(
        says.mcp.count("server/discover"),
        0,
        "it was said to be of the older era"
    );
    assert_eq!(says.asked, 0, "its sessions are its own business");
    assert_settled(&mut sandbox).await;
}

#[tokio::test]
async fn what_is_declared_decides_on_the_affinity_without_a_question() {
    let sandbox = Sandbox::new("declared").await;
    let spec = |more: Value| {
        let mut spec = json!({
            "image": "weather:1", "replicas": 1, "verify": "Off", "service": {"sessionAffinity": "Auto"}, "endpoint": {},
        });
        spec.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        spec
    };
    let live = |value: &'static str| {
        let sandbox = &sandbox;
        async move {
            eventually(SOON, &format!("sessionAffinity {value}"), || async {
                let service: Service = sandbox.api().get(NAME).await.map_err(|error| error.to_string())?;
                let live = service.spec.and_then(|spec| spec.session_affinity);
                let server: McpServer = sandbox.api().get(NAME).await.map_err(|error| error.to_string())?;
                let told = server.status.and_then(|status| status.session_affinity);
                let told = told.map(|told| told.value);
                when(
                    live.as_deref() == Some(value) && told.as_deref() == Some(value),
                    (live, told),
                )
            })
            .await;
        }
    };
    sandbox.serve(NAME, spec(json!({"protocol": "Stateless"}))).await;
    live("None").await;
    sandbox.change(NAME, spec(json!({"protocol": "Legacy"}))).await;
    live("ClientIP").await;
    sandbox.change(NAME, spec(json!({"protocol": "Stateless"}))).await;
    live("None").await;
}

/// In a namespace that takes no pods but those of the `restricted` profile.
#[tokio::test]
async fn a_stdio_program_gets_the_bridge_and_its_pods_are_restricted() {
    let mut sandbox = asking("stdio").await;
    let restricted = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(sandbox.client.clone());
    namespaces
        .patch(
            sandbox.namespace(),
            &kube::api::PatchParams::default(),
            &kube::api::Patch::Merge(restricted),
        )
        .await
        .unwrap();
    let spec = json!({"image": "files:1", "replicas": 2, "transport": "Stdio", "command": ["npx", "files"], "args": ["/srv"]});
    sandbox.serve(NAME, spec).await;
    let pod = template(&sandbox).await;
    assert_eq!(pod["containers"][0]["args"], json!(["npx", "files", "/srv"]));
    assert_eq!(
        pod["initContainers"][0]["args"],
        json!(["install", "/var/run/iam-mcp/bin"])
    );
    assert_no_keys(&sandbox).await;
    let pods = sandbox.run_pods(NAME, 2, |_, says| says.sessions = 4).await;
    verified(&sandbox, NAME, "True", Reason::ProtocolAnswered).await;
    pods[0].server.asked_again().await;
    eventually(SOON, "the deletion cost", || async {
        let pod: Pod = sandbox
            .api()
            .get(&pods[0].name)
            .await
            .map_err(|error| error.to_string())?;
        let cost = pod.metadata.annotations.unwrap_or_default();
        let cost = cost.get("controller.kubernetes.io/pod-deletion-cost").cloned();
        when(cost.as_deref() == Some("4"), cost)
    })
    .await;
    assert_settled(&mut sandbox).await;
}

/// A server of ours may become one of somebody else's, and the other way about.
#[tokio::test]
async fn a_server_changes_hands() {
    let sandbox = Sandbox::new("hands").await;
    sandbox.serve(NAME, json!({"replicas": 1})).await;
    let volumes = |pod: &Value| -> Vec<String> {
        let names = pod["volumes"].as_array().unwrap().iter();
        names
            .map(|volume| volume["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(volumes(&template(&sandbox).await), ["data", "keys"]);
    sandbox
        .change(
            NAME,
            json!({"replicas": 1, "image": "weather:1", "endpoint": {"port": 3000}}),
        )
        .await;
    sandbox.settle(NAME).await;
    let pod = template(&sandbox).await;
    assert_eq!(volumes(&pod), ["iam-mcp-tmp"]);
    assert_eq!(
        pod["containers"][0]["ports"],
        json!([{"name": "http", "containerPort": 3000, "protocol": "TCP"}])
    );
    // The pods of before may want to mount it once more.
    assert_eq!(
        sandbox
            .api::<Secret>()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    sandbox
        .change(NAME, json!({"image": null, "endpoint": null}))
        .await;
    sandbox.settle(NAME).await;
    assert_eq!(volumes(&template(&sandbox).await), ["data", "keys"]);
    sandbox
        .condition(NAME, ConditionType::Accepted, true, Reason::Valid)
        .await;
}
