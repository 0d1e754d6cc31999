//! What `verify` and an automatic affinity change in the children, and how a server is asked over MCP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use iam_mcp_crds::{McpServer, McpServerSpec, Protocol, ServiceSpec, SessionAffinity, Verify};
use iam_mcp_operator::controller::{
    build::build,
    health::{Endpoint, Failure, Unauthorized, ask::ask, credential::Credential},
    validate::{Defaults, validate},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

fn rendered(verify: Option<Verify>, affinity: SessionAffinity) -> Result<(Value, Value), String> {
    let spec = McpServerSpec {
        verify,
        service: Some(ServiceSpec {
            session_affinity: affinity,
            ..ServiceSpec::default()
        }),
        ..McpServerSpec::default()
    };
    let mut server = McpServer::new("jobs", spec);
    server.metadata.namespace = Some("n".to_owned());
    let defaults = Defaults {
        server_image: "image:1".to_owned(),
        operator_namespace: "system".to_owned(),
    };
    let children = build(&validate(&server, &defaults, false).map_err(|invalid| invalid.to_string())?);
    let deployment = serde_json::to_value(children.deployment).unwrap();
    Ok((
        deployment["spec"]["template"]["spec"].clone(),
        serde_json::to_value(children.service).unwrap()["spec"].clone(),
    ))
}

fn switch(pod: &Value) -> Option<Value> {
    let variables = pod["containers"][0]["env"].as_array().unwrap();
    let found = variables
        .iter()
        .find(|variable| variable["name"] == "VERIFY_AT_START");
    found.map(|found| found["value"].clone())
}

/// An upgrade of the operator rolls nobody: the default is what there was before `verify`.
#[test]
fn the_template_changes_only_where_it_is_asked_for() {
    let (unset, _) = rendered(None, SessionAffinity::ClientIP).unwrap();
    let (probe, _) = rendered(Some(Verify::Probe), SessionAffinity::ClientIP).unwrap();
    assert_eq!(unset, probe);
    assert_eq!((switch(&unset), &unset["readinessGates"]), (None, &Value::Null));
    let (gate, _) = rendered(Some(Verify::Gate), SessionAffinity::ClientIP).unwrap();
    assert_eq!(
        gate["readinessGates"],
        json!([{"conditionType": "iam-mcp.dev/verified"}])
    );
    assert_eq!(switch(&gate), None);
    let (off, _) = rendered(Some(Verify::Off), SessionAffinity::ClientIP).unwrap();
    assert_eq!(
        (switch(&off), &off["readinessGates"]),
        (Some(json!("false")), &Value::Null)
    );
}

#[test]
fn an_automatic_affinity_is_the_safe_one_until_a_server_was_asked() {
    let (_, service) = rendered(None, SessionAffinity::Auto).unwrap();
    let (_, explicit) = rendered(None, SessionAffinity::ClientIP).unwrap();
    assert_eq!(service, explicit);
    let refused = rendered(Some(Verify::Off), SessionAffinity::Auto).unwrap_err();
    assert!(refused.contains("service.sessionAffinity: Auto"), "{refused}");
    assert!(rendered(Some(Verify::Off), SessionAffinity::None).is_ok());
}

/// A server that gives these answers, one a connection; and what it was sent.
async fn scripted(answers: Vec<String>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = String::new();
            // The message is the last thing of a request, and ends it.
            let ends = |request: &str| {
                request.ends_with('}') || (!request.starts_with("POST") && request.ends_with("\r\n\r\n"))
            };
            while !ends(&request) {
                let mut part = [0; 4096];
                let read = stream.read(&mut part).await.unwrap();
                request.push_str(&String::from_utf8_lossy(&part[..read]));
            }
            log.lock().unwrap().push(request);
            // A client may have enough before the end.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        std::future::pending::<()>().await;
    });
    (address, heard)
}

fn answer(status: u16, kind: &str, more: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nConnection: close\r\n{more}\r\n{body}")
}

fn result(id: u64, result: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint {
        address,
        host: "jobs.n.svc".to_owned(),
        path: "/mcp".to_owned(),
        sse_path: None,
        protocol: Protocol::Auto,
        credential: Credential::None,
    }
}

#[tokio::test]
async fn a_modern_server_with_pages_of_tools() {
    let json = "application/json; charset=utf-8";
    let discovered = json!({
        "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "other", "version": "7"}},
    });
    let first = json!({"tools": [{"name": "a"}, {"name": "b"}], "nextCursor": "two"});
    let second = json!({"tools": [{"name": "c"}]});
    let (address, heard) = scripted(vec![
        answer(200, json, "", &result(1, &discovered)),
        answer(200, json, "", &result(2, &first)),
        answer(
            200,
            "text/event-stream",
            "",
            &format!(": hi\n\ndata: {}\n\nmore", result(3, &second)),
        ),
    ])
    .await;
    let said = ask(&endpoint(address), false).await.unwrap();
    assert_eq!(
        said.sentence(),
        "the server speaks MCP 2026-07-28 and has 3 tools"
    );
    assert_eq!(said.stateful, None);
    let heard = heard.lock().unwrap();
    assert!(
        heard[0].contains("POST /mcp HTTP/1.1\r\nhost: jobs.n.svc\r\n"),
        "{}",
        heard[0]
    );
    for (request, method) in heard.iter().zip(["server/discover", "tools/list", "tools/list"]) {
        let lower = request.to_ascii_lowercase();
        assert!(
            lower.contains("mcp-protocol-version: 2026-07-28\r\n"),
            "{request}"
        );
        assert!(lower.contains(&format!("mcp-method: {method}\r\n")), "{request}");
        assert!(
            request.contains("io.modelcontextprotocol/clientCapabilities"),
            "{request}"
        );
    }
    assert!(heard[2].contains(r#""cursor":"two""#), "{}", heard[2]);
}

/// As the older SDKs do it: everything is a stream, and a session that has to be named.
#[tokio::test]
async fn an_older_server_with_a_session() {
    let stream = "text/event-stream";
    let hello = json!({
        "protocolVersion": "2025-06-18", "capabilities": {"tools": {"listChanged": true}},
        "serverInfo": {"name": "old", "version": "1"},
    });
    let tools = json!({"tools": [{"name": "a", "inputSchema": {"type": "object"}}]});
    let event = |text: String| format!("event: message\r\ndata: {text}\r\n\r\n");
    let (address, heard) = scripted(vec![
        answer(400, "text/plain", "", "Bad Request: no valid session ID provided"),
        answer(200, stream, "Mcp-Session-Id: s-1\r\n", &event(result(2, &hello))),
        answer(202, "text/plain", "", ""),
        answer(200, stream, "", &event(result(3, &tools))),
        answer(405, "text/plain", "", ""),
    ])
    .await;
    let said = ask(&endpoint(address), false).await.unwrap();
    assert_eq!(said.sentence(), "the server speaks MCP 2025-06-18 and has 1 tool");
    assert_eq!(said.stateful, Some(true));
    let heard = heard.lock().unwrap();
    assert!(heard[1].contains(r#""method":"initialize""#), "{}", heard[1]);
    for request in &heard[2..] {
        let lower = request.to_ascii_lowercase();
        assert!(lower.contains("mcp-session-id: s-1\r\n"), "{request}");
        assert!(
            lower.contains("mcp-protocol-version: 2025-06-18\r\n"),
            "{request}"
        );
    }
    assert!(heard[4].starts_with("DELETE /mcp "), "{}", heard[4]);
}

#[tokio::test]
async fn a_server_without_tools_is_not_asked_for_them() {
    let discovered = json!({"supportedVersions": ["2026-07-28"], "capabilities": {"prompts": {}}});
    let (address, heard) = scripted(vec![answer(200, "application/json", "", &result(1, &discovered))]).await;
    let said = ask(&endpoint(address), true).await.unwrap();
    assert_eq!((said.tools.count, said.stateful), (0, Some(false)));
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_server_of_mcp() {
    let json = "application/json";
    let error = r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32603,"message":"broken\u001b[2J\nhere"}}"#;
    let endless = format!("[{}", " ".repeat(600 * 1024));
    let cases: Vec<(Vec<String>, Failure)> = vec![
        (
            vec![answer(401, json, "", "{}")],
            Failure::NotAuthorized(Unauthorized::Unexpected),
        ),
        (
            vec![
                answer(404, "text/html", "", "<html>"),
                answer(404, "text/html", "", "<html>"),
            ],
            Failure::Status {
                method: "initialize",
                status: hyper::StatusCode::NOT_FOUND,
            },
        ),
        (
            vec![
                answer(200, "text/html", "", "<html>"),
                answer(200, "text/html", "", "<html>"),
            ],
            Failure::NotMcp { method: "initialize" },
        ),
        (
            vec![answer(404, json, "", "{}"), answer(200, json, "", error)],
            Failure::Refused {
                method: "initialize",
                code: -32603,
                message: "broken [2J here".to_owned(),
            },
        ),
        (vec![answer(200, json, "", &endless)], Failure::TooLong),
        (
            vec![answer(200, "text/event-stream", "", &endless)],
            Failure::TooLong,
        ),
        (vec!["no HTTP at all\r\n\r\n".to_owned()], Failure::Broken),
        (vec![], Failure::Timeout),
    ];
    for (answers, failure) in cases {
        let (address, _) = scripted(answers).await;
        assert_eq!(ask(&endpoint(address), false).await.unwrap_err(), failure);
    }
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    assert_eq!(
        ask(&endpoint(free), false).await.unwrap_err(),
        Failure::Unreachable
    );
}

/// What is declared is not asked for: one question, in the era that was named.
#[tokio::test]
async fn a_server_is_asked_in_the_era_that_it_declares() {
    let json = "application/json";
    let refused = || {
        answer(
            400,
            json,
            "",
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}"#,
        )
    };
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "old"}});
    let legacy = |address| Endpoint {
        protocol: Protocol::Legacy,
        path: "/api/mcp".to_owned(),
        ..endpoint(address)
    };
    let (address, heard) = scripted(vec![
        answer(200, json, "", &result(1, &hello)),
        answer(202, "text/plain", "", ""),
    ])
    .await;
    ask(&legacy(address), false).await.unwrap();
    let heard = heard.lock().unwrap().clone();
    assert!(
        heard[0].starts_with("POST /api/mcp ") && heard[0].contains("initialize"),
        "{heard:?}"
    );
    assert_eq!(heard.len(), 2);

    let (address, heard) = scripted(vec![refused()]).await;
    let stateless = Endpoint {
        protocol: Protocol::Stateless,
        ..endpoint(address)
    };
    let failure = ask(&stateless, false).await.unwrap_err();
    assert_eq!(failure.category(), "refused", "no initialize follows");
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_stream_that_should_open_is_opened() {
    let (json, stream) = ("application/json", "text/event-stream");
    let discovered = json!({"supportedVersions": ["2025-06-18"], "capabilities": {}});
    let first = answer(200, json, "", &result(1, &discovered));
    let none = Err(Failure::NoStream {
        path: "/sse".to_owned(),
    });
    for (begin, wanted) in [
        (
            answer(200, stream, "", "event: endpoint\ndata: /messages?id=1\n\n"),
            Ok(()),
        ),
        (
            answer(200, stream, "", ": hello\r\nevent:endpoint\r\ndata: /m\r\n\r\n"),
            Ok(()),
        ),
        (
            answer(200, stream, "", "event: message\ndata: {}\n\n"),
            none.clone(),
        ),
        (answer(200, json, "", "{}"), none.clone()),
        (answer(404, "text/plain", "", "event: endpoint\n\n"), none),
        (
            answer(401, "text/plain", "", ""),
            Err(Failure::NotAuthorized(Unauthorized::Unexpected)),
        ),
    ] {
        let (address, heard) = scripted(vec![first.clone(), begin.clone()]).await;
        let with_stream = Endpoint {
            sse_path: Some("/sse".to_owned()),
            ..endpoint(address)
        };
        assert_eq!(ask(&with_stream, false).await.map(drop), wanted, "{begin}");
        assert!(heard.lock().unwrap()[1].starts_with("GET /sse HTTP/1.1"));
    }
}
