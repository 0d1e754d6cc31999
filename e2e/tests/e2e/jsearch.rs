//! A stand-in for JSearch that notes the keys it is sent.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

const ANSWER: &str = r#"{"status":"OK","data":[{"job_id":"1","job_title":"Keeper","job_apply_link":"https://example.com/1"}]}"#;

/// Listens until dropped.
pub(crate) struct FakeJSearch {
    /// Where pods reach it.
    pub(crate) url: String,
    keys: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl FakeJSearch {
    /// Listens on `host`, an address of this machine that pods can reach.
    pub(crate) async fn start(host: &str) -> Self {
        let listener = TcpListener::bind((host, 0))
            .await
            .expect("an address of this machine");
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn({
            let keys = Arc::clone(&keys);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&keys)));
                }
            }
        });
        Self { url, keys, task }
    }

    /// The key that came last.
    pub(crate) fn last_key(&self) -> Option<String> {
        self.keys.lock().unwrap().last().cloned()
    }
}

impl Drop for FakeJSearch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers one request and closes.
async fn serve(mut stream: TcpStream, keys: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => head.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-rapidapi-key")
            .then(|| value.trim().to_owned())
    });
    keys.lock().unwrap().extend(key);
    let length = ANSWER.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{ANSWER}"
    );
    let _ = stream.write_all(answer.as_bytes()).await;
}
