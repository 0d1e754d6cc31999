//! `iam-mcp-server search`, as somebody at a terminal and a script meet it.

use std::{
    fs::OpenOptions,
    io::Read as _,
    process::{ExitStatus, Output},
    time::Duration,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

use crate::{
    process::{command, run},
    support::{DEADLINE, TestServer},
};

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

async fn search(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    run(&[&["search"], arguments].concat(), environment).await
}

async fn jsearch(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

#[tokio::test]
async fn a_pipe_gets_columns_and_notes_go_to_stderr() {
    let arguments = [
        "rust",
        "engineer",
        "--city",
        "Berlin",
        "--country",
        "de",
        "--num",
        "3",
    ];
    let output = search(&arguments, &[]).await;
    assert_eq!(output.status.code(), Some(0));
    let (shown, told) = (text(output.stdout), text(output.stderr));
    let lines: Vec<Vec<_>> = shown.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.len(), 4, "{shown}");
    assert_eq!(lines[0][..3], ["TITLE", "COMPANY", "PLACE"]);
    for line in &lines[1..] {
        assert_eq!(line.len(), lines[0].len(), "{shown}");
        assert_eq!(line[2], "Berlin, Germany");
        assert!(line[6].starts_with("https://"), "{shown}");
    }
    assert!(told.contains("sample postings"), "{told}");
    assert!(!told.contains('{'), "no log: {told}");
}

/// What a script reads is what a client gets.
#[tokio::test]
async fn json_is_the_tools_structured_answer() {
    let output = search(
        &["nurse", "--location", "Berlin, Germany", "--num", "2", "--json"],
        &[],
    )
    .await;
    assert_eq!(output.status.code(), Some(0));
    let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let server = TestServer::start(&[]).await;
    let arguments = json!({ "role": "nurse", "location": "Berlin, Germany", "num_jobs": 2 });
    let call = json!({ "name": "search_jobs", "arguments": arguments });
    let answer = server.ask("tools/call", call).await;
    assert_eq!(printed, answer["result"]["structuredContent"]);
    assert_eq!(printed["jobs"].as_array().map(Vec::len), Some(2));
}

/// One of a page that is asked for, unlike those of every other page.
fn posting(asked: &Request, number: u32) -> Value {
    let page = asked.url.query_pairs().find(|(name, _)| name == "page");
    let id = format!("{}-{number}", page.expect("a page").1);
    json!({ "job_id": id, "job_title": format!("Nurse {id}"), "employer_name": format!("Ward {id}"),
            "job_apply_link": "https://example.com", "job_description": "Care for people." })
}

#[tokio::test]
async fn every_option_reaches_the_job_board() {
    let board = MockServer::start().await;
    Mock::given(any())
        .respond_with(|asked: &Request| {
            let page: Vec<_> = (0..10).map(|number| posting(asked, number)).collect();
            ResponseTemplate::new(200).set_body_json(json!({ "data": page }))
        })
        .mount(&board)
        .await;
    let environment = [
        ("RAPIDAPI_KEY", "very-secret-key"),
        ("RAPIDAPI_BASE_URL", &*board.uri()),
    ];
    let arguments = [
        "nurse",
        "--location",
        "Oslo, Norway",
        "--platform",
        "Indeed",
        "--pages",
        "2",
    ];
    let output = search(&arguments, &environment).await;
    assert_eq!(output.status.code(), Some(0));
    let requests = board.received_requests().await.expect("recorded");
    let url = requests[0].url.as_str();
    for part in ["nurse", "Oslo", "indeed"] {
        assert!(
            url.to_lowercase().contains(&part.to_lowercase()),
            "{part} is not in {url}"
        );
    }
    assert_eq!(requests.len(), 2, "{url}");
}

#[tokio::test]
async fn nothing_found_and_a_failure_exit_with_1() {
    let empty = jsearch(ResponseTemplate::new(200).set_body_json(json!({ "data": [] }))).await;
    let environment = [
        ("RAPIDAPI_KEY", "very-secret-key"),
        ("RAPIDAPI_BASE_URL", &*empty.uri()),
    ];
    let output = search(&["astronaut", "--country", "Malta"], &environment).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let told = text(output.stderr);
    assert!(
        told.contains("No job found for \"astronaut\" in Malta."),
        "{told}"
    );
    let output = search(&["astronaut", "--json"], &environment).await;
    assert_eq!(output.status.code(), Some(1));
    let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(printed["jobs"], json!([]));

    let refusing = jsearch(ResponseTemplate::new(403)).await;
    let environment = [
        ("RAPIDAPI_KEY", "very-secret-key"),
        ("RAPIDAPI_BASE_URL", &*refusing.uri()),
    ];
    let output = search(&["nurse"], &environment).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let told = text(output.stderr);
    assert!(
        told.starts_with("error: ") && !told.contains("very-secret-key"),
        "{told}"
    );
}

#[tokio::test]
async fn what_makes_no_search_exits_with_2_and_says_what_would() {
    for (arguments, advice) in [
        (&[][..], "<ROLE>"),
        (&["nurse", "--city", "Berlin"], "needs its country"),
        (&["nurse", "--country", "Atlantis"], "not a country"),
        (&["nurse", "--platform", "fax"], "linkedin, indeed or glassdoor"),
        (&["nurse", "--num", "21"], "1..=20"),
        (
            &["nurse", "--city", "Oslo", "--location", "Oslo"],
            "cannot be used with",
        ),
        (&["  "], "role is missing"),
    ] {
        let output = search(arguments, &[]).await;
        let told = text(output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {told}");
        assert!(
            told.contains(advice) && output.stdout.is_empty(),
            "{arguments:?} {told}"
        );
    }
    let output = search(&["nurse"], &[("JOB_PROVIDER", "Monster")]).await;
    assert_eq!(output.status.code(), Some(2));
}

/// Runs it in a terminal of this width, and answers everything that the terminal was sent.
async fn in_terminal(columns: u16, arguments: &[&str], environment: &[(&str, &str)]) -> (ExitStatus, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal)
        .and_then(|()| unlockpt(&terminal))
        .expect("granted");
    let size = Winsize {
        ws_row: 40,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, size).expect("a size");
    let name = ptsname(&terminal, Vec::new()).expect("a name");
    let program = OpenOptions::new()
        .read(true)
        .write(true)
        .open(name.to_str().expect("text"))
        .expect("opened");
    let mut command = command(&[&["search"], arguments].concat(), environment);
    command
        .stderr(program.try_clone().expect("cloned"))
        .stdout(program);
    let mut child = command.spawn().expect("the binary");
    // Its copies of the terminal's end, which would keep the reader waiting.
    drop(command);
    let reader = tokio::task::spawn_blocking(move || {
        let mut sent = Vec::new();
        // Linux ends it with an error, once the program is gone.
        let _ = std::fs::File::from(terminal).read_to_end(&mut sent);
        text(sent)
    });
    let status = tokio::time::timeout(DEADLINE, child.wait())
        .await
        .expect("ends in time")
        .expect("a status");
    (status, reader.await.expect("read"))
}

#[tokio::test]
async fn a_terminal_gets_a_table_that_fits_and_whole_links() {
    for columns in [50, 72, 120] {
        let (status, shown) = in_terminal(columns, &["engineer", "--num", "4"], &[]).await;
        assert_eq!(status.code(), Some(0));
        assert!(shown.contains("TITLE") && !shown.contains('\t'), "{shown}");
        let rows = shown.lines().take(9).filter(|line| !line.contains("https://"));
        assert!(rows.clone().count() == 5, "{shown}");
        for row in rows {
            assert!(
                row.trim_end().chars().count() <= usize::from(columns),
                "{columns}: {row}"
            );
        }
        assert_eq!(
            shown
                .lines()
                .filter(|line| line.trim().starts_with("https://"))
                .count(),
            4,
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_slow_search_says_that_it_is_at_it_and_takes_that_back() {
    let posting = json!({ "job_id": "x", "job_title": "Nurse", "job_apply_link": "https://example.com" });
    let answer = ResponseTemplate::new(200).set_body_json(json!({ "data": [posting] }));
    let slow = jsearch(answer.set_delay(Duration::from_secs(5))).await;
    let environment = [
        ("RAPIDAPI_KEY", "very-secret-key"),
        ("RAPIDAPI_BASE_URL", &*slow.uri()),
    ];
    let (status, shown) = in_terminal(80, &["nurse"], &environment).await;
    assert_eq!(status.code(), Some(0));
    let told = shown.rfind("Searching, ").expect("progress");
    let (_, after) = shown.split_at(told);
    let cleared = after.find("\r\u{1b}[K").expect("cleared");
    let found = after.find("Nurse").expect("the job");
    assert!(cleared < found, "{shown:?}");
}
