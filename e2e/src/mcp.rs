//! A small MCP client: the older transport, SSE with messages by POST, and `POST /mcp`.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::operator::{http_client, http_client_builder};

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(20);

/// A server at an address.
#[derive(Clone)]
pub struct McpClient {
    base: String,
    http: reqwest::Client,
}

impl McpClient {
    /// A client of the server at `base`, such as `http://127.0.0.1:9999`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            http: http_client(),
        }
    }

    /// The same client, with a token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a token");
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        let http = http_client_builder().default_headers(headers).build();
        Self {
            base: self.base.clone(),
            http: http.expect("an HTTP client"),
        }
    }

    /// A client of the server called `name`, which is at `address`: a pod that is not asked by its Service.
    #[must_use]
    pub fn at(name: &str, address: SocketAddr) -> Self {
        let http = http_client_builder().resolve(name, address).build();
        Self {
            base: format!("http://{name}:{}", address.port()),
            http: http.expect("an HTTP client"),
        }
    }

    /// GETs a path: status and body.
    ///
    /// # Errors
    /// When there is no connection or no answer in time.
    pub async fn get(&self, path: &str) -> Result<(u16, String), reqwest::Error> {
        let answer = self
            .http
            .get(format!("{}{path}", self.base))
            .timeout(ANSWER)
            .send()
            .await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// POSTs a message to `path`: status and body.
    ///
    /// # Errors
    /// As [`McpClient::get`].
    pub async fn post(&self, path: &str, message: &Value) -> Result<(u16, String), reqwest::Error> {
        let request = self.http.post(format!("{}{path}", self.base)).timeout(ANSWER);
        let request = request
            .header("accept", "application/json, text/event-stream")
            .json(message);
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Calls `search_jobs` by `POST /mcp` and gives its result.
    ///
    /// # Errors
    /// What came instead of a result.
    pub async fn search(&self, query: &str) -> Result<Value, String> {
        let arguments = json!({"query": query, "num_pages": 1});
        let message = call(
            1,
            "tools/call",
            &json!({"name": "search_jobs", "arguments": arguments}),
        );
        let (status, body) = self.post("/mcp", &message).await.map_err(|e| e.to_string())?;
        let answer = json_of(&body).ok_or_else(|| format!("{status}: {body}"))?;
        match answer.get("result") {
            Some(result) if status == 200 => Ok(result.clone()),
            _ => Err(format!("{status}: {body}")),
        }
    }

    /// Opens a session of the older transport.
    pub async fn open_sse(&self) -> SseSession {
        let request = self
            .http
            .get(format!("{}/sse", self.base))
            .header("accept", "text/event-stream");
        let response = timeout(ANSWER, request.send())
            .await
            .expect("an answer in time")
            .expect("an answer");
        assert_eq!(response.status().as_u16(), 200);
        let mut session = SseSession {
            client: self.clone(),
            response,
            unread: String::new(),
            events: VecDeque::new(),
            path: String::new(),
        };
        let (event, path) = session.next_event().await;
        assert_eq!(event, "endpoint", "the first event names the address: {path}");
        session.path = path;
        session
    }
}

/// A session of the older transport.
pub struct SseSession {
    client: McpClient,
    response: reqwest::Response,
    unread: String,
    events: VecDeque<(String, String)>,
    /// Where its messages go, such as `/messages/?session_id=…`.
    pub path: String,
}

impl SseSession {
    /// Sends a message, which must be accepted; the body of the answer.
    pub async fn send(&self, message: &Value) -> String {
        let (status, body) = self.client.post(&self.path, message).await.expect("an answer");
        assert_eq!(status, 202, "{body}");
        body
    }

    /// Sends a request and waits for its result on the stream.
    pub async fn request(&mut self, id: u64, method: &str, params: &Value) -> Value {
        self.send(&call(id, method, params)).await;
        loop {
            let (event, data) = self.next_event().await;
            let message: Value = serde_json::from_str(&data).unwrap_or_else(|_| panic!("{event}: {data}"));
            if message["id"] == id {
                assert!(message.get("result").is_some(), "{method}: {message}");
                return message["result"].clone();
            }
        }
    }

    /// Sends a request by way of `replica` and waits for its result on the stream.
    ///
    /// # Errors
    /// What came instead of a result: it was not taken, the stream ended, or an error was answered.
    pub async fn try_request(
        &mut self,
        replica: &McpClient,
        id: u64,
        method: &str,
        params: &Value,
    ) -> Result<Value, String> {
        let sent = replica.post(&self.path, &call(id, method, params)).await;
        let (status, body) = sent.map_err(|e| format!("not sent: {e:?}"))?;
        if status != 202 {
            return Err(format!("{status}: {body}"));
        }
        loop {
            let (_, data) = self.try_next_event().await?;
            let message: Value = serde_json::from_str(&data).map_err(|e| format!("{e}: {data}"))?;
            if message["id"] == id {
                return match message.get("result") {
                    Some(result) => Ok(result.clone()),
                    None => Err(data),
                };
            }
        }
    }

    /// Reads until the stream ends, however long that takes.
    pub async fn ended(&mut self) {
        while let Ok(Some(_)) = self.response.chunk().await {}
    }

    /// Reads until the stream ends, and gives what came last; of a stream that was cut off, why.
    pub async fn last_words(&mut self) -> String {
        let mut last = Vec::new();
        loop {
            match self.response.chunk().await {
                Ok(Some(chunk)) => last = chunk.to_vec(),
                Ok(None) => return String::from_utf8_lossy(&last).into_owned(),
                Err(error) => return format!("{error:?}"),
            }
        }
    }

    async fn next_event(&mut self) -> (String, String) {
        self.try_next_event().await.expect("an event in time")
    }

    async fn try_next_event(&mut self) -> Result<(String, String), String> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let chunk = timeout(ANSWER, self.response.chunk())
                .await
                .map_err(|_| format!("no event for {} s", ANSWER.as_secs()))?;
            let chunk = chunk.map_err(|e| format!("the stream broke: {e:?}"))?;
            let chunk = chunk.ok_or("the stream ended")?;
            self.unread
                .push_str(&String::from_utf8_lossy(&chunk).replace('\r', ""));
            while let Some(end) = self.unread.find("\n\n") {
                let block: String = self.unread.drain(..end + 2).collect();
                let field = |name: &str| {
                    let values = block
                        .lines()
                        .filter_map(|line| line.strip_prefix(name))
                        .map(str::trim_start);
                    values.collect::<Vec<_>>().join("\n")
                };
                // A block of comments alone keeps the connection open.
                if !field("data:").is_empty() {
                    self.events.push_back((field("event:"), field("data:")));
                }
            }
        }
    }
}

/// A JSON-RPC request.
#[must_use]
pub fn call(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// The message of a body that is JSON, or an event stream with one message.
fn json_of(body: &str) -> Option<Value> {
    let data = body.lines().filter_map(|line| line.strip_prefix("data:"));
    serde_json::from_str(body).ok().or_else(|| {
        data.filter_map(|d| serde_json::from_str(d.trim()).ok())
            .next_back()
    })
}
