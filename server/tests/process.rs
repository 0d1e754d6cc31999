//! The binary as a command: arguments, settings, signals.

use std::process::{Output, Stdio};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

use crate::{
    cancellation::{slow_provider, until_called},
    support::{DEADLINE, client, search},
};

fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iam-mcp-server"));
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .kill_on_drop(true);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let output = command(arguments, environment).output();
    tokio::time::timeout(DEADLINE, output)
        .await
        .expect("ends in time")
        .expect("the binary")
}

#[tokio::test]
async fn bad_settings_exit_with_2_name_the_variable_and_print_nothing_on_stdout() {
    for arguments in [["stdio"], ["http"]] {
        let output = run(
            &arguments,
            &[("PORT", "eighty"), ("RATE_LIMIT", "many"), ("AUTH", "bearer")],
        )
        .await;
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        let told = String::from_utf8(output.stderr).expect("text");
        for problem in [
            "PORT=\"eighty\": use a port number",
            "RATE_LIMIT",
            "AUTH_TOKENS_FILE",
        ] {
            assert!(told.contains(problem), "{told}");
        }
    }
    assert_eq!(run(&["serve"], &[]).await.status.code(), Some(2));
}

#[tokio::test]
async fn help_teaches_every_variable_and_version_is_the_packages() {
    let help = String::from_utf8(run(&["--help"], &[]).await.stdout).expect("text");
    for variable in [
        "MCP_TRANSPORT",
        "HOST",
        "PORT",
        "ADMIN_PORT",
        "LOG_LEVEL",
        "CORS_ORIGINS",
        "ALLOWED_HOSTS",
        "ALLOWED_ORIGINS",
        "RATE_LIMIT",
        "APP_NAME",
        "IAM_DATA_ROOT",
        "RESUME_MESH_FILENAME",
        "RAPIDAPI_KEY",
        "RAPIDAPI_HOST",
        "RAPIDAPI_BASE_URL",
        "RAPIDAPI_KEY_FILE",
        "SESSION_KEY_FILE",
        "JOB_PROVIDER ",
        "JOB_PROVIDERS",
        "GREENHOUSE_BOARDS",
        "JSEARCH_BUDGET",
        "JOB_CACHE_SECONDS",
        "JOB_CACHE_MB",
        "ARBEITNOW_BASE_URL",
        "REMOTIVE_BASE_URL",
        "GREENHOUSE_BASE_URL",
        "MAX_SESSIONS",
        "LOG_FORMAT",
        "AUTH ",
        "AUTH_TOKENS_FILE",
    ] {
        assert!(help.contains(variable), "{variable} is not in\n{help}");
    }
    let version = String::from_utf8(run(&["--version"], &[]).await.stdout).expect("text");
    assert_eq!(
        version.trim(),
        concat!("iam-mcp-server ", env!("CARGO_PKG_VERSION"))
    );
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_to_be() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let output = run(&["http"], &[("PORT", &port), ("ADMIN_PORT", "0")]).await;
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).expect("text");
    assert!(told.contains(&port) && told.contains("PORT"), "{told}");
}

/// A server that serves, and where.
pub(crate) async fn serving(environment: &[(&str, &str)]) -> (Child, String) {
    let (child, address, _) = serving_and_logging(environment).await;
    (child, address)
}

/// A server that serves, where, and what it will have logged by its end.
async fn serving_and_logging(environment: &[(&str, &str)]) -> (Child, String, JoinHandle<Vec<String>>) {
    let all = [
        &[("PORT", "0"), ("ADMIN_PORT", "0"), ("MCP_TRANSPORT", "sse")],
        environment,
    ]
    .concat();
    let mut child = command(&["mcp_server_iam.server_http"], &all)
        .spawn()
        .expect("the binary");
    let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
    loop {
        let line = tokio::time::timeout(DEADLINE, log.next_line())
            .await
            .expect("in time")
            .expect("text");
        let line: serde_json::Value = serde_json::from_str(&line.expect("a line")).expect("JSON lines");
        if let Some(address) = line["address"].as_str() {
            // What it says later must not fill the pipe.
            let rest = tokio::spawn(async move {
                let mut lines = Vec::new();
                while let Ok(Some(line)) = log.next_line().await {
                    lines.push(line);
                }
                lines
            });
            return (child, address.to_owned(), rest);
        }
    }
}

async fn stream(address: &str) -> reqwest::Response {
    let opened = client().get(format!("http://{address}/sse")).send().await;
    let mut stream = opened.expect("answered");
    assert!(stream.chunk().await.expect("read").is_some());
    stream
}

async fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("running").to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status().await;
    assert!(sent.expect("kill").success());
}

async fn ended(child: &mut Child) -> Option<i32> {
    let status = tokio::time::timeout(DEADLINE, child.wait()).await;
    status.expect("ends").expect("a status").code()
}

/// Whoever reads the log looks at warnings first: what any client can cause by hanging up is none.
#[tokio::test]
async fn a_client_that_hangs_up_is_no_error_of_the_server() {
    let provider = slow_provider().await;
    let key = [("RAPIDAPI_BASE_URL", &*provider.uri()), ("RAPIDAPI_KEY", "key")];
    let (mut child, address, log) = serving_and_logging(&key).await;
    let call = client()
        .post(format!("http://{address}/mcp"))
        .header("Accept", "application/json, text/event-stream")
        .json(&search(1, serde_json::json!({ "role": "nurse" })));
    let call = tokio::spawn(call.send());
    until_called(&provider).await;
    call.abort();
    signal(&child, "TERM").await;
    assert_eq!(ended(&mut child).await, Some(0));
    for line in log.await.expect("a log") {
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON lines");
        assert_eq!(line["level"], "INFO", "{line}");
    }
}

/// With a stream open, which is what keeps other servers from stopping.
#[tokio::test]
async fn sigterm_ends_it_with_0_although_a_stream_is_open() {
    let (mut child, address) = serving(&[]).await;
    let mut stream = stream(&address).await;
    signal(&child, "TERM").await;
    let last = stream.chunk().await.expect("a clean end").expect("last words");
    assert_eq!(&last[..], b"retry: 20\n: drain deadline\n\n");
    assert_eq!(stream.chunk().await.expect("a clean end"), None);
    assert_eq!(ended(&mut child).await, Some(0));
}

/// As a container runtime does it when a pod's grace is shortened.
#[tokio::test]
async fn a_second_sigterm_ends_a_long_drain_cleanly() {
    let (mut child, address) = serving(&[("DRAIN_SECONDS", "86400")]).await;
    let mut stream = stream(&address).await;
    signal(&child, "TERM").await;
    until_draining(&address).await;
    signal(&child, "TERM").await;
    let last = stream.chunk().await.expect("a clean end").expect("last words");
    assert_eq!(&last[..], b"retry: 20\n: drain deadline\n\n");
    assert_eq!(stream.chunk().await.expect("a clean end"), None);
    assert_eq!(ended(&mut child).await, Some(0));
}

/// As somebody at a terminal does it.
#[tokio::test]
async fn a_second_interrupt_ends_it_at_once() {
    let (mut child, address) = serving(&[("DRAIN_SECONDS", "86400")]).await;
    let mut stream = stream(&address).await;
    signal(&child, "INT").await;
    until_draining(&address).await;
    signal(&child, "INT").await;
    assert!(stream.chunk().await.is_err(), "cut off");
    assert_eq!(ended(&mut child).await, Some(0));
}

async fn until_draining(address: &str) {
    let draining = async {
        loop {
            let answer = client().get(format!("http://{address}/health")).send().await;
            if answer.expect("answered").headers().get("connection").is_some() {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, draining).await.expect("in time");
}
