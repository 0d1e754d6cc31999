//! Traces, as a collector gets them.

use std::{sync::Arc, time::Instant};

use axum::{Router, body::Bytes, http::HeaderMap, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value},
    trace::v1::Span,
};
use parking_lot::Mutex;
use prost::Message as _;
use serde_json::json;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::log_level::free_port;
use crate::support::{DEADLINE, Process, Stream, request};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const META_TRACE: &str = "1bf7651916cd43dd8448eb211c80319d";
const PARENT: &str = "b7ad6b7169203331";
const ARGUMENT: &str = "underwater-basket-weaver";
const KEY: &str = "rapid-api-key-0123456789";

/// What it got so far.
#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>>);

impl Collected {
    fn spans(&self) -> Vec<Span> {
        let all = self.0.lock();
        let resources = all.iter().flat_map(|(_, request)| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    async fn until(&self, count: usize) -> Vec<Span> {
        let start = Instant::now();
        loop {
            let spans = self.spans();
            if spans.len() >= count {
                return spans;
            }
            assert!(start.elapsed() < DEADLINE, "{spans:#?}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

async fn collector() -> (Collected, String) {
    let collected = Collected::default();
    let ours = collected.clone();
    let take = move |headers: HeaderMap, body: Bytes| async move {
        let request = ExportTraceServiceRequest::decode(body).expect("OTLP in protobuf");
        ours.0.lock().push((headers, request));
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let app = Router::new().route("/v1/traces", post(take));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (collected, url)
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes
        .iter()
        .find(|pair| pair.key == key)?
        .value
        .clone()?
        .value?;
    Some(match value {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

fn hex(bytes: &[u8]) -> String {
    iam_mcp_server::hex::encode(bytes)
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans
        .iter()
        .find(|span| span.name == name)
        .unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

#[tokio::test]
async fn a_call_is_a_span_in_its_clients_trace_and_what_it_needs_are_spans_below_it() {
    let (collected, url) = collector().await;
    let provider = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_json(json!({ "data": [] }));
    Mock::given(any()).respond_with(answer).mount(&provider).await;
    let process = Process::start(&[
        ("ADMIN_PORT", "0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=jobs"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("RAPIDAPI_KEY", KEY),
        ("RAPIDAPI_BASE_URL", &provider.uri()),
        ("JOB_PROVIDER", "JSearch"),
        ("JOB_CACHE_SECONDS", "0"),
    ])
    .await;
    let call = json!({ "name": "search_jobs", "arguments": { "role": ARGUMENT } });
    let by_header = process
        .post("/mcp", &request(1, "tools/call", call.clone()))
        .header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
    assert!(by_header.send().await.expect("answered").status().is_success());
    let spans = collected.until(3).await;
    let [http, tool, search] =
        ["POST /mcp", "tools/call search_jobs", "search jsearch"].map(|name| named(&spans, name));
    for span in [http, tool, search] {
        assert_eq!(hex(&span.trace_id), TRACE, "{}", span.name);
    }
    assert_eq!(hex(&http.parent_span_id), PARENT);
    assert_eq!(tool.parent_span_id, http.span_id);
    assert_eq!(search.parent_span_id, tool.span_id);
    assert_eq!(attribute(&http.attributes, "http.route").as_deref(), Some("/mcp"));
    assert_eq!(
        attribute(&http.attributes, "http.response.status_code").as_deref(),
        Some("200")
    );
    assert_eq!(
        attribute(&tool.attributes, "gen_ai.tool.name").as_deref(),
        Some("search_jobs")
    );
    {
        let all = collected.0.lock();
        assert_eq!(all[0].0["x-team"], "jobs");
        let resource = all[0].1.resource_spans[0]
            .resource
            .clone()
            .expect("a resource")
            .attributes;
        assert_eq!(
            attribute(&resource, "service.name").as_deref(),
            Some("iam-mcp-server")
        );
        assert_eq!(
            attribute(&resource, "deployment.environment.name").as_deref(),
            Some("test")
        );
    }

    // By the message itself, as the protocol has it; the request that carried it is a link.
    let mut call = call;
    call["_meta"] = json!({ "traceparent": format!("00-{META_TRACE}-{PARENT}-01"), "tracestate": "a=b" });
    let by_meta = process.post("/mcp", &request(2, "tools/call", call));
    assert!(by_meta.send().await.expect("answered").status().is_success());
    let spans = collected.until(6).await;
    let (earlier, later) = spans.split_at(3);
    assert!(earlier.iter().all(|span| hex(&span.trace_id) == TRACE));
    let [http, tool, search] =
        ["POST /mcp", "tools/call search_jobs", "search jsearch"].map(|name| named(later, name));
    assert_eq!(
        (hex(&tool.trace_id).as_str(), hex(&tool.parent_span_id).as_str()),
        (META_TRACE, PARENT)
    );
    assert_eq!(tool.trace_state, "a=b");
    assert_eq!(search.trace_id, tool.trace_id);
    assert_eq!(tool.links[0].span_id, http.span_id);
    assert_ne!(hex(&http.trace_id), META_TRACE);

    for span in &spans {
        assert!(
            span.events.is_empty(),
            "log lines are no part of a trace: {span:#?}"
        );
        let shown = format!("{span:?}");
        for secret in [ARGUMENT, KEY] {
            assert!(!shown.contains(secret), "{secret} in {span:#?}");
        }
    }
    let log = process.stop().await;
    assert!(!log.contains("traces"), "nothing to complain about in\n{log}");
}

#[tokio::test]
async fn the_last_spans_are_sent_when_the_server_stops() {
    let (collected, url) = collector().await;
    let environment = [
        ("ADMIN_PORT", "0"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &*format!("{url}/v1/traces")),
    ];
    let process = Process::start(&environment).await;
    process
        .client
        .get(process.url("/health"))
        .send()
        .await
        .expect("answered");
    process.stop().await;
    named(&collected.spans(), "GET /health");
}

#[tokio::test]
async fn without_a_collector_that_answers_calls_are_served_and_it_is_said_once() {
    // It takes connections and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let gone = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    let environment = [("ADMIN_PORT", "0"), ("OTEL_BSP_SCHEDULE_DELAY", "20"), gone];
    let process = Process::start(&environment).await;
    for _ in 0..3 {
        for _ in 0..20 {
            let health = process.client.get(process.url("/health")).send().await;
            assert!(health.expect("answered").status().is_success());
        }
        process
            .until_line(|line| {
                line["message"]
                    .as_str()
                    .is_some_and(|text| text.contains("cannot be reached"))
            })
            .await;
    }
    let log = process.stop().await;
    assert_eq!(log.matches("cannot be reached").count(), 1, "{log}");

    let environment = [("ADMIN_PORT", "0"), ("OTEL_EXPORTER_OTLP_ENDPOINT", &url)];
    let process = Process::start(&environment).await;
    process
        .client
        .get(process.url("/health"))
        .send()
        .await
        .expect("answered");
    // Its ten seconds to stop are not the collector's.
    let log = process.stop().await;
    assert!(log.contains("the last traces were not delivered"), "{log}");
}

#[tokio::test]
async fn a_message_that_is_passed_on_stays_in_its_trace_on_the_replica_that_answers() {
    let (collected, url) = collector().await;
    let folder = tempfile::tempdir().expect("temporary folder");
    let key = folder.path().join("session-key");
    std::fs::write(&key, [7; 32]).expect("written");
    let mut replicas = Vec::new();
    for number in 1..=2 {
        let peer_port = free_port().await;
        let uid = format!("00000000-0000-4000-8000-00000000000{number}");
        let environment = [
            ("ADMIN_PORT", "0"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
            ("SESSION_KEY_FILE", key.to_str().expect("text")),
            ("PEER_PORT", &peer_port),
            ("POD_IP", "127.0.0.1"),
            ("POD_UID", &uid),
        ];
        replicas.push(Process::start(&environment).await);
    }
    let opened = replicas[0].client.get(replicas[0].url("/sse")).send().await;
    let mut stream = Stream::of(opened.expect("answered")).await;
    let call = json!({ "name": "search_jobs", "arguments": { "role": "nurse" } });
    let sent = replicas[1]
        .post(&stream.endpoint, &request(1, "tools/call", call))
        .header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
    assert_eq!(sent.send().await.expect("answered").status(), 202);
    assert_eq!(stream.message().await["id"], 1);
    // The stream's own request, that of the message on both replicas, the call and its search.
    let spans = collected.until(5).await;
    let spans: Vec<_> = spans
        .into_iter()
        .filter(|span| hex(&span.trace_id) == TRACE)
        .collect();
    let [http, forwarded, tool] =
        ["POST /messages", "forwarded_message", "tools/call search_jobs"].map(|name| named(&spans, name));
    assert_eq!(hex(&http.parent_span_id), PARENT);
    assert_eq!(forwarded.parent_span_id, http.span_id);
    assert_eq!(tool.parent_span_id, forwarded.span_id);
}
