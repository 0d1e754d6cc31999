//! A whole server, on loopback: what comes in is answered as a client can read it.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    time::Duration,
};

use iam_mcp_runtime::shutdown::Shutdown;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::run;
use crate::{app::Server, config::Settings};

/// Far beyond what an answer takes; shorter than libFuzzer's own patience.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most that is read of an answer.
const ANSWER_BYTES: u64 = 1 << 20;

const METHODS: [&str; 4] = ["POST", "GET", "DELETE", "OPTIONS"];

const PATHS: [&str; 7] = [
    "/mcp",
    "/",
    "/messages",
    "/messages/?session_id=x",
    "/sse",
    "/health",
    "/nothing",
];

/// A server of this thread's, as it is without settings, but for the limit of rate.
async fn address() -> SocketAddr {
    thread_local! {
        static ADDRESS: Cell<Option<SocketAddr>> = const { Cell::new(None) };
    }
    if let Some(address) = ADDRESS.get() {
        return address;
    }
    let unlimited = |name: &str| (name == "RATE_LIMIT").then(|| "0".to_owned());
    let mut settings = Settings::read(unlimited).expect("valid settings");
    settings.http.port = 0;
    settings.http.admin_port = None;
    let server = Server::bind(settings).await.expect("a free port");
    let address = server.address().expect("bound");
    tokio::spawn(server.run(Shutdown::manual()));
    ADDRESS.set(Some(address));
    address
}

/// An answer's status, and its body as far as it was read: of a stream that stays open, only the head.
async fn exchange(request: &[u8]) -> (u16, String) {
    let connection = TcpStream::connect(address().await).await.expect("connected");
    let (mut reader, mut writer) = connection.into_split();
    let read = async {
        let mut answer = Vec::new();
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            if reader.read_buf(&mut answer).await.unwrap_or(0) == 0 {
                break;
            }
        }
        let is_stream = String::from_utf8_lossy(&answer).contains("content-type: text/event-stream");
        if !is_stream {
            let _ = reader.take(ANSWER_BYTES).read_to_end(&mut answer).await;
        }
        String::from_utf8_lossy(&answer).into_owned()
    };
    // Both at once: an answer may come before the whole request is sent.
    let write = async {
        let _ = writer.write_all(request).await;
        writer
    };
    let both = async { tokio::join!(read, write).0 };
    let answer = tokio::time::timeout(PATIENCE, both)
        .await
        .expect("an answer in time");
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (status.unwrap_or(0), body.to_owned())
}

/// Sends one request, and looks at what comes back.
fn ask(method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    let (status, said) = run(exchange(&[head.as_bytes(), body].concat()));
    // 400 without a body is hyper's, to what is no HTTP.
    let is_error = || serde_json::from_str::<Value>(&said).is_ok_and(|said| said["error"]["code"].is_i64());
    match status {
        200..300 => {}
        400..500 => assert!(
            said.is_empty() || is_error() || path == "/health",
            "{status}: {said}"
        ),
        _ => panic!("{status}: {said}"),
    }
    (status, said)
}

/// A request: a byte for its method, one for its path, then headers as lines up to an empty one, then its body.
pub fn http(data: &[u8]) {
    let [method, path, rest @ ..] = data else { return };
    let end = rest.windows(2).position(|end| end == b"\n\n");
    let (headers, body) = end.map_or((&b""[..], rest), |end| (&rest[..end], &rest[end + 2..]));
    let headers = String::from_utf8_lossy(headers);
    // What frames the message is ours; what other bytes do to HTTP is hyper's concern.
    let framing = [
        "content-length",
        "transfer-encoding",
        "connection",
        "host",
        "expect",
        "upgrade",
    ];
    let headers: String = headers
        .lines()
        .filter(|line| {
            let name = line
                .split(':')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase();
            !name.is_empty() && line.contains(':') && !framing.contains(&name.as_str())
        })
        .flat_map(|line| [line.trim(), "\r\n"])
        .collect();
    let method = METHODS[usize::from(*method) % METHODS.len()];
    let path = PATHS[usize::from(*path) % PATHS.len()];
    ask(method, path, &headers, body);
}

/// The address of a session of this thread's, whose stream is read to nowhere.
async fn session() -> String {
    thread_local! {
        static ENDPOINT: RefCell<Option<String>> = const { RefCell::new(None) };
    }
    if let Some(endpoint) = ENDPOINT.with_borrow(Clone::clone) {
        return endpoint;
    }
    let mut stream = TcpStream::connect(address().await).await.expect("connected");
    let open = b"GET /sse HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(open).await.expect("written");
    let mut said = Vec::new();
    while !said.windows(2).any(|end| end == b"\n\n") {
        assert_ne!(stream.read_buf(&mut said).await.expect("read"), 0);
    }
    let said = String::from_utf8(said).expect("text");
    let endpoint = said.lines().find_map(|line| line.strip_prefix("data: "));
    let endpoint = endpoint.expect("an address").to_owned();
    tokio::spawn(async move {
        let mut some = [0; 8192];
        while stream.read(&mut some).await.is_ok_and(|length| length > 0) {}
    });
    ENDPOINT.set(Some(endpoint.clone()));
    endpoint
}

/// A message for a session: it is taken, or refused for what it is, and the next one is taken all the same.
pub fn sse_message(data: &[u8]) {
    let endpoint = run(session());
    let (status, said) = ask("POST", &endpoint, "", data);
    assert_ne!(status, 404, "{said}");
    // Also keeps the session: one that never began would end. Its id is nobody else's.
    thread_local! {
        static ASKED: Cell<u64> = const { Cell::new(0) };
    }
    ASKED.set(ASKED.get() + 1);
    let initialize = serde_json::json!({
        "jsonrpc": "2.0",
        "id": format!("next message {}", ASKED.get()),
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "x", "version": "1" },
        },
    });
    assert_eq!(
        ask("POST", &endpoint, "", initialize.to_string().as_bytes()).0,
        202
    );
}

/// Arguments of a tool: JSON after a byte that chooses the tool. It answers with a result or a JSON-RPC error.
pub fn tool_call(data: &[u8]) {
    let [tool, arguments @ ..] = data else { return };
    let Ok(arguments) = serde_json::from_slice::<Value>(arguments) else {
        return;
    };
    let tool = ["search_jobs", "get_job", "save_jobs", "list_saved_jobs"][usize::from(*tool) % 4];
    let call = serde_json::json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": { "name": tool, "arguments": arguments },
    });
    let headers = "content-type: application/json\r\n";
    let (status, said) = ask("POST", "/mcp", headers, call.to_string().as_bytes());
    if status == 200 {
        let said: Value = serde_json::from_str(&said).expect("JSON");
        assert!(
            said["result"].is_object() || said["error"]["code"].is_i64(),
            "{said}"
        );
        assert_ne!(said["error"]["code"], -32603, "{said}");
    }
}
