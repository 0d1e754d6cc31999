//! An OpenTelemetry collector on loopback, which keeps what it gets.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::poll::eventually;

/// The collector; ends when dropped.
#[derive(Debug)]
pub struct Collector {
    /// What to send to, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub url: String,
    got: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    task: JoinHandle<()>,
}

impl Collector {
    /// One on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let got = Arc::default();
        let keep = Arc::clone(&got);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, Arc::clone(&keep)));
            }
        });
        Self { url, got, task }
    }

    /// The values of `service.name` of all that was got.
    #[must_use]
    pub fn services(&self) -> Vec<String> {
        let got = self.got.lock().expect("not poisoned");
        let resources = got.iter().flat_map(|request| &request.resource_spans);
        resources
            .filter_map(|spans| attribute(&spans.resource.as_ref()?.attributes, "service.name"))
            .collect()
    }

    /// Spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let got = self.got.lock().expect("not poisoned");
        let resources = got.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|spans| &spans.scope_spans);
        scopes.flat_map(|spans| spans.spans.clone()).collect()
    }

    /// Waits until `found` finds something among the spans.
    pub async fn until<T>(&self, what: &str, found: impl Fn(&[Span]) -> Option<T>) -> T {
        eventually(Duration::from_secs(30), what, || {
            let spans = self.spans();
            let found = found(&spans).ok_or_else(|| {
                let names = spans.iter().map(|span| span.name.as_str());
                format!("{:?}", names.collect::<Vec<_>>())
            });
            async move { found }
        })
        .await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An attribute, as text.
#[must_use]
pub fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let pair = attributes.iter().find(|pair| pair.key == key)?;
    match pair.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}

async fn take(mut stream: TcpStream, keep: Arc<Mutex<Vec<ExportTraceServiceRequest>>>) {
    let mut buffer = Vec::new();
    let mut part = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut part).await {
        buffer.extend_from_slice(&part[..read]);
        while let Some(body) = message(&mut buffer) {
            let request = ExportTraceServiceRequest::decode(body.as_slice()).expect("OTLP in protobuf");
            keep.lock().expect("not poisoned").push(request);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

/// The body of the first request in `buffer`, once all of it is there.
fn message(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = buffer.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    if buffer.len() < end + length {
        return None;
    }
    let body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Some(body)
}
