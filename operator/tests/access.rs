//! What the fields on access, limits, telemetry and jobs render to.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use iam_mcp_crds::{McpServer, McpServerSpec};
use iam_mcp_operator::controller::{
    build::build,
    kinds::{Child, ChildKind, in_order},
    pod_security::restricted,
    validate::{Defaults, validate},
};
use serde_json::{Value, json};

fn children(spec: Value) -> Vec<Child> {
    let mut server = McpServer::new("jobs", serde_json::from_value::<McpServerSpec>(spec).unwrap());
    server.metadata.namespace = Some("mcp".to_owned());
    let defaults = Defaults {
        server_image: "image:1".to_owned(),
        operator_namespace: "system".to_owned(),
    };
    in_order(build(&validate(&server, &defaults, false).unwrap()), None).unwrap()
}

fn pod(spec: Value) -> Value {
    let children = children(spec);
    let deployment = children.iter().find(|child| child.kind == ChildKind::Deployment);
    deployment.unwrap().manifest["spec"]["template"].clone()
}

/// What `spec` adds to the variables, volumes and mounts of a server without it.
fn added(spec: Value) -> Value {
    let (plain, more) = (pod(json!({})), pod(spec));
    let list = |template: &Value, path: &str| template.pointer(path).unwrap().as_array().unwrap().clone();
    let new = |path: &str| {
        let before = list(&plain, path);
        let after = list(&more, path).into_iter();
        after.filter(|item| !before.contains(item)).collect::<Vec<_>>()
    };
    json!({
        "env": new("/spec/containers/0/env"),
        "mounts": new("/spec/containers/0/volumeMounts"),
        "volumes": new("/spec/volumes"),
    })
}

fn everything() -> Value {
    json!({
        "auth": {"bearer": {"tokensSecretRef": {"name": "clients", "key": "list"}}},
        "limits": {
            "messagesPerSecond": 50, "tools": {"search_jobs": "10/s", "*": "60/minute"}, "sessions": 100,
            "connections": 200, "trustedProxies": ["10.0.0.0/8", "192.0.2.7"],
            "urlSecretRef": {"name": "valkey", "key": "url"},
        },
        "cors": {"allowedOrigins": ["https://app.example.com", "http://localhost:*"]},
        "telemetry": {
            "logFormat": "Text", "auditLog": "Stderr", "adminTokenSecretRef": {"name": "admin", "key": "token"},
            "traces": {
                "endpoint": "http://collector:4318", "headersSecretRef": {"name": "otlp", "key": "headers"},
                "samplePercent": 5,
            },
        },
        "jobSearch": {
            "providers": ["JSearch", "Greenhouse", "Catalogue", "Arbeitnow", "Remotive"],
            "rapidApi": {"keySecretRef": {"name": "rapidapi", "key": "key"}, "budget": "300/month"},
            "greenhouse": {"boards": ["stripe", "airbnb"]},
            "catalogue": {"configMapName": "postings"},
            "cache": {"seconds": 60, "megabytes": 8},
            "savedJobs": {"claimName": "saved"},
        },
    })
}

#[test]
fn every_field_reaches_the_server() {
    insta::assert_yaml_snapshot!(added(everything()));
}

#[test]
fn an_issuers_tokens() {
    insta::assert_yaml_snapshot!(added(json!({"auth": {"oidc": {
        "issuer": "https://login.example.com/realms/jobs", "audiences": ["https://mcp.example.com/mcp", "jobs"],
        "jwksUrl": "https://login.example.com/keys", "scopes": ["jobs:read|jobs:admin", "mcp"],
        "principalClaim": "email", "publicUrl": "https://mcp.example.com",
    }}})));
}

#[test]
fn a_token_that_the_operator_makes_comes_from_its_own_secret() {
    let volumes = added(json!({"auth": {"bearer": {"generated": {}}}}))["volumes"].clone();
    assert_eq!(
        volumes,
        json!([{"name": "iam-mcp-auth", "secret": {
            "secretName": "jobs-token", "defaultMode": 0o440, "items": [{"key": "tokens", "path": "tokens"}],
        }}])
    );
}

#[test]
fn a_catalogue_of_a_claim_is_read_only() {
    let claim = json!({"jobSearch": {"catalogue": {"claimName": "postings"}}});
    let added = added(claim);
    assert_eq!(
        added["volumes"][0]["persistentVolumeClaim"],
        json!({"claimName": "postings", "readOnly": true})
    );
    assert_eq!(
        added["mounts"][0],
        json!({"name": "iam-mcp-catalogue", "mountPath": "/data/catalogue", "readOnly": true})
    );
}

#[test]
fn empty_fields_are_none() {
    let empty = json!({"limits": {}, "telemetry": {}, "jobSearch": {"cache": {}}});
    assert_eq!(pod(empty), pod(json!({})));
}

#[test]
fn the_result_is_restricted() {
    let template = serde_json::from_value(pod(everything())).unwrap();
    assert_eq!(restricted(&template), Vec::<String>::new());
}
