//! The NetworkPolicy and the Service of a server: made, changed, put back, pruned, and written once.

use iam_mcp_crds::{ConditionType, Reason};
use iam_mcp_e2e::{
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::NAME,
};
use k8s_openapi::api::{
    core::v1::Service,
    networking::v1::{Ingress, NetworkPolicy},
};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::scaling::nothing_more_is_written;

#[tokio::test]
async fn a_network_policy_comes_changes_is_put_back_and_goes() {
    let mut sandbox = Sandbox::new("network").await;
    sandbox.serve(NAME, json!({})).await;
    assert!(
        sandbox
            .api::<NetworkPolicy>()
            .get_opt(NAME)
            .await
            .unwrap()
            .is_none()
    );
    sandbox
        .change(
            NAME,
            json!({"networkPolicy": {
                "from": [{"namespaceLabels": {}}, {"podLabels": {}}, {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}],
                "metricsFrom": [{"namespaceLabels": {"kubernetes.io/metadata.name": "monitoring"}, "podLabels": {"a": "b"}}],
                "to": [{"podLabels": {"app": "db"}, "ports": [5432]}],
                "dns": [{"cidr": "10.96.0.10/32"}],
            }}),
        )
        .await;
    sandbox.child::<NetworkPolicy>(NAME, "a policy", |_| true).await;
    sandbox.settle(NAME).await;
    nothing_more_is_written(&mut sandbox).await;

    // Everything that a rule lists is the operator's: what somebody adds would open a door.
    let open = json!({"spec": {"ingress": [{}]}});
    sandbox.patch::<NetworkPolicy>(NAME, "a-person", open).await;
    sandbox
        .child::<NetworkPolicy>(NAME, "the policy as it was", |policy| {
            policy.spec.as_ref().unwrap().ingress.as_ref().unwrap().len() == 4
        })
        .await;
    sandbox
        .event(NAME, "DriftRepaired", &["NetworkPolicy/jobs", "a-person"])
        .await;

    sandbox
        .change(
            NAME,
            json!({"networkPolicy": {"from": null, "metricsFrom": null}}),
        )
        .await;
    sandbox
        .child::<NetworkPolicy>(NAME, "the operator and the pods themselves only", |policy| {
            policy.spec.as_ref().unwrap().ingress.as_ref().unwrap().len() == 2
        })
        .await;
    sandbox.change(NAME, json!({"networkPolicy": null})).await;
    eventually(SOON, "no policy", || async {
        let found = sandbox.api::<NetworkPolicy>().get_opt(NAME).await.unwrap();
        when(found.is_none(), found)
    })
    .await;
    sandbox.event(NAME, "Pruned", &["NetworkPolicy/jobs"]).await;
}

#[tokio::test]
async fn addresses_that_no_schema_can_check_are_told_as_invalid() {
    let sandbox = Sandbox::new("network").await;
    sandbox
        .submit(NAME, json!({"networkPolicy": {"from": [{"cidr": "10.0.0.1/8"}]}}))
        .await;
    let message = sandbox
        .condition(NAME, ConditionType::Accepted, false, Reason::Invalid)
        .await;
    assert!(
        message.contains("networkPolicy.from[0]") && message.contains("10.0.0.1/8"),
        "{message}"
    );
}

async fn service(sandbox: &Sandbox) -> Value {
    let service = sandbox.api::<Service>().get(NAME).await.unwrap();
    serde_json::to_value(service.spec).unwrap()
}

#[tokio::test]
async fn a_service_changes_its_type_and_back() {
    let mut sandbox = Sandbox::new("network").await;
    let spec = json!({"service": {
        "type": "NodePort", "externalTrafficPolicy": "Local",
        "annotations": {"example.com/a": "1"}, "appProtocol": "kgateway.dev/mcp",
    }});
    sandbox.serve(NAME, spec).await;
    let spec = service(&sandbox).await;
    assert_eq!(spec["type"], "NodePort");
    assert_eq!(spec["externalTrafficPolicy"], "Local");
    assert_eq!(spec["ports"][0]["appProtocol"], "kgateway.dev/mcp");
    let given = spec["ports"][0]["nodePort"].clone();
    assert!(given.is_i64(), "a port by the API server: {spec}");
    nothing_more_is_written(&mut sandbox).await;
    assert_eq!(service(&sandbox).await["ports"][0]["nodePort"], given);

    let balanced = json!({"service": {
        "type": "LoadBalancer", "loadBalancerClass": "example.com/lb", "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "annotations": {"example.com/a": null, "example.com/b": "2"},
    }});
    sandbox.change(NAME, balanced).await;
    sandbox
        .child::<Service>(NAME, "a load balancer", |service| {
            let spec = service.spec.as_ref().unwrap();
            spec.type_.as_deref() == Some("LoadBalancer")
                && spec.load_balancer_class.as_deref() == Some("example.com/lb")
                && service
                    .annotations()
                    .get("example.com/b")
                    .is_some_and(|b| b == "2")
                && !service.annotations().contains_key("example.com/a")
        })
        .await;
    nothing_more_is_written(&mut sandbox).await;

    sandbox.change(NAME, json!({"service": null})).await;
    sandbox
        .child::<Service>(NAME, "an address in the cluster only", |service| {
            let spec = service.spec.as_ref().unwrap();
            spec.type_.as_deref() == Some("ClusterIP")
                && spec.load_balancer_class.is_none()
                && spec.external_traffic_policy.is_none()
                && spec.ports.as_ref().unwrap()[0].node_port.is_none()
                && service.annotations().is_empty()
        })
        .await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
    nothing_more_is_written(&mut sandbox).await;
}

#[tokio::test]
async fn a_node_port_that_is_named_is_kept_and_one_that_is_taken_is_told() {
    let mut sandbox = Sandbox::new("network").await;
    // In the band that the API server does not give away by itself as long as there is room, so that runs side by side
    // do not meet; the process id keeps two runs on one cluster apart.
    let port = 30_000 + i32::try_from(std::process::id() % 80).unwrap();
    let spec = || json!({"service": {"type": "NodePort", "nodePort": port}});
    sandbox.serve(NAME, spec()).await;
    assert_eq!(service(&sandbox).await["ports"][0]["nodePort"], port);
    nothing_more_is_written(&mut sandbox).await;
    sandbox.submit("second", spec()).await;
    let message = sandbox
        .condition("second", ConditionType::Degraded, true, Reason::ChildRejected)
        .await;
    assert!(
        message.contains("Service/second") && message.contains("already allocated"),
        "{message}"
    );
}

#[tokio::test]
async fn a_known_ingress_class_is_told_to_leave_streams_open() {
    let mut sandbox = Sandbox::new("network").await;
    let read = "nginx.ingress.kubernetes.io/proxy-read-timeout";
    let spec =
        json!({"ingress": {"className": "nginx", "annotations": {(read): "60", "example.com/more": "x"}}});
    sandbox.serve(NAME, spec).await;
    let ingress = sandbox.api::<Ingress>().get(NAME).await.unwrap();
    assert_eq!(ingress.annotations()[read], "60", "what a person gives wins");
    assert_eq!(ingress.annotations()["example.com/more"], "x");
    assert_eq!(
        ingress.annotations()["nginx.ingress.kubernetes.io/proxy-buffering"],
        "off"
    );
    nothing_more_is_written(&mut sandbox).await;
    sandbox
        .change(
            NAME,
            json!({"ingress": {"className": "traefik", "annotations": null}}),
        )
        .await;
    sandbox
        .child::<Ingress>(NAME, "none of nginx' annotations", |i| i.annotations().is_empty())
        .await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
}

#[tokio::test]
async fn a_class_that_ends_streams_or_is_unknown_is_told_and_does_no_harm() {
    let sandbox = Sandbox::new("network").await;
    sandbox
        .serve(NAME, json!({"replicas": 0, "ingress": {"className": "gce"}}))
        .await;
    let message = sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::IngressEndsStreams)
        .await;
    assert!(message.contains("BackendConfig"), "{message}");
    sandbox
        .event(NAME, "IngressEndsStreams", &["BackendConfig"])
        .await;
    // It is no reason to call the server not ready.
    sandbox
        .condition(NAME, ConditionType::Ready, false, Reason::ScaledToZero)
        .await;
    let seen_to =
        json!({"service": {"annotations": {"cloud.google.com/backend-config": "{\"default\": \"jobs\"}"}}});
    sandbox.change(NAME, seen_to).await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;

    sandbox
        .change(NAME, json!({"ingress": {"className": "homemade"}}))
        .await;
    sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::IngressClassUnknown)
        .await;
    sandbox
        .change(
            NAME,
            json!({"ingress": {"annotations": {"homemade/timeout": "1h"}}}),
        )
        .await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
}
