//! A search without a role: where the client can ask, the person is asked.

use serde_json::{Value, json};

use crate::{
    stdio::Process,
    support::{Replicas, Stream, TestServer, modern, request, search},
};

/// Opens a conversation as a client that can show forms, or not.
fn initialize(version: &str, capabilities: Value) -> Value {
    let client = json!({ "name": "test", "version": "1" });
    request(
        1,
        "initialize",
        json!({ "protocolVersion": version, "capabilities": capabilities, "clientInfo": client }),
    )
}

fn forms() -> Value {
    json!({ "elicitation": {} })
}

fn accepted(question: &Value, content: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": question["id"], "result": { "action": "accept", "content": content } })
}

fn without_role(id: u64) -> Value {
    search(id, json!({ "num_jobs": 1 }))
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().expect("text")
}

fn assert_asks(question: &Value) {
    assert_eq!(question["method"], "elicitation/create", "{question}");
    let schema = &question["params"]["requestedSchema"];
    assert_eq!(
        (&schema["type"], &schema["required"]),
        (&json!("object"), &json!(["role"])),
        "{question}"
    );
    assert_eq!(schema["properties"]["role"]["type"], "string");
}

#[tokio::test]
async fn over_a_stream_the_answer_goes_to_the_call_that_asked() {
    let server = TestServer::start(&[]).await;
    let mut stream = Stream::open(&server).await;
    stream.ask(&server, &initialize("2025-06-18", forms())).await;
    // Two calls of one session at once, answered the other way round.
    stream.send(&server, &without_role(2)).await;
    let first = stream.message().await;
    stream.send(&server, &without_role(3)).await;
    let second = stream.message().await;
    assert_asks(&first);
    assert_asks(&second);
    assert_ne!(first["id"], second["id"]);
    stream
        .send(&server, &accepted(&second, json!({ "role": "chef" })))
        .await;
    let answer = stream.message().await;
    assert_eq!(
        (&answer["id"], &answer["result"]["isError"]),
        (&json!(3), &json!(false))
    );
    assert_eq!(answer["result"]["structuredContent"]["jobs"][0]["title"], "Chef");
    // A second answer to the same question is to nothing.
    stream
        .send(&server, &accepted(&second, json!({ "role": "nurse" })))
        .await;
    stream
        .send(&server, &accepted(&first, json!({ "role": " nurse " })))
        .await;
    let answer = stream.message().await;
    assert_eq!(answer["id"], 2);
    assert_eq!(
        answer["result"]["structuredContent"]["jobs"][0]["title"],
        "Registered Nurse"
    );
}

#[tokio::test]
async fn whoever_declines_cancels_or_says_nothing_is_taken_at_their_word() {
    let server = TestServer::start(&[]).await;
    let mut stream = Stream::open(&server).await;
    stream
        .ask(
            &server,
            &initialize("2025-11-25", json!({ "elicitation": { "form": {} } })),
        )
        .await;
    for (id, reply, words) in [
        (2, json!({ "result": { "action": "decline" } }), "declined"),
        (3, json!({ "result": { "action": "cancel" } }), "cancelled"),
        (
            4,
            json!({ "result": { "action": "accept", "content": { "role": " " } } }),
            "holds none",
        ),
        (5, json!({ "result": { "action": "accept" } }), "holds none"),
        (6, json!({ "result": { "something": "else" } }), "holds none"),
        (
            7,
            json!({ "error": { "code": -32601, "message": "no forms here" } }),
            "holds none",
        ),
    ] {
        stream.send(&server, &without_role(id)).await;
        let question = stream.message().await;
        assert_asks(&question);
        let mut reply = reply;
        reply["jsonrpc"] = "2.0".into();
        reply["id"] = question["id"].clone();
        stream.send(&server, &reply).await;
        let answer = stream.message().await;
        assert_eq!(
            (&answer["id"], &answer["result"]["isError"]),
            (&json!(id), &json!(true))
        );
        assert!(text(&answer).contains(words), "{words}: {answer}");
    }
}

#[tokio::test]
async fn whoever_cannot_be_asked_is_told_what_is_missing() {
    let server = TestServer::start(&[]).await;
    for (version, capabilities) in [
        ("2025-11-25", json!({})),
        ("2025-11-25", json!({ "elicitation": { "url": {} } })),
        // It came with 2025-06-18.
        ("2025-03-26", forms()),
    ] {
        let mut stream = Stream::open(&server).await;
        stream
            .ask(&server, &initialize(version, capabilities.clone()))
            .await;
        let answer = stream.ask(&server, &without_role(2)).await;
        assert!(
            text(&answer).contains("role is missing"),
            "{version} {capabilities}: {answer}"
        );
    }
    // No way back, whatever the client says of itself.
    let mut call = without_role(1);
    call["params"]["_meta"] = json!({ "io.modelcontextprotocol/clientCapabilities": forms() });
    let answer = server
        .post("/mcp", &call)
        .header("MCP-Protocol-Version", "2025-11-25");
    let answer: Value = answer.send().await.expect("answered").json().await.expect("JSON");
    assert!(text(&answer).contains("role is missing"), "{answer}");
    let answer = modern::ask(
        &server,
        "tools/call",
        json!({ "name": "search_jobs", "arguments": {} }),
    )
    .await;
    assert!(text(&answer).contains("role is missing"), "{answer}");
}

/// The answer may come to any replica; the one that has the stream gets it.
#[tokio::test]
async fn an_answer_to_another_replica_finds_its_call() {
    let replicas = Replicas::new();
    let (one, two) = (replicas.start(1).await, replicas.start(2).await);
    let mut stream = Stream::open(&one).await;
    stream.ask(&two, &initialize("2025-06-18", forms())).await;
    stream.send(&two, &without_role(2)).await;
    let question = stream.message().await;
    assert_asks(&question);
    stream
        .send(&two, &accepted(&question, json!({ "role": "chef" })))
        .await;
    let answer = stream.message().await;
    assert_eq!(
        answer["result"]["structuredContent"]["jobs"][0]["title"], "Chef",
        "{answer}"
    );
}

/// A drain lets go of a session, but not of its calls in flight: neither of one that waits for a person.
#[tokio::test]
async fn an_answer_reaches_a_session_that_is_let_go_of() {
    let server = TestServer::start(&[]).await;
    let mut stream = Stream::open(&server).await;
    stream.ask(&server, &initialize("2025-06-18", forms())).await;
    stream.send(&server, &without_role(2)).await;
    let question = stream.message().await;
    let post = server
        .client
        .post(server.url(&stream.endpoint))
        .json(&accepted(&question, json!({ "role": "chef" })));
    server.shutdown.stop();
    server.until_metric("iam_mcp_draining 1").await;
    assert_eq!(post.send().await.expect("answered").status(), 202);
    let answer = stream.message().await;
    assert_eq!(
        answer["result"]["structuredContent"]["jobs"][0]["title"], "Chef",
        "{answer}"
    );
}

/// 2026-07-28: the question is the result, and the next call says everything, to whatever replica.
#[tokio::test]
async fn clients_of_2026_07_28_ask_and_call_again() {
    let (one, two) = (TestServer::start(&[]).await, TestServer::start(&[]).await);
    let capabilities = json!({ "elicitation": { "form": {} } });
    let call = json!({ "name": "search_jobs", "arguments": { "num_jobs": 1 } });
    let ask = async |server: &TestServer, params: Value| -> Value {
        let message = modern::message("tools/call", params, &capabilities);
        let answer = modern::post(server, &message).send().await.expect("answered");
        answer.json().await.expect("JSON")
    };
    let first = ask(&one, call.clone()).await;
    assert_eq!(first["result"]["resultType"], "input_required", "{first}");
    assert_eq!(
        first["result"].get("requestState"),
        None,
        "there is nothing to forge"
    );
    assert_asks(&first["result"]["inputRequests"]["role"]);
    one.until_metric("iam_mcp_tool_calls_total{tool=\"search_jobs\",outcome=\"input_required\"} 1")
        .await;
    for (reply, words) in [
        (
            json!({ "action": "accept", "content": { "role": "chef" } }),
            "for \"chef\"",
        ),
        (json!({ "action": "decline" }), "declined"),
        (json!({ "action": "cancel" }), "cancelled"),
        (json!({ "action": "accept", "content": {} }), "holds none"),
        (json!("nonsense"), "holds none"),
    ] {
        let mut again = call.clone();
        again["inputResponses"] = json!({ "role": reply });
        let answer = ask(&two, again).await;
        assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
        assert!(text(&answer).contains(words), "{words}: {answer}");
    }
    // Answers to something else: it is asked again.
    let mut other = call.clone();
    other["inputResponses"] = json!({ "age": { "action": "accept", "content": { "age": 7 } } });
    assert_eq!(ask(&two, other).await["result"]["resultType"], "input_required");
}

#[tokio::test]
async fn over_stdio_in_both_eras() {
    let mut process = Process::start(&["stdio"], &[("SAVED_JOBS", "off")]);
    process.ask(&initialize("2025-06-18", forms())).await;
    process.send(&without_role(2)).await;
    let question = process.next().await;
    assert_asks(&question);
    process
        .send(&accepted(&question, json!({ "role": "chef" })))
        .await;
    let answer = process.next().await;
    assert_eq!(
        answer["result"]["structuredContent"]["jobs"][0]["title"], "Chef",
        "{answer}"
    );

    let mut process = Process::start(&["stdio"], &[("SAVED_JOBS", "off")]);
    let call = json!({ "name": "search_jobs", "arguments": {} });
    let first = process
        .ask(&modern::message("tools/call", call.clone(), &forms()))
        .await;
    assert_eq!(first["result"]["resultType"], "input_required", "{first}");
    let mut again = call;
    again["inputResponses"] = json!({ "role": { "action": "accept", "content": { "role": "chef" } } });
    let answer = process.ask(&modern::message("tools/call", again, &forms())).await;
    assert_eq!(
        answer["result"]["structuredContent"]["jobs"][0]["title"], "Chef",
        "{answer}"
    );
}
