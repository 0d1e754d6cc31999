use rmcp::{
    ErrorData, ServerHandler,
    model::{CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock},
    service::serve_directly,
};
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};

use super::*;

/// Searches through as many pages as the tool's name says, and goes back once, as a retry may.
struct Search;

impl ServerHandler for Search {
    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let total: usize = request.name.parse().expect("a number of pages");
        let search = async |pages: &dyn Progress| {
            for done in 1..=total {
                tokio::task::yield_now().await;
                pages.pages(done / 2, total);
                tokio::task::yield_now().await;
                pages.pages(done, total);
            }
            "found"
        };
        let found = match wanted(&context, CancellationToken::new(), total) {
            Some(told) => told.during(async |pages| search(pages).await).await,
            None => search(&()).await,
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(found)]).into())
    }
}

struct Client {
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    to: WriteHalf<DuplexStream>,
}

impl Client {
    fn start() -> Self {
        let (here, there) = tokio::io::duplex(64 * 1024);
        let running = serve_directly(Search, there, None);
        tokio::spawn(running.waiting());
        let (from, to) = tokio::io::split(here);
        Self {
            lines: BufReader::new(from).lines(),
            to,
        }
    }

    /// Everything that comes until the answer.
    async fn call(&mut self, pages: usize, meta: Value) -> Vec<Value> {
        let params = json!({ "name": pages.to_string(), "arguments": {}, "_meta": meta });
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let line = format!("{call}\n");
        self.to.write_all(line.as_bytes()).await.expect("written");
        let mut messages = Vec::new();
        loop {
            let line = self.lines.next_line().await.expect("read").expect("a line");
            let message: Value = serde_json::from_str(&line).expect("JSON");
            let answer = message["id"] == 1;
            messages.push(message);
            if answer {
                return messages;
            }
        }
    }
}

#[tokio::test]
async fn progress_grows_and_stops_before_the_answer() {
    let mut client = Client::start();
    for _ in 0..50 {
        let mut messages = client.call(10, json!({ "progressToken": "t-1" })).await;
        let answer = messages.pop().expect("an answer");
        assert_eq!(answer["result"]["content"][0]["text"], "found");
        assert!(!messages.is_empty(), "nothing was told");
        let mut last = 0.0;
        for message in messages {
            assert_eq!(message["method"], "notifications/progress", "{message}");
            let params = &message["params"];
            assert_eq!(
                (&params["progressToken"], &params["total"]),
                (&json!("t-1"), &json!(10.0))
            );
            let progress = params["progress"].as_f64().expect("a number");
            assert!(progress > last, "{message}");
            last = progress;
        }
        assert!(
            (last - 10.0).abs() < 0.1,
            "the last page comes before the answer, not after it or never"
        );
        // Had one come late, it would stand before the next answer, and not grow.
    }
}

#[tokio::test]
async fn nobody_is_told_who_did_not_ask_or_of_a_single_page() {
    let mut client = Client::start();
    assert_eq!(client.call(10, json!({})).await.len(), 1);
    assert_eq!(client.call(1, json!({ "progressToken": 7 })).await.len(), 1);
}
