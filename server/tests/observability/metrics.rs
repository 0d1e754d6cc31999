//! `/metrics` against its page of the documentation: the same families, and labels that hold nothing of what clients say.

use std::collections::{BTreeMap, BTreeSet};

use iam_mcp_server::metrics::Metrics;
use reqwest::Method;
use serde_json::json;

use crate::support::{Process, Replicas, Stream, TestServer, initialize, request, search};

const DOCS: &str = include_str!("../../../docs/observability.md");

/// The dashboard and the alerts: whatever they ask for must exist.
const QUERIES: [&str; 3] = [
    DOCS,
    include_str!("../../../ops/observability/dashboard.json"),
    include_str!("../../../ops/observability/rules.yaml"),
];

/// A family as the page describes it.
#[derive(Debug)]
struct Row {
    kind: String,
    /// Names, with the values that they may have.
    labels: BTreeMap<String, BTreeSet<String>>,
    help: String,
}

/// The page's table: name, type, labels with their values, what it is.
fn documented() -> BTreeMap<String, Row> {
    let (_, table) = DOCS
        .split_once("<!-- metrics -->")
        .expect("where the table begins");
    let (table, _) = table.split_once("<!-- /metrics -->").expect("where it ends");
    let rows = table.lines().filter(|line| line.starts_with("| `iam_mcp_"));
    rows.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, kind, labels, help] = cells[..] else {
            panic!("four cells in {line}")
        };
        let labels = labels.split("; ").filter(|label| *label != "–").map(|label| {
            let (name, values) = label
                .split_once(": ")
                .unwrap_or_else(|| panic!("name: values in {line}"));
            let values = values.split(", ").map(|value| value.trim_matches('`').to_owned());
            (name.trim_matches('`').to_owned(), values.collect())
        });
        let row = Row {
            kind: kind.to_owned(),
            labels: labels.collect(),
            help: help.to_owned(),
        };
        (name.trim_matches('`').to_owned(), row)
    })
    .collect()
}

/// The families of a scrape: name, type, help.
fn families(text: &str) -> BTreeMap<String, (String, String)> {
    let mut families = BTreeMap::<String, (String, String)>::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            let family = families.entry(name.to_owned()).or_default();
            help.trim_end_matches('.').clone_into(&mut family.1);
        }
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            kind.clone_into(&mut families.entry(name.to_owned()).or_default().0);
        }
    }
    families
}

/// The families that the source registers, with their help. A scrape leaves out those that have counted nothing yet.
fn registered() -> BTreeMap<String, String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/metrics");
    let mut found = BTreeMap::new();
    for file in std::fs::read_dir(folder).expect("the source") {
        let source = std::fs::read_to_string(file.expect("a file").path()).expect("text");
        for call in source.split(".register").skip(1) {
            let (unit, arguments) = match call.strip_prefix("_with_unit(") {
                Some(arguments) => ("_seconds", arguments),
                None => ("", call.strip_prefix('(').unwrap_or_default()),
            };
            let mut literals = arguments.split('"').skip(1).step_by(2);
            if let (true, Some(name), Some(help)) = (
                arguments.trim_start().starts_with('"'),
                literals.next(),
                literals.next(),
            ) {
                found.insert(format!("iam_mcp_{name}{unit}"), help.to_owned());
            }
        }
    }
    found
}

#[test]
fn the_page_lists_exactly_the_families_that_exist() {
    let registered = registered();
    let documented = documented();
    for (name, help) in &registered {
        assert!(!help.is_empty() && !help.ends_with('.'), "{name}: {help:?}");
        assert!(!name.ends_with("_total"), "{name}: the encoder adds that");
        let row = documented.get(name).unwrap_or_else(|| {
            panic!("docs/observability.md lacks a row such as\n| `{name}` | counter | – | {help} |")
        });
        assert_eq!(&row.help, help, "{name}");
    }
    for name in documented.keys() {
        assert!(
            registered.contains_key(name),
            "docs/observability.md: there is no {name} any more"
        );
    }
    // The source was read rightly, if it has all that a scrape shows.
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &Metrics::new().1).expect("encodes");
    assert!(families(&text).len() > 5);
    check(&text);
}

/// Prometheus shows nothing at all for a name or a value that is misspelt.
#[test]
fn dashboard_and_alerts_ask_for_what_exists() {
    let documented = documented();
    let mut asked = 0;
    for text in QUERIES {
        let text = text.replace("\\\"", "\"").replace("\\|", "|");
        for (at, _) in text.match_indices("iam_mcp_") {
            let rest = &text[at..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
            if matches!(name, "iam_mcp_" | "iam_mcp_server") {
                continue;
            }
            let row = ["", "_total", "_info", "_bucket"]
                .iter()
                .find_map(|suffix| documented.get(name.strip_suffix(suffix)?))
                .unwrap_or_else(|| panic!("there is no {name}"));
            asked += 1;
            let Some(matchers) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
                continue;
            };
            for matcher in matchers.0.split("\",").filter(|matcher| matcher.contains('=')) {
                let (label, values) = matcher.split_once(['=', '!']).expect("a matcher");
                let values = values.trim_start_matches(['=', '~']).trim_matches('"');
                if label == "job" || label == "status" {
                    continue;
                }
                let known = row
                    .labels
                    .get(label)
                    .unwrap_or_else(|| panic!("{name} has no {label}"));
                for value in values.split('|') {
                    assert!(known.contains(value), "{name} has no {label}={value}");
                }
            }
        }
    }
    assert!(asked > 40, "{asked}");
    let dashboard: serde_json::Value = serde_json::from_str(QUERIES[1]).expect("JSON");
    assert!(
        dashboard["panels"]
            .as_array()
            .is_some_and(|panels| panels.len() >= 10)
    );
}

/// The labels of each sample, by family.
fn labels(text: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let names = families(text);
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, rest) = line.split_once(['{', ' ']).expect("a sample");
            let family = ["", "_total", "_info", "_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| name.strip_suffix(suffix))
                .find(|name| names.contains_key(*name))
                .unwrap_or_else(|| panic!("no family of {line}"));
            let inside = rest.split_once('}').map_or("", |(inside, _)| inside);
            let pairs = inside.split("\",").filter(|pair| !pair.is_empty()).map(|pair| {
                let (name, value) = pair.split_once("=\"").expect("name=value");
                (name.to_owned(), value.trim_end_matches('"').to_owned())
            });
            (family.to_owned(), pairs.collect())
        })
        .collect()
}

/// Whatever a client makes up, no label shows it, and each shows what the page says that it may.
fn check(text: &str) {
    let documented = documented();
    for (name, (kind, help)) in families(text) {
        let row = documented
            .get(&name)
            .unwrap_or_else(|| panic!("the page has no {name}"));
        assert_eq!((&row.kind, &row.help), (&kind, &help), "{name}");
    }
    let samples = labels(text);
    for (family, labels) in &samples {
        let row = &documented[family];
        for (name, value) in labels {
            if name == "le" && row.kind == "histogram" {
                continue;
            }
            let allowed = row
                .labels
                .get(name)
                .unwrap_or_else(|| panic!("{family}: the page has no label {name}"));
            let any_status = name == "status"
                && value
                    .parse()
                    .is_ok_and(|status: u16| (100..600).contains(&status));
            let any_build = family == "iam_mcp_build";
            assert!(
                allowed.contains(value) || any_status || any_build,
                "{family}: the page has no {name}={value}"
            );
        }
    }
    assert!(!text.contains(WEIRD), "{text}");
}

const WEIRD: &str = "w31rd";

async fn provoke(server: &TestServer) {
    let weird = json!({ "name": WEIRD, "arguments": { WEIRD: WEIRD } });
    let messages = [
        search(1, json!({ "role": WEIRD, "country": WEIRD })),
        search(1, json!({ "role": 1 })),
        search(
            1,
            json!({ "role": "nurse", "city": "Berlin", "country": "Germany" }),
        ),
        request(1, "tools/call", weird.clone()),
        request(1, "prompts/get", weird.clone()),
        request(1, "resources/read", json!({ "uri": WEIRD })),
        request(
            1,
            "completion/complete",
            json!({ "ref": { "type": WEIRD }, "argument": weird }),
        ),
        request(1, WEIRD, json!({})),
        initialize(1, WEIRD),
        json!([WEIRD]),
        json!(WEIRD),
    ];
    for message in &messages {
        for path in ["/mcp", "/w31rd", "/messages/?session_id=w31rd"] {
            server.post(path, message).send().await.expect("answered");
        }
    }
    for method in [
        Method::GET,
        Method::PUT,
        Method::from_bytes(b"W31RD").expect("a method"),
    ] {
        for header in [
            "Host",
            "Origin",
            "Accept",
            "Authorization",
            "Content-Type",
            "X-Request-ID",
            "X-Session-ID",
        ] {
            let ask = server
                .client
                .request(method.clone(), server.url("/mcp"))
                .header(header, WEIRD);
            ask.send().await.expect("answered");
        }
    }
    let mut stream = Stream::open(server).await;
    for message in messages
        .iter()
        .filter(|message| message["method"] != WEIRD && message.is_object())
    {
        // All with one id: some are refused for that.
        stream.post(server, message).await;
    }
    stream.send(server, &request(99, "ping", json!({}))).await;
    while stream.message().await["id"] != 99 {}
}

#[tokio::test]
async fn no_label_holds_what_a_client_made_up() {
    let tokens = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(tokens.path(), "alice alices-token-0123456789\n").expect("written");
    let replicas = Replicas::new();
    let plain = replicas.start(1).await;
    let other = replicas.start(2).await;
    provoke(&plain).await;
    let mut stream = Stream::open(&plain).await;
    stream.ask(&other, &search(1, json!({ "role": "nurse" }))).await;
    drop(stream);
    let guarded = [
        ("AUTH", "bearer"),
        ("AUTH_TOKENS_FILE", tokens.path().to_str().expect("text")),
    ];
    let guarded = TestServer::start(&guarded).await;
    for token in ["", WEIRD, "alices-token-0123456789"] {
        guarded
            .get("/mcp")
            .bearer_auth(token)
            .send()
            .await
            .expect("answered");
    }
    let limited = TestServer::start(&[("RATE_LIMIT", "1")]).await;
    for _ in 0..5 {
        limited
            .post("/mcp", &request(1, "ping", json!({})))
            .send()
            .await
            .expect("answered");
    }
    for server in [&plain, &other, &guarded, &limited] {
        check(&server.metrics().await);
    }
    let text = limited.metrics().await;
    assert!(
        text.contains("iam_mcp_http_errors_total{route=\"/mcp\",cause=\"rate\"}"),
        "{text}"
    );
}

#[tokio::test]
async fn a_client_that_leaves_is_counted_and_nothing_stays_in_flight() {
    let server = TestServer::start(&[]).await;
    // It announces a body and never sends it.
    let mut socket = tokio::net::TcpStream::connect(server.address)
        .await
        .expect("connected");
    let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut socket, head.as_bytes())
        .await
        .expect("sent");
    server.until_metric("iam_mcp_http_requests_in_flight 1").await;
    drop(socket);
    server.until_metric("iam_mcp_http_requests_in_flight 0").await;
}

#[tokio::test]
async fn the_build_says_its_version_and_the_content_type_is_open_metrics() {
    let port = super::log_level::free_port().await;
    let process = Process::start(&[("ADMIN_PORT", &port)]).await;
    let answer = process
        .client
        .get(process.admin_url("/metrics"))
        .send()
        .await
        .expect("answered");
    let kind = answer.headers()["content-type"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    let text = answer.text().await.expect("text");
    let build = text.lines().find(|line| line.starts_with("iam_mcp_build_info{"));
    assert!(build.is_some_and(|line| line.contains(env!("CARGO_PKG_VERSION")) && line.contains("revision=")));
}
