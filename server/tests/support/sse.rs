//! A client of the older transport.

use reqwest::{Response, StatusCode};
use serde_json::Value;

use super::{DEADLINE, TestServer};

/// An open stream, and the address it names.
pub(crate) struct Stream {
    response: Response,
    buffer: String,
    pub(crate) endpoint: String,
    /// What an `EventSource` would send when it connects again.
    pub(crate) last_event_id: String,
    /// Comments, but for signs of life.
    pub(crate) comments: Vec<String>,
}

impl Stream {
    pub(crate) async fn open(server: &TestServer) -> Self {
        Self::of(server.get("/sse").send().await.expect("answered")).await
    }

    /// Goes on with a session whose stream ended, as an `EventSource` does, on any server.
    pub(crate) async fn resume(&self, server: &TestServer) -> Self {
        let request = server.get("/sse").header("Last-Event-ID", &self.last_event_id);
        Self::of(request.send().await.expect("answered")).await
    }

    /// On top of an answer that is a stream.
    pub(crate) async fn of(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        let mut stream = Self {
            response,
            buffer: String::new(),
            endpoint: String::new(),
            last_event_id: String::new(),
            comments: Vec::new(),
        };
        let (name, data) = stream.event().await.expect("an event");
        assert_eq!(name, "endpoint");
        stream.endpoint = data;
        stream
    }

    /// The next event's name and data; `None` at the end of the stream.
    pub(crate) async fn event(&mut self) -> Option<(String, String)> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(|text| text.trim().to_owned())
                };
                let found = field("event:").zip(field("data:"));
                if let Some(id) = field("id:") {
                    self.last_event_id = id;
                }
                self.comments
                    .extend(field(":").filter(|comment| comment != "keep-alive"));
                let rest = rest.to_owned();
                self.buffer = rest;
                match found {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(DEADLINE, self.response.chunk())
                .await
                .expect("in time");
            self.buffer
                .push_str(std::str::from_utf8(&chunk.expect("a clean end")?).expect("text"));
        }
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> Value {
        let (name, data) = self.event().await.expect("a message");
        assert_eq!(name, "message");
        serde_json::from_str(&data).expect("JSON")
    }

    /// Sends a message, as `curl` does it.
    pub(crate) async fn post(&self, server: &TestServer, message: &Value) -> Response {
        let url = server.url(&self.endpoint);
        server
            .client
            .post(url)
            .json(message)
            .send()
            .await
            .expect("answered")
    }

    /// Sends a message that is taken.
    pub(crate) async fn send(&self, server: &TestServer, message: &Value) {
        let response = self.post(server, message).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(response.text().await.expect("text"), "Accepted");
    }

    /// Sends a request and reads its answer, which must be the next message.
    pub(crate) async fn ask(&mut self, server: &TestServer, request: &Value) -> Value {
        self.send(server, request).await;
        let answer = self.message().await;
        assert_eq!(answer["id"], request["id"], "{answer}");
        answer
    }
}
