//! What a fake server answers on its MCP port: as it should, in either era, or in one of the ways to be broken.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The MCP port of a server.
pub const PORT: u16 = 8080;

/// How a server speaks MCP.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Speaks {
    /// The version of 2026-07-28, and no other.
    #[default]
    Modern,
    /// The older versions, with a session or without.
    Legacy {
        /// Whether `initialize` gives a session.
        sessions: bool,
    },
    /// Both, and without sessions.
    Both,
    /// To nobody without a token.
    Unauthorized,
    /// With this status, whatever is asked.
    Broken(u16),
    /// Not at all: it takes what comes and says nothing.
    Hangs,
    /// In an answer without an end.
    Huge,
}

/// What a server was asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Heard {
    /// The method of the message, or of HTTP where there is none.
    pub method: String,
    /// The header `Host`.
    pub host: String,
    /// The path.
    pub path: String,
}

/// What a server says over MCP, and what it heard.
#[derive(Clone, Debug)]
pub struct Mcp {
    /// How it speaks.
    pub speaks: Speaks,
    /// Its tools: name and input schema.
    pub tools: Vec<(String, Value)>,
    /// What it was asked.
    pub heard: Vec<Heard>,
    /// The only token that it takes, if it asks for one.
    pub token: Option<String>,
}

impl Default for Mcp {
    fn default() -> Self {
        let tool = |name: &str| (name.to_owned(), json!({"type": "object"}));
        Self {
            speaks: Speaks::default(),
            tools: vec![tool("search_jobs"), tool("save_jobs")],
            heard: Vec::new(),
            token: None,
        }
    }
}

impl Mcp {
    /// How often the message `method` was heard.
    #[must_use]
    pub fn count(&self, method: &str) -> usize {
        self.heard.iter().filter(|heard| heard.method == method).count()
    }
}

/// Answers what comes on one connection.
pub(crate) async fn answer(mut stream: TcpStream, mcp: impl Fn(&mut dyn FnMut(&mut Mcp)) + Send) {
    let mut buffer = Vec::new();
    while let Some((head, body)) = request(&mut stream, &mut buffer).await {
        let mut answer = None;
        mcp(&mut |mcp: &mut Mcp| answer = respond(&head, &body, mcp));
        match answer {
            Some(Answer::Text(text)) => {
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            Some(Answer::Endless) => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[";
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(&[b' '; 4096]).await.is_ok() {}
                return;
            }
            // Until the other end has enough of it.
            None => {
                let _ = stream.read_to_end(&mut Vec::new()).await;
                return;
            }
        }
    }
}

enum Answer {
    Text(String),
    Endless,
}

async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, Value)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|end| end == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let length = header(&head, "content-length")
                .and_then(|length| length.parse().ok())
                .unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                return Some((head, serde_json::from_slice(&body).unwrap_or_default()));
            }
        }
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(read) if read > 0 => buffer.extend_from_slice(&part[..read]),
            _ => return None,
        }
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut values = lines.filter(|(given, _)| given.eq_ignore_ascii_case(name));
    values.next().map(|(_, value)| value.trim().to_owned())
}

fn respond(head: &str, message: &Value, mcp: &mut Mcp) -> Option<Answer> {
    let verb = head.split(' ').next().unwrap_or_default();
    let method = message["method"].as_str().unwrap_or(verb).to_owned();
    mcp.heard.push(Heard {
        method: method.clone(),
        host: header(head, "host").unwrap_or_default(),
        path: head.split(' ').nth(1).unwrap_or_default().to_owned(),
    });
    let modern = header(head, "mcp-protocol-version").as_deref() == Some("2026-07-28");
    let result = |result: Value| json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string();
    let list = || {
        let tools = mcp
            .tools
            .iter()
            .map(|(name, schema)| json!({"name": name, "inputSchema": schema}));
        json!({"tools": tools.collect::<Vec<_>>()})
    };
    let shown = header(head, "authorization");
    let denied = mcp
        .token
        .as_ref()
        .is_some_and(|token| shown != Some(format!("Bearer {token}")));
    let (status, more, body) = match &mcp.speaks {
        _ if denied => (401, "WWW-Authenticate: Bearer\r\n", String::new()),
        Speaks::Hangs => return None,
        Speaks::Huge => return Some(Answer::Endless),
        Speaks::Unauthorized => (401, "WWW-Authenticate: Bearer\r\n", String::new()),
        Speaks::Broken(status) => (*status, "", String::new()),
        Speaks::Modern | Speaks::Both if modern => {
            let versions: &[&str] = match mcp.speaks {
                Speaks::Modern => &["2026-07-28"],
                _ => &["2025-11-25", "2026-07-28"],
            };
            match method.as_str() {
                "server/discover" => (
                    200,
                    "",
                    result(json!({
                        "supportedVersions": versions, "capabilities": {"tools": {}}, "resultType": "complete",
                        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "fake", "version": "1.2.3"}},
                    })),
                ),
                "tools/list" => (200, "", result(list())),
                _ => (404, "", String::new()),
            }
        }
        Speaks::Legacy { .. } | Speaks::Both if !modern => {
            let sessions = mcp.speaks == Speaks::Legacy { sessions: true };
            let known = !sessions || header(head, "mcp-session-id").is_some();
            match method.as_str() {
                "initialize" => {
                    let body = result(json!({
                        "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                        "serverInfo": {"name": "fake", "version": "0.9"},
                    }));
                    (
                        200,
                        if sessions {
                            "Mcp-Session-Id: fake-1\r\n"
                        } else {
                            ""
                        },
                        body,
                    )
                }
                "notifications/initialized" if known => (202, "", String::new()),
                "tools/list" if known => (200, "", result(list())),
                "DELETE" if sessions => (200, "", String::new()),
                _ => (400, "", String::new()),
            }
        }
        _ => (400, "", "no such version".to_owned()),
    };
    Some(Answer::Text(format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\n{more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )))
}

/// Takes connections until it is dropped.
pub(crate) async fn serve<S: Send + 'static>(
    listener: tokio::net::TcpListener,
    says: Arc<Mutex<S>>,
    mcp: fn(&mut S) -> &mut Mcp,
) {
    // Dropped with this task.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let says = Arc::clone(&says);
        connections.spawn(answer(stream, move |change: &mut dyn FnMut(&mut Mcp)| {
            change(mcp(&mut says.lock().expect("no panic before")));
        }));
    }
}
