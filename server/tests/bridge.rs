//! Programs that speak on stdin and stdout, served over HTTP.

mod program;
mod sessions;

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use self::program::command;
use crate::support::{DEADLINE, Stream, TestServer, error_of, initialize, modern, notification, request};

async fn bridge(mode: &str, arguments: &[&str]) -> TestServer {
    let command = command(mode);
    let all: Vec<&str> = arguments
        .iter()
        .copied()
        .chain(command.iter().map(String::as_str))
        .collect();
    TestServer::bridge(&[], &all).await
}

fn call(id: u64, tool: &str) -> Value {
    request(id, "tools/call", json!({ "name": tool }))
}

/// A session over Streamable HTTP.
struct Session<'a> {
    server: &'a TestServer,
    id: String,
    hello: Value,
}

impl<'a> Session<'a> {
    async fn begin(server: &'a TestServer) -> Self {
        let answer = server.post("/mcp", &initialize(0, "2025-06-18")).send().await;
        let answer = answer.expect("answered");
        assert_eq!(answer.status(), StatusCode::OK);
        let id = answer.headers()["mcp-session-id"]
            .to_str()
            .expect("text")
            .to_owned();
        let hello = answer.json().await.expect("JSON");
        let session = Self { server, id, hello };
        let told = session
            .post(&notification("notifications/initialized", json!({})))
            .await;
        assert_eq!(told.status(), StatusCode::ACCEPTED);
        session
    }

    async fn post(&self, message: &Value) -> Response {
        let request = self
            .server
            .post("/mcp", message)
            .header("Mcp-Session-Id", &self.id);
        let request = request.header("MCP-Protocol-Version", "2025-06-18");
        request.send().await.expect("answered")
    }

    async fn ask(&self, message: &Value) -> Value {
        let answer = self.post(message).await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.expect("JSON")
    }

    async fn pid(&self) -> Value {
        self.ask(&call(90, "pid")).await["result"]["pid"].clone()
    }

    async fn delete(&self) -> StatusCode {
        let request = self.server.client.delete(self.server.url("/mcp"));
        let answer = request.header("Mcp-Session-Id", &self.id).send().await;
        answer.expect("answered").status()
    }
}

/// The messages of a stream that ends.
async fn messages(answer: Response) -> Vec<Value> {
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let text = answer.text().await.expect("text");
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).expect("JSON"))
        .collect()
}

#[tokio::test]
async fn each_session_is_a_process_and_messages_pass_as_they_are() {
    let server = bridge("refuses", &[]).await;
    let (one, two) = (Session::begin(&server).await, Session::begin(&server).await);
    assert_eq!(one.hello["result"]["x-unknown"], json!({"kept": [1.5, null]}));
    let listed = one.post(&request(1, "tools/list", json!({}))).await.text().await;
    let listed = listed.expect("text");
    assert!(listed.contains(r#""x-more":1"#), "{listed}");
    assert_ne!(one.pid().await, two.pid().await);
    assert_eq!(one.pid().await, one.pid().await);
    let params = json!({"name": "params", "x-more": {"a": [1]}, "_meta": {"mine": 2}});
    let answer = two.ask(&request(7, "tools/call", params.clone())).await;
    assert_eq!((&answer["id"], &answer["result"]["params"]), (&json!(7), &params));
    let exact = two.post(&call(8, "exact")).await.text().await;
    assert_eq!(exact.expect("text").trim_end(), program::EXACT.replace("ID", "8"));
    let told = error_of(two.post(&json!({"jsonrpc": "2.0", "id": 1})).await).await;
    assert_eq!((told.0, told.1), (400, -32600));

    assert_eq!(one.delete().await, StatusCode::NO_CONTENT);
    let (status, _, message) = error_of(one.post(&call(2, "pid")).await).await;
    assert!(status == 404 && message.contains("begin a new one"), "{message}");
    two.pid().await;
}

#[tokio::test]
async fn what_a_call_says_before_its_answer_comes_with_it() {
    let server = bridge("refuses", &[]).await;
    let session = Session::begin(&server).await;
    let params = json!({"name": "progress", "_meta": {"progressToken": "mine"}});
    let said = messages(session.post(&request(4, "tools/call", params)).await).await;
    assert_eq!(said.len(), 3, "{said:?}");
    for (told, progress) in said.iter().zip([1, 2]) {
        let params = json!({"progressToken": "mine", "progress": progress, "x-more": [2.5]});
        assert_eq!(told["params"], params);
    }
    assert_eq!(
        (&said[2]["id"], &said[2]["result"]["x-unknown"]),
        (&json!(4), &json!(1.5))
    );
}

#[tokio::test]
async fn a_program_asks_its_client_and_nobody_else() {
    let server = bridge("refuses", &[]).await;
    let (one, other) = (Session::begin(&server).await, Session::begin(&server).await);
    let open = |session: &Session<'_>| {
        let request = server.get("/mcp").header("Accept", "text/event-stream");
        request.header("Mcp-Session-Id", &session.id).send()
    };
    // Over the stream that the client opened.
    let mut stream = open(&one).await.expect("answered");
    let mut silent = open(&other).await.expect("answered");
    let question = call(1, "ask");
    let asking = one.post(&question);
    let answering = async {
        let chunk = tokio::time::timeout(DEADLINE, stream.chunk())
            .await
            .expect("in time");
        let text = String::from_utf8(chunk.expect("read").expect("an event").to_vec()).expect("text");
        assert!(text.contains("sampling/createMessage"), "{text}");
        let answer = json!({"jsonrpc": "2.0", "id": "q", "result": {"role": "assistant", "x": 1}});
        assert_eq!(one.post(&answer).await.status(), StatusCode::ACCEPTED);
    };
    let (answer, ()) = tokio::join!(asking, answering);
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!(answer["result"]["answered"]["result"]["x"], 1);
    let other_heard = tokio::time::timeout(Duration::from_millis(100), silent.chunk()).await;
    assert!(other_heard.is_err(), "{other_heard:?}");

    // Without a stream, over the call's own.
    let third = Session::begin(&server).await;
    let mut asked = third.post(&call(2, "ask")).await;
    let chunk = asked.chunk().await.expect("read").expect("an event");
    assert!(String::from_utf8_lossy(&chunk).contains("sampling/createMessage"));
    let answer = json!({"jsonrpc": "2.0", "id": "q", "error": {"code": -1, "message": "no"}});
    third.post(&answer).await;
    let chunk = asked.chunk().await.expect("read").expect("an event");
    assert!(String::from_utf8_lossy(&chunk).contains(r#""id":2"#));
}

#[tokio::test]
async fn requests_that_stand_alone_share_a_process_that_knows_older_versions() {
    for mode in ["refuses", "exits", "ignores"] {
        let server = bridge(mode, &[]).await;
        let found = modern::ask(&server, "server/discover", json!({})).await;
        let result = &found["result"];
        assert_eq!(
            result["supportedVersions"],
            json!(["2026-07-28", "2025-11-25"]),
            "{found}"
        );
        assert_eq!(result["capabilities"], json!({"tools": {}}));
        assert_eq!(
            result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
            "fixture"
        );
        let listed = modern::ask(&server, "tools/list", json!({})).await;
        let tool = json!({"name": "echo", "inputSchema": {"type": "object"}, "x-more": 1});
        assert_eq!(
            listed["result"],
            json!({"tools": [tool], "resultType": "complete", "ttlMs": 0, "cacheScope": "private"})
        );
        let pid = || async {
            modern::ask(&server, "tools/call", json!({"name": "pid"})).await["result"]["pid"].clone()
        };
        assert_eq!(pid().await, pid().await);
        let params = json!({"name": "params", "arguments": {"a": 1}, "x-more": 1});
        let answer = modern::ask(&server, "tools/call", params.clone()).await;
        assert_eq!(
            (&answer["id"], &answer["result"]["params"]),
            (&json!(1), &params),
            "without what is new"
        );
    }
}

#[tokio::test]
async fn a_request_that_stands_alone_is_checked_told_of_and_cancelled() {
    let server = bridge("refuses", &["--protocol", "legacy"]).await;
    let message = modern::message("tools/call", json!({"name": "pid"}), &json!({}));
    let wrong = modern::post(&server, &message)
        .header("Mcp-Name", "other")
        .send()
        .await;
    assert_eq!(error_of(wrong.expect("answered")).await.1, -32020);
    for method in ["subscriptions/listen", "no/such"] {
        let message = modern::message(method, json!({}), &json!({}));
        let unknown = modern::post(&server, &message).send().await.expect("answered");
        let (status, code, _) = error_of(unknown).await;
        assert_eq!((status, code), (404, -32601), "{method}");
    }
    let params = json!({"name": "progress", "_meta": {"progressToken": "t"}});
    let message = modern::message("tools/call", params, &json!({}));
    let said = messages(modern::post(&server, &message).send().await.expect("answered")).await;
    assert_eq!(said[1]["params"]["progressToken"], "t");
    assert_eq!(
        (&said[2]["id"], &said[2]["result"]["resultType"]),
        (&json!(1), &json!("complete"))
    );

    let waiting = modern::post(
        &server,
        &modern::message("tools/call", json!({"name": "wait"}), &json!({})),
    );
    let left = tokio::time::timeout(Duration::from_millis(200), waiting.send()).await;
    assert!(left.is_err(), "it is not answered");
    let cancelled = async {
        loop {
            let told = modern::ask(&server, "tools/call", json!({"name": "cancelled"})).await;
            if told["result"]["requests"]
                .as_array()
                .is_some_and(|list| list.len() == 1)
            {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, cancelled).await.expect("in time");
}

#[tokio::test]
async fn the_older_transport() {
    let server = bridge("refuses", &[]).await;
    let mut stream = Stream::open(&server).await;
    assert!(
        stream.endpoint.starts_with("/messages/?session_id="),
        "{}",
        stream.endpoint
    );
    let hello = stream.ask(&server, &initialize(0, "2024-11-05")).await;
    assert_eq!(hello["result"]["x-unknown"]["kept"], json!([1.5, null]));
    stream
        .send(&server, &notification("notifications/initialized", json!({})))
        .await;
    let params = json!({"name": "progress", "_meta": {"progressToken": 5}});
    stream.send(&server, &request(2, "tools/call", params)).await;
    for progress in [1, 2] {
        assert_eq!(stream.message().await["params"]["progress"], progress);
    }
    assert_eq!(stream.message().await["id"], 2);
    stream.send(&server, &call(3, "ask")).await;
    assert_eq!(stream.message().await["method"], "sampling/createMessage");
    stream
        .send(&server, &json!({"jsonrpc": "2.0", "id": "q", "result": {"y": 1}}))
        .await;
    assert_eq!(stream.message().await["result"]["answered"]["result"]["y"], 1);
    drop(stream);
    server.until_metric("iam_mcp_bridge_sessions 0").await;
    server
        .until_metric(r#"iam_mcp_bridge_sessions_ended_total{cause="client"} 1"#)
        .await;
}

/// Its settings are not the program's.
#[tokio::test]
async fn the_program_has_the_environment_without_the_bridges_settings() {
    let own = command("refuses");
    let shell = "export PORT=1 KEY=2; exec \"$@\"";
    let given: Vec<&str> = ["--", "env", "KEY=2", "sh", "-c", shell, "sh"]
        .into_iter()
        .chain(own[1..].iter().map(String::as_str))
        .collect();
    let server = TestServer::bridge(&[], &given).await;
    let value = |name: &'static str| {
        let server = &server;
        async move {
            let params = json!({"name": "variable", "arguments": {"name": name}});
            modern::ask(server, "tools/call", params).await["result"]["value"].clone()
        }
    };
    assert_eq!(value("KEY").await, "2");
    assert_eq!(
        value("PORT").await,
        "1",
        "what is set behind `--` is the program's"
    );
    assert_eq!(value("LOG_LEVEL").await, Value::Null);
}

/// This project's own server, behind itself.
#[tokio::test]
async fn a_program_of_both_eras() {
    let own = env!("CARGO_BIN_EXE_iam-mcp-server");
    let server = TestServer::bridge(&[], &["--", own, "stdio"]).await;
    let found = modern::ask(&server, "server/discover", json!({})).await;
    let versions = found["result"]["supportedVersions"].as_array().expect("versions");
    assert!(versions.contains(&json!("2026-07-28")), "{found}");
    let params = json!({"name": "search_jobs", "arguments": {"role": "engineer"}});
    let answer = modern::ask(&server, "tools/call", params.clone()).await;
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    let session = Session::begin(&server).await;
    let listed = session.ask(&request(1, "tools/list", json!({}))).await;
    assert!(
        listed["result"]["tools"]
            .as_array()
            .is_some_and(|tools| !tools.is_empty())
    );
    let mut stream = Stream::open(&server).await;
    stream.ask(&server, &initialize(0, "2024-11-05")).await;
    let answer = stream.ask(&server, &request(2, "tools/call", params)).await;
    assert!(answer["result"]["content"].is_array(), "{answer}");
}
