//! All children of a server: whose they are, and how safe their pods are.

use iam_mcp_crds::{ConditionType, Reason};
use iam_mcp_e2e::{OPERATOR, sandbox::Sandbox, servers::NAME};
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{Secret, Service, ServiceAccount},
    networking::v1::Ingress,
};
use kube::ResourceExt as _;
use serde_json::json;

use crate::full;

#[tokio::test]
async fn every_child_belongs_to_the_server_and_says_so() {
    let sandbox = Sandbox::new("children").await;
    let server = sandbox.serve(NAME, full()).await;
    let children = sandbox.children(NAME).await;
    assert_eq!(children.len(), 7, "{:?}", children.keys());
    for (kind, child) in &children {
        let [owner] = child.owner_references() else {
            panic!("{kind} has {:?}", child.owner_references())
        };
        assert_eq!(
            (owner.kind.as_str(), owner.name.as_str(), Some(owner.uid.clone())),
            ("McpServer", NAME, server.uid()),
            "{kind}"
        );
        assert_eq!(
            (owner.controller, owner.block_owner_deletion),
            (Some(true), Some(true)),
            "{kind}"
        );
        for (label, value) in [
            ("app", NAME),
            ("app.kubernetes.io/name", "mcp-server"),
            ("app.kubernetes.io/instance", NAME),
            ("app.kubernetes.io/managed-by", OPERATOR),
            ("app.kubernetes.io/part-of", "iam-mcp"),
        ] {
            assert_eq!(
                child.labels().get(label).map(String::as_str),
                Some(value),
                "{label} of {kind}"
            );
        }
    }
    sandbox
        .condition(NAME, ConditionType::Accepted, true, Reason::Valid)
        .await;
    sandbox
        .condition(NAME, ConditionType::Ready, false, Reason::PodsNotReady)
        .await;
    sandbox
        .event(
            NAME,
            "Created",
            &["Deployment/jobs", "Service/jobs", "Secret/jobs-keys"],
        )
        .await;
}

#[tokio::test]
async fn children_lead_to_each_other() {
    let sandbox = Sandbox::new("children").await;
    sandbox.serve(NAME, full()).await;
    let deployment = sandbox.api::<Deployment>().get(NAME).await.unwrap().spec.unwrap();
    let service = sandbox.api::<Service>().get(NAME).await.unwrap().spec.unwrap();
    let pods = deployment.template.metadata.unwrap().labels.unwrap();
    for (label, value) in service.selector.unwrap() {
        assert_eq!(
            pods.get(&label),
            Some(&value),
            "the Service selects the pods by {label}"
        );
    }
    assert_eq!(service.session_affinity.as_deref(), Some("ClientIP"));
    let port = service.ports.unwrap().remove(0);
    assert_eq!((port.name.as_deref(), port.port), (Some("http"), 80));

    let ingress = serde_json::to_value(sandbox.api::<Ingress>().get(NAME).await.unwrap().spec).unwrap();
    let rule = &ingress["rules"][0];
    assert_eq!(rule["host"], "jobs.example.com");
    let path = &rule["http"]["paths"][0];
    assert_eq!(
        (&path["path"], &path["pathType"]),
        (&json!("/jobs"), &json!("Prefix"))
    );
    assert_eq!(
        path["backend"]["service"],
        json!({"name": NAME, "port": {"name": "http"}})
    );

    let hpa = sandbox
        .api::<HorizontalPodAutoscaler>()
        .get(NAME)
        .await
        .unwrap()
        .spec
        .unwrap();
    assert_eq!(
        (
            hpa.scale_target_ref.kind.as_str(),
            hpa.scale_target_ref.name.as_str()
        ),
        ("Deployment", NAME)
    );
    assert_eq!((hpa.min_replicas, hpa.max_replicas), (Some(2), 10));
    let container = deployment.template.spec.unwrap().containers.remove(0);
    let requests = container.resources.unwrap().requests.unwrap();
    assert!(
        requests.contains_key("cpu"),
        "an HPA on CPU needs a CPU request: {requests:?}"
    );
}

#[tokio::test]
async fn pods_are_restricted_and_carry_no_secret() {
    let sandbox = Sandbox::new("children").await;
    sandbox.serve(NAME, json!({})).await;
    let secret: Secret = sandbox.api().get("jobs-keys").await.unwrap();
    let keys = secret.data.unwrap();
    assert_eq!(keys["session-key"].0.len(), 32, "256 random bits");

    let deployment: Deployment = sandbox.api().get(NAME).await.unwrap();
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    let context = pod.security_context.clone().unwrap();
    assert_eq!(context.run_as_non_root, Some(true));
    assert_eq!(context.seccomp_profile.unwrap().type_, "RuntimeDefault");
    assert_eq!(
        (pod.automount_service_account_token, pod.host_network),
        (Some(false), None)
    );
    let account: ServiceAccount = sandbox.api().get(NAME).await.unwrap();
    assert_eq!(account.automount_service_account_token, Some(false));
    let [container] = pod.containers.as_slice() else {
        panic!("one container, not {}", pod.containers.len())
    };
    assert_eq!(
        container.name, NAME,
        "the container has the server's name, as the seed's commands have it"
    );
    let security = container.security_context.clone().unwrap();
    assert_eq!(security.allow_privilege_escalation, Some(false));
    assert_eq!(security.read_only_root_filesystem, Some(true));
    assert_eq!(security.capabilities.unwrap().drop, Some(vec!["ALL".to_owned()]));

    let rendered = serde_json::to_string(&pod).unwrap();
    let key = serde_json::to_string(&keys["session-key"]).unwrap();
    assert!(
        !rendered.contains(key.trim_matches('"')),
        "the key is in the pod template"
    );
    assert!(
        !sandbox.operator().log().contains(key.trim_matches('"')),
        "the key is in the log"
    );
}
