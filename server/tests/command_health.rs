//! `iam-mcp-server health`, as a container runtime meets it.

use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::process::{run, serving};

const TOKEN: &str = "0123456789abcdef-token";

/// Status, and the one line that it prints.
async fn health(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = run(&[&["health"], arguments].concat(), environment).await;
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8(told).expect("text");
    assert_eq!(told.matches('\n').count(), 1, "{told}");
    (output.status.code(), told)
}

#[tokio::test]
async fn a_server_that_is_well() {
    let (_child, address) = serving(&[]).await;
    let url = format!("http://{address}");
    let (status, told) = health(&["--url", &url], &[]).await;
    assert_eq!(status, Some(0), "{told}");
    assert_eq!(told, format!("healthy: iam-mcp-server at {url}\n"));
    let (status, told) = health(&["--url", &format!("{url}/mcp"), "--mcp"], &[]).await;
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("over MCP 2025-11-25"), "{told}");
}

/// The image listens on every address; from inside that is loopback.
#[tokio::test]
async fn the_environment_says_where_the_server_is() {
    let (_child, address) = serving(&[]).await;
    let port = address.rsplit(':').next().expect("a port");
    let (status, told) = health(&["--mcp"], &[("HOST", "0.0.0.0"), ("PORT", port)]).await;
    assert_eq!(status, Some(0), "{told}");
    assert!(
        told.starts_with(&format!("healthy: iam-mcp-server at http://127.0.0.1:{port}, ")),
        "{told}"
    );
    let (status, told) = health(&[], &[("PORT", "0")]).await;
    assert!(status == Some(1) && told.contains("--url"), "{told}");
}

#[tokio::test]
async fn whoever_is_not_there_or_somebody_else_is_unhealthy() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let silent = format!("http://{}", listener.local_addr().expect("bound"));
    let (status, told) = health(&["--url", &silent, "--timeout", "1"], &[]).await;
    assert!(
        status == Some(1) && told.contains("did not answer within 1 s"),
        "{told}"
    );
    drop(listener);
    let (status, told) = health(&["--url", &silent], &[]).await;
    assert!(status == Some(1) && told.contains("cannot be reached"), "{told}");

    for (answer, said) in [
        (
            ResponseTemplate::new(200).set_body_string("hello"),
            "does not answer as this server does",
        ),
        (
            ResponseTemplate::new(200).set_body_string("{\"status\":\"ill\"}"),
            "does not answer as this server does",
        ),
        (ResponseTemplate::new(503), "503 Service Unavailable"),
    ] {
        let stranger = MockServer::start().await;
        Mock::given(any()).respond_with(answer).mount(&stranger).await;
        let (status, told) = health(&["--url", &stranger.uri()], &[]).await;
        assert!(status == Some(1) && told.contains(said), "{told}");
    }
    let (status, told) = health(&["--url", "https://127.0.0.1"], &[]).await;
    assert!(
        status == Some(1) && told.contains("https is not spoken"),
        "{told}"
    );
}

#[tokio::test]
async fn with_tokens_it_uses_one_of_the_file_and_shows_it_to_nobody_else() {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(file.path(), format!("# of the probe\nprobe {TOKEN}\n")).expect("written");
    let path = file.path().to_str().expect("text");
    let auth = [("AUTH", "bearer"), ("AUTH_TOKENS_FILE", path)];
    let (_child, address) = serving(&auth).await;
    let port = address.rsplit(':').next().expect("a port");
    let (status, told) = health(&["--mcp"], &[auth[0], auth[1], ("PORT", port)]).await;
    assert!(status == Some(0) && told.contains("over MCP"), "{told}");
    assert!(!told.contains(TOKEN), "{told}");

    let url = format!("http://{address}");
    let (status, told) = health(&["--mcp", "--url", &url], &auth).await;
    assert!(
        status == Some(1) && told.contains("401"),
        "an address of somebody's gets no token: {told}"
    );
    let (status, told) = health(&["--url", &url], &[]).await;
    assert_eq!(status, Some(0), "/health asks for none: {told}");
}

#[tokio::test]
async fn bad_settings_are_unhealthy_with_1() {
    let output = run(&["health"], &[("PORT", "eighty")]).await;
    assert_eq!(output.status.code(), Some(1));
    let output = run(&["health", "--timeout", "0"], &[]).await;
    assert_eq!(output.status.code(), Some(2));
}
