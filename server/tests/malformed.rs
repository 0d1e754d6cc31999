//! Whatever comes in, what goes out is an answer: 2xx, or a 4xx with a JSON-RPC error. Never a 5xx, never a hang.

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestRunner},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Stream, TestServer, initialize, notification, request, search};

/// Inputs a test; `PROPTEST_CASES` asks for more.
const CASES: u32 = 1000;

const PATHS: [&str; 9] = [
    "/",
    "/mcp",
    "/mcp/",
    "/sse",
    "/messages",
    "/messages/?session_id=x",
    "/messages/?session_id=%00&session_id=",
    "/nothing",
    "SESSION",
];

const METHODS: [&str; 6] = ["POST", "POST", "POST", "GET", "DELETE", "BREW"];

const HEADERS: [&str; 8] = [
    "accept",
    "content-type",
    "mcp-protocol-version",
    "mcp-method",
    "mcp-name",
    "mcp-session-id",
    "last-event-id",
    "x-forwarded-for",
];

const VALUES: [&str; 12] = [
    "",
    "*/*",
    "text/event-stream",
    "application/json",
    "application/json, text/event-stream",
    "2024-11-05",
    "2025-11-25",
    "2026-07-28",
    "9999-99-99",
    "tools/call",
    "search_jobs",
    "=?base64?!?=",
];

/// Right messages, to go wrong from.
fn messages() -> Vec<String> {
    let modern = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let mut messages = vec![
        initialize(1, "2025-11-25"),
        request(1, "ping", json!({})),
        request(2, "tools/list", json!({ "_meta": modern })),
        search(
            3,
            json!({ "role": "nurse", "city": "Berlin", "country": "Germany", "num_jobs": 3 }),
        ),
        request(
            4,
            "prompts/get",
            json!({ "name": "generate_resume", "arguments": { "save_directory": "x" } }),
        ),
        request(5, "server/discover", json!({ "_meta": modern })),
        request(6, "completion/complete", json!({ "ref": {}, "argument": {} })),
        request(7, "resources/read", json!({ "uri": "jobs://saved/../x" })),
        request(
            8,
            "subscriptions/listen",
            json!({ "_meta": modern, "notifications": {} }),
        ),
        notification("notifications/cancelled", json!({ "requestId": 3 })),
        notification("notifications/initialized", json!({})),
        json!({ "jsonrpc": "2.0", "id": 9, "result": {} }),
        json!({ "jsonrpc": "2.0", "id": 9, "error": { "code": 1, "message": "x" } }),
        json!([request(1, "ping", json!({}))]),
    ];
    messages.push(Value::String("x".repeat(10_000)));
    let deep = "[".repeat(5_000) + &"]".repeat(5_000);
    messages.iter().map(Value::to_string).chain([deep]).collect()
}

/// What happens to a message.
#[derive(Debug, Clone)]
enum Edit {
    Byte(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    /// A value takes the place of another one, found by its colon.
    Value(Index, &'static str),
}

fn edits() -> impl Strategy<Value = Edit> {
    let values = select(vec![
        "null",
        "true",
        "-1",
        "1e999",
        "18446744073709551616",
        "\"\"",
        "\"\\ud800\"",
        "[]",
        "{}",
        "[[[[]]]]",
        "{\"\":{}}",
        "0.1",
        "\"a\\u0000b\"",
    ]);
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Byte(at, byte)),
        any::<Index>().prop_map(Edit::Cut),
        (any::<Index>(), vec(any::<u8>(), 0..20)).prop_map(|(at, more)| Edit::Insert(at, more)),
        (any::<Index>(), values).prop_map(|(at, value)| Edit::Value(at, value)),
    ]
}

fn edit(mut message: Vec<u8>, edit: &Edit) -> Vec<u8> {
    if message.is_empty() {
        return message;
    }
    match edit {
        Edit::Byte(at, byte) => {
            let at = at.index(message.len());
            message[at] = *byte;
        }
        Edit::Cut(at) => message.truncate(at.index(message.len())),
        Edit::Insert(at, more) => {
            let at = at.index(message.len());
            message.splice(at..at, more.iter().copied());
        }
        Edit::Value(at, value) => {
            let colons: Vec<_> = (0..message.len()).filter(|at| message[*at] == b':').collect();
            if let Some(start) = (!colons.is_empty()).then(|| colons[at.index(colons.len())] + 1) {
                let length = message[start..]
                    .iter()
                    .position(|byte| b",}".contains(byte))
                    .unwrap_or(0);
                message.splice(start..start + length, value.bytes());
            }
        }
    }
    message
}

/// One request of anybody's.
#[derive(Debug, Clone)]
struct Odd {
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Option<Vec<u8>>,
}

fn odd() -> impl Strategy<Value = Odd> {
    let mutated = (select(messages()), vec(edits(), 0..4))
        .prop_map(|(message, made)| made.iter().fold(message.into_bytes(), edit));
    let body = prop_oneof![4 => mutated, 1 => vec(any::<u8>(), 0..200)];
    let headers = vec((select(HEADERS.to_vec()), select(VALUES.to_vec())), 0..5);
    (
        select(METHODS.to_vec()),
        select(PATHS.to_vec()),
        headers,
        option::weighted(0.9, body),
    )
        .prop_map(|(method, path, headers, body)| Odd {
            method,
            path,
            headers,
            body,
        })
}

/// Sends it, and says what is wrong with the answer.
async fn judge(server: &TestServer, endpoint: &str, odd: &Odd) -> Result<(), String> {
    let path = if odd.path == "SESSION" { endpoint } else { odd.path };
    let method = Method::from_bytes(odd.method.as_bytes()).expect("a method");
    let mut sent = server.client.request(method, server.url(path));
    for (name, value) in &odd.headers {
        sent = sent.header(*name, *value);
    }
    let answer = sent.body(odd.body.clone().unwrap_or_default()).send().await;
    // A stream without end is an answer too: of those only the head is read.
    let answer = answer.map_err(|error| format!("no answer: {error:?}"))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let body = answer
        .text()
        .await
        .map_err(|error| format!("{status} and no body: {error:?}"))?;
    let told = serde_json::from_str::<Value>(&body).unwrap_or_default();
    let is_error =
        told["jsonrpc"] == "2.0" && told["error"]["code"].is_i64() && told["error"]["message"].is_string();
    if status.is_client_error() && is_error {
        Ok(())
    } else {
        Err(format!("{status}: {body}"))
    }
}

#[test]
fn whatever_comes_in_is_answered() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (server, stream) = runtime.block_on(async {
        let server = TestServer::start(&[("RATE_LIMIT", "0")]).await;
        let stream = Stream::open(&server).await;
        (server, stream)
    });
    let endpoint = stream.endpoint.clone();
    // Somebody reads, or the session would be refused, and rightly.
    runtime.spawn(async move {
        let mut stream = stream;
        while stream.event().await.is_some() {}
    });
    let config = Config {
        cases: std::env::var("PROPTEST_CASES").map_or(CASES, |cases| cases.parse().expect("a number")),
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&odd(), |odd| {
        runtime
            .block_on(judge(&server, &endpoint, &odd))
            .map_err(TestCaseError::fail)
    });
    outcome.expect("every one is answered");
    let pong = runtime.block_on(server.ask("ping", json!({})));
    assert_eq!(pong["result"], json!({}));
}
