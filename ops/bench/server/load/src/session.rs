//! Sessions of the older transport: messages by POST, answers on the stream.

use std::{io, io::Read as _};

use tokio::{task, time::Instant};

use crate::{
    calls::holds,
    http1::Connection,
    timing::{Load, Measured},
    wrong,
};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2024-11-05","capabilities":{},"clientInfo":{"name":"load","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

struct Session {
    port: u16,
    stream: Connection,
    chunked: bool,
    /// Read of the stream, but not yet an event.
    rest: Vec<u8>,
    address: String,
    posts: Option<Connection>,
}

impl Session {
    async fn open(port: u16) -> io::Result<Self> {
        let mut stream = Connection::open(port).await?;
        let request =
            format!("GET /sse HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n");
        stream.write(request.as_bytes()).await?;
        let head = stream.head().await?;
        if head.status != 200 {
            return Err(wrong(format!("GET /sse: {}", head.status)));
        }
        let mut session = Self {
            port,
            stream,
            chunked: head.chunked,
            rest: Vec::new(),
            address: String::new(),
            posts: None,
        };
        let endpoint = session.event().await?;
        let endpoint = String::from_utf8_lossy(&endpoint).into_owned();
        let here = format!("http://127.0.0.1:{port}");
        session.address = endpoint.strip_prefix(&here).unwrap_or(&endpoint).to_owned();
        session.send(INITIALIZE).await?;
        if !holds(&session.answer("0").await?, "serverInfo") {
            return Err(wrong("initialize was refused"));
        }
        session.accepted().await?;
        session.send(INITIALIZED).await?;
        session.accepted().await?;
        Ok(session)
    }

    /// The data of the next event that has some.
    async fn event(&mut self) -> io::Result<Vec<u8>> {
        let mut data = Vec::new();
        loop {
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let line = line.trim_ascii_end();
                if let Some(text) = line.strip_prefix(b"data:") {
                    data.extend_from_slice(text.trim_ascii_start());
                } else if line.is_empty() && !data.is_empty() {
                    return Ok(data);
                }
            }
            if self.chunked {
                let chunk = self
                    .stream
                    .chunk()
                    .await?
                    .ok_or_else(|| wrong("the stream ended"))?;
                self.rest.extend_from_slice(chunk);
            } else {
                self.rest.extend_from_slice(self.stream.some().await?);
            }
        }
    }

    async fn answer(&mut self, id: &str) -> io::Result<Vec<u8>> {
        let (inside, last) = (format!("\"id\":{id},"), format!("\"id\":{id}}}"));
        loop {
            let event = self.event().await?;
            if holds(&event, &inside) || holds(&event, &last) {
                return Ok(event);
            }
        }
    }

    async fn send(&mut self, message: &str) -> io::Result<()> {
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n{message}",
            self.address,
            self.port,
            message.len()
        );
        if self.posts.as_ref().is_some_and(Connection::is_stale) {
            self.posts = None;
        }
        let posts = match self.posts.take() {
            Some(posts) => posts,
            None => Connection::open(self.port).await?,
        };
        self.posts.insert(posts).write(request.as_bytes()).await
    }

    async fn accepted(&mut self) -> io::Result<()> {
        let posts = self.posts.as_mut().ok_or_else(|| wrong("nothing was sent"))?;
        let (head, body) = posts.answer().await?;
        if head.status / 100 == 2 {
            return Ok(());
        }
        Err(wrong(format!(
            "POST: {} {}",
            head.status,
            String::from_utf8_lossy(&body)
        )))
    }
}

/// Calls in sessions, one after the other in each. A call's time ends with its event; the 202 is read after it.
pub async fn calls(port: u16, load: Load, message: String, expect: String) -> io::Result<Measured> {
    let (message, expect): (&'static str, &'static str) = (message.leak(), expect.leak());
    let mut sessions = Vec::new();
    for _ in 0..load.clients() {
        sessions.push(Session::open(port).await?);
    }
    load.begin();
    let mut clients = Vec::new();
    for (number, mut session) in sessions.into_iter().enumerate() {
        let load = load.clone();
        clients.push(task::spawn_local(async move {
            let mut turn = 0;
            while load.next(number, turn).await {
                turn += 1;
                let id = turn.to_string();
                let start = Instant::now();
                session.send(&message.replacen("@ID@", &id, 1)).await?;
                let answer = session.answer(&id).await?;
                load.took(start.elapsed(), answer.len());
                session.accepted().await?;
                if turn % 64 == 1 && !holds(&answer, expect) {
                    return Err(wrong(String::from_utf8_lossy(&answer).into_owned()));
                }
            }
            Ok(())
        }));
    }
    for client in clients {
        client.await.map_err(|error| wrong(error.to_string()))??;
    }
    Ok(load.measured())
}

/// Sessions that do nothing, until the input ends. An idle client holds its stream only.
pub async fn idle(port: u16, count: usize) -> io::Result<()> {
    let mut sessions = Vec::with_capacity(count);
    for number in 0..count {
        let mut session = Session::open(port)
            .await
            .map_err(|error| wrong(format!("session {number}: {error}")))?;
        session.posts = None;
        sessions.push(session);
    }
    println!("ready");
    let input = task::spawn_blocking(|| io::stdin().read(&mut [0; 1]));
    let _ = input.await;
    drop(sessions);
    Ok(())
}
