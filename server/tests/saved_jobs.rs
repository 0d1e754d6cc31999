//! Jobs that clients keep: the tools, and the resources that they are.

use serde_json::{Value, json};

use crate::support::{Stream, TestServer, initialize, modern, notification, request, search};

/// A server with a data folder of its own.
pub(crate) struct Keeper {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) server: TestServer,
}

impl Keeper {
    pub(crate) async fn start(more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let root = folder.path().to_str().expect("text").to_owned();
        let server = TestServer::start(&[more, &[("IAM_DATA_ROOT", &root)]].concat()).await;
        Self { folder, server }
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Value {
        let params = json!({ "name": tool, "arguments": arguments });
        let answer = self.server.ask("tools/call", params).await;
        answer["result"].clone()
    }
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().expect("text")
}

/// The resource that everybody sees.
const CARDS: &str = "ui://iam-mcp-server/job-cards.html";

/// Of the resources of an answer, in their order.
fn uris(answer: &Value) -> Vec<&str> {
    let listed = answer["result"]["resources"].as_array().expect("resources");
    let uris = listed.iter().map(|resource| resource["uri"].as_str());
    uris.map(|uri| uri.expect("a URI")).collect()
}

/// A posting as a client gives it.
pub(crate) fn posting(id: &str, title: &str) -> Value {
    json!({ "job_id": id, "title": title, "company": "Acme", "location": "Berlin, Germany",
            "description": "Work.", "apply_link": "https://example.com/", "remote": false })
}

#[tokio::test]
async fn a_posting_is_shown_in_full() {
    let keeper = Keeper::start(&[]).await;
    let shown = keeper.call("get_job", json!({ "job_id": "sample-0001" })).await;
    assert_eq!(shown["structuredContent"]["job"]["job_id"], "sample-0001");
    let description = &shown["structuredContent"]["job"]["description"];
    assert!(
        text(&shown).contains(description.as_str().expect("text").trim()),
        "{shown}"
    );
    for (arguments, words) in [
        (json!({}), "job_id is missing"),
        (json!({ "job_id": "no-such-job" }), "Search for it again"),
        (json!({ "job_id": ["a"] }), "A job_id is text"),
    ] {
        let answer = keeper.call("get_job", arguments).await;
        assert_eq!(answer["isError"], true);
        assert!(text(&answer).contains(words), "{answer}");
    }
}

#[tokio::test]
async fn what_was_found_is_saved_listed_shown_and_removed() {
    let keeper = Keeper::start(&[]).await;
    let empty = keeper.call("list_saved_jobs", json!({})).await;
    assert!(text(&empty).contains("No job is saved yet"), "{empty}");
    assert_eq!(
        std::fs::read_dir(keeper.folder.path()).expect("read").count(),
        0,
        "nothing is written before"
    );

    let given = posting("own/1", "Rust Whisperer");
    let both = json!({ "job_ids": ["sample-0001", "unknown"], "jobs": [given] });
    let saved = keeper.call("save_jobs", both).await;
    assert_eq!(saved["isError"], false, "{saved}");
    let (kept, missed) = (
        &saved["structuredContent"]["saved"],
        &saved["structuredContent"]["failed"],
    );
    assert_eq!(kept.as_array().map(Vec::len), Some(2), "{saved}");
    assert_eq!(
        (&kept[0]["uri"], &kept[0]["outcome"]),
        (&json!("jobs://saved/own%2F1"), &json!("added"))
    );
    assert_eq!(missed[0]["job_id"], "unknown");
    assert!(text(&saved).contains("pass the whole posting"), "{saved}");

    let again = keeper
        .call("save_jobs", json!({ "job_ids": "sample-0001" }))
        .await;
    assert_eq!(again["structuredContent"]["saved"][0]["outcome"], "unchanged");
    let listed = keeper.call("list_saved_jobs", json!({})).await;
    assert_eq!(listed["structuredContent"]["total"], 2);
    assert!(text(&listed).contains("Rust Whisperer, Acme"), "{listed}");
    // Its provider does not know it: it is shown because it was saved.
    let shown = keeper.call("get_job", json!({ "job_id": "own/1" })).await;
    assert_eq!(shown["structuredContent"]["job"]["title"], "Rust Whisperer");

    let removed = keeper
        .call("remove_saved_jobs", json!({ "job_ids": ["own/1", "other"] }))
        .await;
    assert_eq!(removed["structuredContent"]["removed"], json!(["own/1"]));
    assert_eq!(removed["structuredContent"]["unknown"], json!(["other"]));
    let listed = keeper.call("list_saved_jobs", json!({})).await;
    assert_eq!(listed["structuredContent"]["total"], 1);
}

#[tokio::test]
async fn bad_arguments_are_tool_errors_in_plain_words() {
    let keeper = Keeper::start(&[]).await;
    let many: Vec<_> = (0..21).map(|number| number.to_string()).collect();
    let mut script = posting("a", "x");
    script["apply_link"] = "javascript:alert(1)".into();
    for (tool, arguments, words) in [
        ("save_jobs", json!({}), "job_ids is missing"),
        ("save_jobs", json!({ "job_ids": many }), "20 at most"),
        (
            "save_jobs",
            json!({ "jobs": [{ "title": "x" }] }),
            "missing field",
        ),
        (
            "save_jobs",
            json!({ "jobs": [script] }),
            "must begin with https://",
        ),
        (
            "save_jobs",
            json!({ "job_ids": ["unknown"] }),
            "does not know this job",
        ),
        ("list_saved_jobs", json!({ "page": 0 }), "1 or more"),
        ("remove_saved_jobs", json!({}), "job_ids is missing"),
    ] {
        let answer = keeper.call(tool, arguments.clone()).await;
        assert_eq!(answer["isError"], true, "{tool} {arguments}");
        assert!(text(&answer).contains(words), "{tool} {arguments}: {answer}");
    }
}

#[tokio::test]
async fn a_long_list_comes_in_pages_and_a_damaged_file_is_named() {
    let keeper = Keeper::start(&[]).await;
    for start in (0..60).step_by(20) {
        let jobs: Vec<_> = (start..start + 20)
            .map(|number| posting(&number.to_string(), "Nurse"))
            .collect();
        keeper.call("save_jobs", json!({ "jobs": jobs })).await;
    }
    let first = keeper.call("list_saved_jobs", json!({})).await;
    assert_eq!(
        first["structuredContent"]["jobs"].as_array().map(Vec::len),
        Some(50)
    );
    assert_eq!(first["structuredContent"]["next_page"], 2);
    let owner = std::fs::read_dir(keeper.folder.path().join("saved")).expect("read");
    let owner = owner
        .map(|entry| entry.expect("an entry").path())
        .next()
        .expect("a folder");
    let file = std::fs::read_dir(owner)
        .expect("read")
        .next()
        .expect("a file")
        .expect("an entry")
        .path();
    std::fs::write(&file, "{ half").expect("written");
    let second = keeper.call("list_saved_jobs", json!({ "page": 2 })).await;
    assert_eq!(
        second["structuredContent"]["jobs"].as_array().map(Vec::len),
        Some(9)
    );
    let name = file.file_name().and_then(|name| name.to_str()).expect("text");
    assert_eq!(second["structuredContent"]["damaged"], json!([name]));
    assert!(text(&second).contains("damaged"), "{second}");
    assert_eq!(
        std::fs::read_to_string(&file).expect("read"),
        "{ half",
        "left as it is"
    );
}

/// The schema is the contract with programs: every answer, errors too, keeps it.
#[tokio::test]
async fn answers_conform_to_their_output_schemas() {
    let keeper = Keeper::start(&[]).await;
    let tools = keeper.server.ask("tools/list", json!({})).await;
    let tools = tools["result"]["tools"].as_array().expect("tools").clone();
    let schema = |name: &str| {
        let tool = tools.iter().find(|tool| tool["name"] == name).expect("listed");
        jsonschema::validator_for(&tool["outputSchema"]).expect("a schema")
    };
    for (tool, arguments) in [
        (
            "search_jobs",
            json!({ "role": "nurse", "query": "chef", "num_jobs": 20 }),
        ),
        ("search_jobs", json!({ "role": "no such thing in the world" })),
        ("get_job", json!({ "job_id": "sample-0007" })),
        (
            "save_jobs",
            json!({ "job_ids": ["sample-0001", "sample-0002", "unknown"] }),
        ),
        ("save_jobs", json!({ "job_ids": ["unknown"] })),
        ("list_saved_jobs", json!({})),
        ("list_saved_jobs", json!({ "page": 9 })),
        (
            "remove_saved_jobs",
            json!({ "job_ids": ["sample-0001", "unknown"] }),
        ),
    ] {
        let result = keeper.call(tool, arguments.clone()).await;
        let content = &result["structuredContent"];
        assert!(content.is_object(), "{tool} {arguments}: {result}");
        let errors: Vec<_> = schema(tool)
            .iter_errors(content)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{tool} {arguments}: {errors:?}\n{content}");
        // What the schema does not name, nobody reads: a misspelt field would pass unseen.
        let spoilt = json!({ "spoilt": content });
        assert!(
            !schema(tool).is_valid(&spoilt),
            "{tool}: the schema asks for nothing"
        );
    }
}

#[tokio::test]
async fn hints_say_what_each_tool_does() {
    let keeper = Keeper::start(&[]).await;
    let tools = keeper.server.ask("tools/list", json!({})).await;
    let hints: Vec<_> = tools["result"]["tools"]
        .as_array()
        .expect("tools")
        .iter()
        .map(|tool| {
            let has = |hint: &str| tool["annotations"][hint].as_bool();
            let name = tool["name"].as_str().expect("a name");
            (
                name,
                has("readOnlyHint"),
                has("destructiveHint"),
                has("idempotentHint"),
                has("openWorldHint"),
            )
        })
        .collect();
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(
        hints,
        [
            ("search_jobs", yes, None, yes, yes),
            ("get_job", yes, None, yes, yes),
            // It replaces what was saved under the same id.
            ("save_jobs", no, yes, yes, yes),
            ("list_saved_jobs", yes, None, yes, no),
            ("remove_saved_jobs", no, yes, yes, no),
        ]
    );
}

#[tokio::test]
async fn where_jobs_cannot_be_saved_there_are_no_tools_for_it() {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    let below = file.path().join("data");
    let below = below.to_str().expect("text");
    for environment in [&[("SAVED_JOBS", "off")], &[("IAM_DATA_ROOT", below)]] {
        let server = TestServer::start(environment).await;
        let tools = server.ask("tools/list", json!({})).await;
        assert!(!tools.to_string().contains("save"), "{tools}");
        let call = json!({ "name": "save_jobs", "arguments": { "job_ids": ["sample-0001"] } });
        assert_eq!(server.ask("tools/call", call).await["error"]["code"], -32602);
        let listed = server.ask("resources/list", json!({})).await;
        assert_eq!(uris(&listed), [CARDS]);
    }
    // Whoever asks for it is told why it cannot be.
    let server = TestServer::start(&[("SAVED_JOBS", "local"), ("IAM_DATA_ROOT", below)]).await;
    let call = json!({ "name": "save_jobs", "arguments": { "job_ids": ["sample-0001"] } });
    let answer = server.ask("tools/call", call).await;
    assert_eq!(answer["result"]["isError"], true);
    assert!(answer.to_string().contains("IAM_DATA_ROOT"), "{answer}");
}

/// Section 6, item 9: resources MUST validate URIs. Unknown ones: -32602 for 2026-07-28, -32002 before.
#[tokio::test]
async fn must_6_9_resources_are_listed_and_read_and_others_are_not_found() {
    let keeper = Keeper::start(&[]).await;
    keeper
        .call("save_jobs", json!({ "jobs": [posting("own/1", "Nurse")] }))
        .await;
    let server = &keeper.server;
    let list = server.ask("resources/list", json!({})).await;
    assert_eq!(uris(&list), [CARDS, "jobs://saved/own%2F1"]);
    assert_eq!(list["result"]["resources"][1]["title"], "Nurse, Acme");
    let templates = server.ask("resources/templates/list", json!({})).await;
    assert_eq!(
        templates["result"]["resourceTemplates"][0]["uriTemplate"],
        "jobs://saved/{job_id}"
    );
    let read = server
        .ask("resources/read", json!({ "uri": "jobs://saved/own%2F1" }))
        .await;
    let content = &read["result"]["contents"][0];
    assert_eq!(content["mimeType"], "application/json");
    let saved: Value = serde_json::from_str(content["text"].as_str().expect("text")).expect("JSON");
    assert_eq!(saved["job"]["title"], "Nurse");

    for uri in [
        "jobs://saved/unknown",
        "jobs://saved/../../etc/passwd",
        "jobs://saved/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "jobs://saved/",
        "file:///etc/passwd",
        "not a uri",
        "",
    ] {
        let legacy = server.ask("resources/read", json!({ "uri": uri })).await;
        assert_eq!(legacy["error"]["code"], -32002, "{uri}: {legacy}");
        if !uri.is_empty() {
            let now = modern::ask(server, "resources/read", json!({ "uri": uri })).await;
            assert_eq!(now["error"]["code"], -32602, "{uri}: {now}");
        }
    }
    for (method, cache) in [
        ("resources/list", "private"),
        ("resources/templates/list", "public"),
    ] {
        let now = modern::ask(server, method, json!({})).await;
        assert_eq!(now["result"]["cacheScope"], cache, "{now}");
        assert!(now["result"]["ttlMs"].is_u64(), "{now}");
        let bad = server.ask(method, json!({ "cursor": "made up" })).await;
        assert_eq!(bad["error"]["code"], -32602, "{bad}");
    }
    let now = modern::ask(server, "resources/read", json!({ "uri": "jobs://saved/own%2F1" })).await;
    assert_eq!(
        (&now["result"]["cacheScope"], &now["result"]["ttlMs"]),
        (&json!("private"), &json!(0))
    );
}

#[tokio::test]
async fn many_resources_come_in_pages() {
    let keeper = Keeper::start(&[]).await;
    for start in (0..120).step_by(20) {
        let jobs: Vec<_> = (start..start + 20)
            .map(|number| posting(&number.to_string(), "Nurse"))
            .collect();
        keeper.call("save_jobs", json!({ "jobs": jobs })).await;
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut cursor = Value::Null;
    loop {
        let params = if cursor.is_null() {
            json!({})
        } else {
            json!({ "cursor": cursor })
        };
        let page = keeper.server.ask("resources/list", params).await;
        for resource in page["result"]["resources"].as_array().expect("resources") {
            assert!(seen.insert(resource["uri"].as_str().expect("a URI").to_owned()));
        }
        cursor = page["result"]["nextCursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(seen.len(), 121, "and the job cards");
}

/// Two tokens: neither sees, changes or learns of what the other keeps, over any transport.
#[tokio::test]
async fn each_principal_has_its_own() {
    let tokens = tempfile::NamedTempFile::new().expect("temporary file");
    let (alices, bobs) = ("alices-token-0123456789", "bobs-token-0123456789");
    std::fs::write(tokens.path(), format!("alice {alices}\nbob {bobs}\n")).expect("written");
    let file = tokens.path().to_str().expect("text");
    let keeper = Keeper::start(&[("AUTH", "bearer"), ("AUTH_TOKENS_FILE", file)]).await;
    let server = &keeper.server;
    let tool = |name: &str, arguments: Value| json!({ "name": name, "arguments": arguments });
    let save = tool(
        "save_jobs",
        json!({ "jobs": [posting("secret", "Alice's next job")] }),
    );
    let saved = modern::ask_as(server, Some(alices), "tools/call", save).await;
    assert_eq!(saved["result"]["isError"], false, "{saved}");

    let read = json!({ "uri": "jobs://saved/secret" });
    let role = json!({ "ref": { "type": "ref/prompt", "name": "analyze_job_market" },
                       "argument": { "name": "role", "value": "alice" } });
    for (method, params) in [
        ("tools/call", tool("list_saved_jobs", json!({}))),
        ("tools/call", tool("get_job", json!({ "job_id": "secret" }))),
        (
            "tools/call",
            tool("remove_saved_jobs", json!({ "job_ids": ["secret"] })),
        ),
        ("resources/list", json!({})),
        ("resources/read", read.clone()),
        ("completion/complete", role.clone()),
    ] {
        let his = modern::ask_as(server, Some(bobs), method, params).await;
        assert!(!his.to_string().contains("next job"), "{method}: {his}");
    }
    for (method, params) in [("resources/read", read), ("completion/complete", role)] {
        let hers = modern::ask_as(server, Some(alices), method, params).await;
        assert!(hers.to_string().contains("next job"), "{method}: {hers}");
    }
    // And over the older transport.
    for (token, count) in [(alices, 2), (bobs, 1)] {
        let opened = server.get("/sse").bearer_auth(token).send().await;
        let mut stream = Stream::of(opened.expect("answered")).await;
        let list = request(1, "resources/list", json!({}));
        let sent = server
            .post(&stream.endpoint, &list)
            .bearer_auth(token)
            .send()
            .await;
        assert_eq!(sent.expect("answered").status(), 202);
        let answer = stream.message().await;
        assert_eq!(
            answer["result"]["resources"].as_array().map(Vec::len),
            Some(count),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn each_transport_offers_what_it_can_keep() {
    let keeper = Keeper::start(&[]).await;
    let server = &keeper.server;
    let answer = server
        .post("/mcp", &initialize(1, "2025-11-25"))
        .send()
        .await
        .expect("answered");
    let answer: Value = answer.json().await.expect("JSON");
    let capabilities = &answer["result"]["capabilities"];
    assert_eq!(capabilities["resources"], json!({}), "no way back: {answer}");
    assert_eq!(capabilities["completions"], json!({}));
    let uri = json!({ "uri": "jobs://saved/x" });
    assert_eq!(
        server.ask("resources/subscribe", uri).await["error"]["code"],
        -32601
    );

    let mut stream = Stream::open(server).await;
    let answer = stream.ask(server, &initialize(1, "2025-11-25")).await;
    let both = json!({ "subscribe": true, "listChanged": true });
    assert_eq!(answer["result"]["capabilities"]["resources"], both, "{answer}");
    stream
        .send(server, &notification("notifications/initialized", json!({})))
        .await;
    let found = stream
        .ask(server, &search(2, json!({ "role": "nurse", "num_jobs": 1 })))
        .await;
    assert_eq!(found["result"]["isError"], false);

    let discover = modern::ask(server, "server/discover", json!({})).await;
    assert_eq!(
        discover["result"]["capabilities"]["resources"], both,
        "subscriptions/listen: {discover}"
    );
}
