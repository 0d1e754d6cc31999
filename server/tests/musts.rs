//! What the specification says a server MUST, where no other file has it. `docs/protocol.md` lists them all by number,
//! with the tests that hold them.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Stream, TestServer, error_of, initialize, request, search};

/// Every route that takes messages or opens a stream.
const ROUTES: [(&str, &str); 8] = [
    ("POST", "/"),
    ("POST", "/mcp"),
    ("POST", "/mcp/"),
    ("POST", "/messages"),
    ("POST", "/messages/"),
    ("GET", "/sse"),
    ("GET", "/messages"),
    ("GET", "/messages/"),
];

fn modern(id: u64, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    request(id, method, params)
}

/// What a client of 2026-07-28 sends.
async fn ask(server: &TestServer, token: Option<&str>, message: &Value) -> Value {
    let method = message["method"].as_str().expect("a method");
    let name = message["params"]["name"].as_str().unwrap_or_default();
    let mut sent = server
        .post("/mcp", message)
        .header("MCP-Protocol-Version", "2026-07-28")
        .header("Mcp-Method", method);
    if !name.is_empty() {
        sent = sent.header("Mcp-Name", name);
    }
    if let Some(token) = token {
        sent = sent.bearer_auth(token);
    }
    sent.send().await.expect("answered").json().await.expect("JSON")
}

/// Item 3: MUST answer 400 to a `MCP-Protocol-Version` that is not supported, whatever it is asked.
#[tokio::test]
async fn must_6_3_an_unknown_version_is_400_on_every_route() {
    let server = TestServer::start(&[]).await;
    for (method, path) in ROUTES {
        let mut unknown = vec!["1999-01-01", "2025-11-26", "latest", "2025-11-25 2024-11-05"];
        if method == "GET" {
            // It has no such stream.
            unknown.push("2026-07-28");
        }
        for version in unknown {
            let sent = server
                .client
                .request(
                    Method::from_bytes(method.as_bytes()).expect("a method"),
                    server.url(path),
                )
                .header("Accept", "application/json, text/event-stream")
                .header("MCP-Protocol-Version", version)
                .json(&request(1, "tools/list", json!({})));
            let (status, _, message) = error_of(sent.send().await.expect("answered")).await;
            assert_eq!(status, 400, "{method} {path} {version}: {message}");
        }
    }
}

/// Item 3, the other side: each version that was ever negotiated here is served, and its stream opens.
#[tokio::test]
async fn must_6_3_every_known_version_is_served() {
    let server = TestServer::start(&[]).await;
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        for path in ["/sse", "/messages", "/messages/"] {
            let sent = server
                .get(path)
                .header("Accept", "text/event-stream")
                .header("MCP-Protocol-Version", version);
            let mut stream = Stream::of(sent.send().await.expect("answered")).await;
            let pong = stream.ask(&server, &request(1, "ping", json!({}))).await;
            assert_eq!(pong["result"], json!({}), "{version} {path}");
        }
        let sent = server
            .post("/mcp", &request(1, "ping", json!({})))
            .header("MCP-Protocol-Version", version);
        let answer = sent.send().await.expect("answered");
        assert_eq!(answer.status(), StatusCode::OK, "{version}");
    }
}

/// Item 4: session ids MUST be visible ASCII, secure and not to be guessed: no two have anything in common but their
/// format's number.
#[tokio::test]
async fn must_6_4_session_ids_are_long_visible_and_unlike() {
    let server = TestServer::start(&[]).await;
    let mut seen = Vec::new();
    for _ in 0..20 {
        let stream = Stream::open(&server).await;
        let (_, id) = stream.endpoint.split_once("session_id=").expect("an id");
        assert!(id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "{id}");
        assert!(id.len() >= 22, "128 bits at least: {id}");
        seen.push(id.to_owned());
    }
    let heads: BTreeSet<_> = seen.iter().map(|id| id[2..18].to_owned()).collect();
    let tails: BTreeSet<_> = seen.iter().map(|id| id[id.len() - 16..].to_owned()).collect();
    assert_eq!((heads.len(), tails.len()), (20, 20));
}

/// Item 9: structured results MUST conform to the output schema; MUST NOT refer to schemas on the network.
#[tokio::test]
async fn must_6_9_structured_results_conform_to_their_schema() {
    let server = TestServer::start(&[]).await;
    let listed = server.ask("tools/list", json!({})).await;
    let tools = listed["result"]["tools"].as_array().expect("tools");
    for tool in tools {
        assert!(!tool.to_string().contains("\"$ref\":\"http"), "{tool}");
    }
    let tool = tools
        .iter()
        .find(|tool| tool["name"] == "search_jobs")
        .expect("the tool");
    let schema = jsonschema::draft202012::new(&tool["outputSchema"]).expect("a schema");
    for arguments in [
        json!({ "role": "nurse" }),
        json!({ "role": "rust engineer", "city": "Berlin", "country": "Germany", "num_jobs": 20 }),
        json!({ "query": "there is no such role as this", "location": "Reykjavik" }),
    ] {
        let answer = server
            .ask("tools/call", search(1, arguments.clone())["params"].clone())
            .await;
        let structured = &answer["result"]["structuredContent"];
        let faults: Vec<_> = schema
            .iter_errors(structured)
            .map(|fault| fault.to_string())
            .collect();
        assert!(faults.is_empty(), "{arguments}: {faults:?} in {structured}");
    }
}

/// Item 10: what is marked as public may be shown to anybody, so it MUST NOT depend on who asks.
#[tokio::test]
async fn must_6_10_what_is_public_is_the_same_for_everybody() {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    let (alice, bob) = ("token-of-alice-0123", "token-of-bob-4567890");
    std::fs::write(file.path(), format!("alice {alice}\nbob {bob}\n")).expect("written");
    let path = file.path().to_str().expect("a path");
    let server = TestServer::start(&[("AUTH", "bearer"), ("AUTH_TOKENS_FILE", path)]).await;
    let mut public = 0;
    for method in [
        "server/discover",
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
    ] {
        let message = modern(1, method, json!({}));
        let one = ask(&server, Some(alice), &message).await;
        if one["result"].is_null() {
            assert_eq!(one["error"]["code"], -32601, "{one}");
            continue;
        }
        // 2026-07-28: both MUST be on results of these methods.
        assert!(one["result"]["ttlMs"].as_u64().is_some(), "{one}");
        match one["result"]["cacheScope"].as_str() {
            Some("public") => {
                assert_eq!(one, ask(&server, Some(bob), &message).await);
                public += 1;
            }
            Some("private") => {}
            _ => panic!("{method}: no cacheScope in {one}"),
        }
    }
    assert!(public >= 3, "{public}");
}

/// 2026-07-28: `tools/list` MUST NOT vary per connection, and SHOULD have one order.
#[tokio::test]
async fn lists_are_the_same_over_every_transport_and_each_time() {
    let server = TestServer::start(&[]).await;
    let mut stream = Stream::open(&server).await;
    stream.ask(&server, &initialize(0, "2025-11-25")).await;
    for (list, key) in [("tools/list", "tools"), ("prompts/list", "prompts")] {
        let first = ask(&server, None, &modern(1, list, json!({}))).await;
        let again = ask(&server, None, &modern(1, list, json!({}))).await;
        assert_eq!(first, again);
        let streamed = stream.ask(&server, &request(1, list, json!({}))).await;
        assert_eq!(first["result"][key], streamed["result"][key], "{list}");
    }
}

/// 2026-07-28: every result MUST have `resultType`.
#[tokio::test]
async fn every_result_says_its_type() {
    let server = TestServer::start(&[]).await;
    for message in [
        modern(1, "server/discover", json!({})),
        modern(1, "tools/list", json!({})),
        modern(1, "prompts/list", json!({})),
        modern(
            1,
            "tools/call",
            json!({ "name": "search_jobs", "arguments": { "role": "nurse" } }),
        ),
        modern(
            1,
            "tools/call",
            json!({ "name": "search_jobs", "arguments": { "role": 7 } }),
        ),
        modern(
            1,
            "prompts/get",
            json!({ "name": "analyze_job_market", "arguments": { "role": "nurse" } }),
        ),
    ] {
        let answer = ask(&server, None, &message).await;
        assert_eq!(answer["result"]["resultType"], "complete", "{message}: {answer}");
    }
}

/// How tests begin that hold a MUST; the number follows.
const MUST: &str = "must_";

/// The list in the documentation names tests that there are.
#[test]
fn the_documented_tests_exist() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = std::fs::read_to_string(folder.join("../docs/protocol.md")).expect("the page");
    let mut sources = String::new();
    let mut folders = vec![
        folder.join("src"),
        folder.join("tests"),
        folder.join("../runtime/src"),
    ];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                sources += &std::fs::read_to_string(path).expect("text");
            }
        }
    }
    let tests: Vec<_> = listed
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| {
            name.matches('_').count() >= 3
                && name
                    .bytes()
                    .all(|byte| b"_0123456789".contains(&byte) || byte.is_ascii_lowercase())
        })
        .collect();
    assert!(tests.len() > 20, "{tests:?}");
    for test in tests {
        assert!(
            sources.contains(&format!("fn {test}(")),
            "there is no test {test}"
        );
    }
    // And none is forgotten.
    for must in sources.split(&format!("fn {MUST}")).skip(1) {
        let name = format!("{MUST}{}", must.split('(').next().unwrap_or_default());
        assert!(
            listed.contains(&format!("`{name}`")),
            "{name} is not in docs/protocol.md"
        );
    }
}
