//! The short way of a plain call: whatever comes, the answer is the one that rmcp gives.

use proptest::{prelude::*, test_runner::TestRunner};
use reqwest::{
    StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use serde_json::json;

use crate::support::{Stream, TestServer, initialize, search};

/// Takes the short way, if the rest of the request does.
const PLAIN: &str = "application/json, text/event-stream";

/// Says the same, and never takes it.
const WEIGHED: &str = "application/json;q=1, text/event-stream;q=1";

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search_jobs","arguments":{"role":"nurse","location":"London, UK"}}}"#;

const MODERN: &str = r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"}},"name":"search_jobs","arguments":{"role":"nurse"}}}"#;

/// What a request is answered: status, headers, body.
async fn answer(
    server: &TestServer,
    accept: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (StatusCode, HeaderMap, String) {
    let mut all = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().expect("a name");
        all.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    all.insert("accept", accept.parse().expect("a value"));
    let sent = server
        .client
        .post(server.url("/mcp"))
        .headers(all)
        .body(body.to_owned());
    let answer = sent.send().await.expect("answered");
    let status = answer.status();
    let mut headers = answer.headers().clone();
    for changing in ["date", "x-request-id", "x-session-id"] {
        headers.remove(changing);
    }
    (status, headers, answer.text().await.expect("text"))
}

async fn both(server: &TestServer, headers: &[(&str, &str)], body: &str) -> (StatusCode, String) {
    let short = answer(server, PLAIN, headers, body).await;
    // The second is written down, the third is what was written.
    for _ in 0..2 {
        let again = answer(server, PLAIN, headers, body).await;
        assert_eq!(short, again, "{headers:?} {body}");
    }
    let long = answer(server, WEIGHED, headers, body).await;
    assert_eq!(short, long, "{headers:?} {body}");
    (short.0, short.2)
}

/// Each body with each set of headers.
fn bodies() -> Vec<String> {
    let replaced = |from: &str, to: &str| {
        assert!(CALL.contains(from), "{from}");
        CALL.replacen(from, to, 1)
    };
    let modern = |from: &str, to: &str| {
        assert!(MODERN.contains(from), "{from}");
        MODERN.replacen(from, to, 1)
    };
    vec![
        CALL.to_owned(),
        MODERN.to_owned(),
        replaced("\"id\":1", "\"id\":\"\u{e4}\\n\""),
        replaced("\"id\":1", "\"id\":-7"),
        replaced("\"id\":1", "\"id\":1.5"),
        replaced("\"id\":1", "\"id\":1e2"),
        replaced("\"id\":1", "\"id\":18446744073709551615"),
        replaced("\"id\":1", "\"id\":null"),
        replaced("\"id\":1", "\"id\":[1]"),
        replaced("\"id\":1,", ""),
        replaced("\"id\":1", "\"id\":1,\"id\":2"),
        replaced("\"2.0\"", "\"1.0\""),
        replaced("\"jsonrpc\":\"2.0\",", ""),
        replaced("tools/call", "tools/\\u0063all"),
        replaced("tools/call", "tools/list"),
        replaced("tools/call", "prompts/get"),
        replaced("\"method\"", "\"result\":1,\"method\""),
        replaced("\"method\"", "\"more\":1,\"method\""),
        replaced("\"search_jobs\"", "\"search_job\""),
        replaced("\"search_jobs\"", "null"),
        replaced("\"name\"", "\"task\":{},\"name\""),
        replaced("\"name\"", "\"_meta\":null,\"name\""),
        replaced("\"name\"", "\"_meta\":{},\"name\""),
        replaced("\"name\"", "\"_meta\":{\"progressToken\":1},\"name\""),
        replaced(
            "\"name\"",
            "\"_meta\":{\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"},\"name\"",
        ),
        replaced("\"name\"", "\"_meta\":[],\"name\""),
        replaced("\"name\"", "\"requestState\":\"s\",\"name\""),
        replaced("\"name\"", "\"inputResponses\":{},\"name\""),
        replaced("\"role\":\"nurse\"", "\"role\":7"),
        replaced("\"role\":\"nurse\"", "\"role\":\"\""),
        replaced("\"role\":\"nurse\"", "\"role\":null"),
        replaced("\"role\":\"nurse\"", "\"role\":\"nurse\",\"role\":\"welder\""),
        replaced("\"role\":\"nurse\"", "\"query\":\"nurse\",\"num_jobs\":1.0"),
        replaced("\"role\":\"nurse\"", "\"query\":\"nurse\",\"num_jobs\":1e400"),
        replaced(
            "\"role\":\"nurse\"",
            "\"query\":\"nurse\",\"num_jobs\":99999999999999999999",
        ),
        replaced("\"role\":\"nurse\"", "\"role\":\"\\ud800\""),
        replaced(
            "\"location\":\"London, UK\"",
            "\"location\":\"Atlantis\",\"platform\":\"none\"",
        ),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search_jobs"}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":null}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#.to_owned(),
        format!("{CALL}x"),
        format!(" {CALL}\n"),
        format!("[{CALL}]"),
        CALL[..CALL.len() - 1].to_owned(),
        modern("2026-07-28", "2025-11-25"),
        modern("2026-07-28", "2099-01-01"),
        modern("\"2026-07-28\"", "7"),
        modern("\"io.modelcontextprotocol/clientCapabilities\":{},", ""),
        modern("clientCapabilities\":{}", "clientCapabilities\":7"),
        modern(
            "clientCapabilities\":{}",
            "clientCapabilities\":{\"elicitation\":{}}",
        ),
        modern("{\"name\":\"t\",\"version\":\"1\"}", "7"),
        modern("\"_meta\":{", "\"_meta\":{\"progressToken\":\"t\","),
        modern("\"_meta\":{", "\"_meta\":{\"more\":{\"deep\":[1,2]},"),
        modern("\"role\"", "\"place\""),
        modern("search_jobs", "search_job"),
    ]
}

const JSON: (&str, &str) = ("content-type", "application/json");

fn heads() -> Vec<Vec<(&'static str, &'static str)>> {
    let version = |version| ("mcp-protocol-version", version);
    let (method, name) = (("mcp-method", "tools/call"), ("mcp-name", "search_jobs"));
    vec![
        vec![JSON],
        vec![JSON, version("2024-11-05")],
        vec![JSON, version("2025-03-26")],
        vec![JSON, version("2025-06-18")],
        vec![JSON, version("2025-11-25")],
        vec![JSON, version("2025-11-25"), version("2026-07-28")],
        vec![JSON, version("2025-11-25"), ("mcp-method", "tools/list")],
        vec![JSON, version("2099-01-01")],
        vec![JSON, version("\u{e4}")],
        vec![
            ("content-type", "application/json; charset=utf-8"),
            version("2025-11-25"),
        ],
        vec![("content-type", "text/plain")],
        vec![],
        vec![JSON, version("2026-07-28"), method, name],
        vec![JSON, version("2026-07-28"), method],
        vec![JSON, version("2026-07-28"), name],
        vec![JSON, version("2026-07-28"), method, method, name],
        vec![JSON, version("2026-07-28"), method, name, name],
        vec![JSON, version("2026-07-28"), ("mcp-method", "tools/list"), name],
        vec![JSON, version("2026-07-28"), method, ("mcp-name", "search_job")],
        vec![
            JSON,
            version("2026-07-28"),
            method,
            ("mcp-name", "=?base64?c2VhcmNoX2pvYnM=?="),
        ],
        vec![
            JSON,
            version("2026-07-28"),
            method,
            name,
            ("mcp-param-role", "welder"),
        ],
        vec![JSON, version("2026-07-28"), method, name, ("mcp-session-id", "x")],
    ]
}

#[tokio::test]
async fn whatever_is_sent_is_answered_as_rmcp_answers_it() {
    let server = TestServer::start(&[("RATE_LIMIT", "0")]).await;
    for headers in heads() {
        for body in bodies() {
            both(&server, &headers, &body).await;
        }
    }
    let (status, text) = both(&server, &[JSON], CALL).await;
    assert!(status.is_success() && text.contains("Registered Nurse"), "{text}");
}

/// Bytes of real calls, cut, doubled and exchanged.
#[tokio::test(flavor = "multi_thread")]
async fn broken_calls_are_answered_as_rmcp_answers_them() {
    let server = TestServer::start(&[("RATE_LIMIT", "0")]).await;
    let runtime = tokio::runtime::Handle::current();
    let change = (
        any::<bool>(),
        any::<prop::sample::Index>(),
        0..4usize,
        prop::collection::vec("[ -~]{0,3}", 1),
    );
    tokio::task::block_in_place(|| {
        TestRunner::new(ProptestConfig::with_cases(300))
            .run(&change, |(modern, at, gone, put)| {
                let body = if modern { MODERN } else { CALL };
                let at = at.index(body.len());
                let end = (at + gone).min(body.len());
                let body = [&body[..at], &put[0], &body[end..]].concat();
                let version = if modern { "2026-07-28" } else { "2025-11-25" };
                let headers = [
                    JSON,
                    ("mcp-protocol-version", version),
                    ("mcp-method", "tools/call"),
                    ("mcp-name", "search_jobs"),
                ];
                runtime.block_on(both(&server, &headers, &body));
                Ok(())
            })
            .expect("the same answers");
    });
}

/// Over SSE nothing in a request says which way it takes but its message: one more member, and it is rmcp's.
#[tokio::test]
async fn over_sse_a_plain_call_and_another_are_answered_alike() {
    let server = TestServer::start(&[]).await;
    let mut stream = Stream::open(&server).await;
    stream.ask(&server, &initialize(0, "2025-06-18")).await;
    for arguments in [
        json!({ "role": "nurse", "location": "London" }),
        json!({ "role": "qwxzy" }),
        json!({ "role": "nurse", "num_jobs": "many" }),
    ] {
        let plain = search(1, arguments);
        let mut other = plain.clone();
        other["params"]["more"] = json!(true);
        let answer = stream.ask(&server, &plain).await;
        for _ in 0..2 {
            assert_eq!(answer, stream.ask(&server, &plain).await);
        }
        assert_eq!(answer, stream.ask(&server, &other).await);
        assert!(answer["result"]["content"][0]["text"].is_string(), "{answer}");
    }
}
