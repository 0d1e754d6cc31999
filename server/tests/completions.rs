//! What is suggested while a person types.

use serde_json::{Value, json};

use crate::{
    saved_jobs::{Keeper, posting},
    support::{Stream, modern, request},
};

fn wanted(reference: Value, argument: &str, value: &str) -> Value {
    json!({ "ref": reference, "argument": { "name": argument, "value": value } })
}

#[tokio::test]
async fn arguments_are_suggested_in_both_eras() {
    let keeper = Keeper::start(&[]).await;
    let server = &keeper.server;
    keeper
        .call(
            "save_jobs",
            json!({ "jobs": [posting("own/1", "Rust Whisperer")] }),
        )
        .await;
    let prompt = json!({ "type": "ref/prompt", "name": "analyze_job_market" });
    let template = json!({ "type": "ref/resource", "uri": "jobs://saved/{job_id}" });
    let mut stream = Stream::open(server).await;
    for (params, expected) in [
        (wanted(prompt.clone(), "country", "switz"), json!(["Switzerland"])),
        (wanted(prompt.clone(), "platform", "l"), json!(["linkedin"])),
        (
            wanted(prompt.clone(), "role", "rust"),
            json!(["Rust Whisperer", "Rust Engineer"]),
        ),
        (wanted(template, "job_id", "rust"), json!(["own/1"])),
    ] {
        let legacy = server.ask("completion/complete", params.clone()).await;
        let now = modern::ask(server, "completion/complete", params.clone()).await;
        let streamed = stream
            .ask(server, &request(1, "completion/complete", params))
            .await;
        for answer in [&legacy, &now, &streamed] {
            assert_eq!(answer["result"]["completion"]["values"], expected, "{answer}");
        }
    }
    let unknown = wanted(prompt, "colour", "");
    assert_eq!(
        server.ask("completion/complete", unknown).await["error"]["code"],
        -32602
    );
}
