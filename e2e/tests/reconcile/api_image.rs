//! What the API server refuses of images that are not builds of this project's server, and the valid twins.

use serde_json::{Value, json};

use crate::api::check;

fn http(more: &Value) -> Value {
    with(
        json!({"image": "weather:1", "endpoint": {"path": "/api/mcp"}}),
        more,
    )
}

fn stdio(more: &Value) -> Value {
    with(
        json!({"image": "files:1", "transport": "Stdio", "command": ["npx", "files"]}),
        more,
    )
}

fn with(mut spec: Value, more: &Value) -> Value {
    let fields = more.as_object().unwrap().clone();
    spec.as_object_mut().unwrap().extend(fields);
    spec
}

#[tokio::test]
async fn what_an_image_is() {
    let other = "endpoint and transport: Stdio are for an image that is not a build of this project's server";
    let say = "command and args are for images that are not builds of this project's server";
    check(vec![
        (http(&json!({})), Ok(())),
        (
            http(&json!({"command": ["/bin/weather"], "args": ["--http"]})),
            Ok(()),
        ),
        (http(&json!({"transport": "Http"})), Ok(())),
        (stdio(&json!({})), Ok(())),
        (stdio(&json!({"args": ["/srv"]})), Ok(())),
        (json!({"image": "jobs:1", "transport": "Http"}), Ok(())),
        (json!({"protocol": "Stateless"}), Ok(())),
        (json!({"endpoint": {}}), Err(other)),
        (json!({"transport": "Stdio", "command": ["a"]}), Err(other)),
        (
            stdio(&json!({"endpoint": {}})),
            Err("an image with transport Stdio is served at /mcp and /sse"),
        ),
        (json!({"image": "a", "command": ["a"]}), Err(say)),
        (
            json!({"image": "a", "args": ["a"], "transport": "Http"}),
            Err(say),
        ),
        (
            json!({"image": "a", "transport": "Stdio"}),
            Err("transport Stdio needs the program to run"),
        ),
        (
            json!({"image": "a", "transport": "Stdio", "args": ["a"]}),
            Err("transport Stdio needs the program to run"),
        ),
        (
            json!({"image": "a", "transport": "Stdio", "command": []}),
            Err("transport Stdio needs the program to run"),
        ),
        (
            json!({"image": "a", "transport": "Stdio", "command": [""]}),
            Err("spec.command[0]"),
        ),
        (
            json!({"image": "a", "transport": "Websocket"}),
            Err("spec.transport"),
        ),
        (http(&json!({"protocol": "Modern"})), Err("spec.protocol")),
    ])
    .await;
}

#[tokio::test]
async fn where_it_serves() {
    let endpoint = |endpoint: Value| json!({"image": "a", "endpoint": endpoint});
    let below = "endpoint.path must be below";
    let mut cases = vec![
        (
            endpoint(json!({"port": 3000, "path": "/", "ssePath": "/sse", "healthPath": "/healthz"})),
            Ok(()),
        ),
        (endpoint(json!({"port": 0})), Err("spec.endpoint.port")),
        (endpoint(json!({"port": 65536})), Err("spec.endpoint.port")),
        (
            endpoint(json!({"path": "/sse", "ssePath": "/sse"})),
            Err("path is that of Streamable HTTP, and another one"),
        ),
        (
            with(
                endpoint(json!({"ssePath": "/sse"})),
                &json!({"protocol": "Legacy"}),
            ),
            Ok(()),
        ),
        (
            with(
                endpoint(json!({"ssePath": "/sse"})),
                &json!({"protocol": "Stateless"}),
            ),
            Err("the HTTP+SSE transport begins with initialize"),
        ),
        (http(&json!({"ingress": {"path": "/"}})), Ok(())),
        (http(&json!({"ingress": {"path": "/api"}})), Ok(())),
        (http(&json!({"ingress": {"path": "/api/mcp"}})), Ok(())),
        (http(&json!({"ingress": {"path": "/ap"}})), Err(below)),
        (http(&json!({"ingress": {"path": "/weather"}})), Err(below)),
        (
            http(&json!({"httpRoute": {"parentRefs": [{"name": "g"}], "path": "/api"}})),
            Ok(()),
        ),
        (
            http(&json!({"httpRoute": {"parentRefs": [{"name": "g"}], "path": "/w"}})),
            Err(below),
        ),
        (stdio(&json!({"ingress": {"path": "/files"}})), Ok(())),
    ];
    for field in ["path", "ssePath", "healthPath"] {
        for bad in ["mcp", "/a b", "/a?b=c", ""] {
            let mut given = endpoint(json!({}));
            given["endpoint"][field] = json!(bad);
            cases.push((given, Err("spec.endpoint.")));
        }
    }
    check(cases).await;
}

#[tokio::test]
async fn settings_of_this_projects_server_are_not_for_another() {
    let ours =
        "auth, limits, telemetry, logLevel, cors and monitoring are what this project's server understands";
    let jobs = "only this project's server searches jobs";
    let bridge = "and its bridge does not; leave them out with Stdio";
    let sealed = "only this project's server seals sessions with a key";
    let port = json!({"env": [{"name": "PORT", "value": "3000"}]});
    let automatic = json!({"verify": "Off", "service": {"sessionAffinity": "Auto"}});
    check(vec![
        (http(&json!({"jobSearch": {}})), Err(jobs)),
        (stdio(&json!({"jobSearch": {}})), Err(jobs)),
        (http(&json!({"logLevel": "DEBUG"})), Err(ours)),
        (http(&json!({"cors": {"origins": ["*"]}})), Err(ours)),
        (http(&json!({"monitoring": {}})), Err(ours)),
        (http(&json!({"auth": {"bearer": {"generated": {}}}})), Err(ours)),
        (http(&json!({"limits": {"connections": 9}})), Err(ours)),
        (http(&json!({"telemetry": {"logFormat": "Text"}})), Err(ours)),
        (
            stdio(&json!({"auth": {"bearer": {"generated": {}}}, "limits": {"connections": 9}, "telemetry": {"logFormat": "Text"}})),
            Ok(()),
        ),
        (stdio(&json!({"limits": {"sessions": 9}})), Err(bridge)),
        (stdio(&json!({"limits": {"tools": {"*": "1/s"}}})), Err(bridge)),
        (stdio(&json!({"telemetry": {"auditLog": "Stderr"}})), Err(bridge)),
        (http(&json!({"sessions": {"rotateKeyEvery": "192h"}})), Err(sealed)),
        (stdio(&json!({"sessions": {"rotateKeyEvery": "192h"}})), Err(sealed)),
        (
            stdio(&json!({"logLevel": "DEBUG", "cors": {"origins": ["*"]}, "monitoring": {}})),
            Ok(()),
        ),
        (
            http(&json!({"service": {"hostnames": ["a.example.com"]}})),
            Err("is not told by which names it is called"),
        ),
        (http(&json!({"service": {"port": 81}})), Ok(())),
        (
            stdio(&json!({"service": {"hostnames": ["a.example.com"]}})),
            Ok(()),
        ),
        (
            http(&json!({"sessions": {"drainIdleSeconds": 5}})),
            Err("drainSeconds sets how long it may take to stop"),
        ),
        (http(&json!({"sessions": {"drainSeconds": 5}})), Ok(())),
        (stdio(&json!({"sessions": {"drainIdleSeconds": 5}})), Ok(())),
        (
            http(&json!({"networkPolicy": {"metricsFrom": [{"podLabels": {}}]}})),
            Err("another image has no admin port"),
        ),
        (
            http(&json!({"networkPolicy": {"from": [{"podLabels": {}}]}})),
            Ok(()),
        ),
        (
            stdio(&json!({"networkPolicy": {"metricsFrom": [{"podLabels": {}}]}})),
            Ok(()),
        ),
        (http(&port), Ok(())),
        (stdio(&port), Err("env: the operator sets this variable itself")),
        (
            http(&automatic),
            Err("service.sessionAffinity: Auto follows from what the server answers"),
        ),
        (
            http(&with(automatic.clone(), &json!({"protocol": "Auto"}))),
            Err("service.sessionAffinity: Auto follows"),
        ),
        (
            http(&with(automatic.clone(), &json!({"protocol": "Stateless"}))),
            Ok(()),
        ),
        (http(&with(automatic, &json!({"protocol": "Legacy"}))), Ok(())),
    ])
    .await;
}
