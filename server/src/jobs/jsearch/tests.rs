//! Against a server on loopback that plays JSearch.

use std::time::{Duration, Instant};

use serde_json::json;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method, path, query_param},
};

use super::*;
use crate::{
    config::Settings,
    jobs::{country::Country, request::Platform},
};

const KEY: &str = "very-secret-key";

async fn jsearch(server: &MockServer) -> JSearch {
    let url = server.uri();
    let settings = Settings::read(|name| match name {
        "RAPIDAPI_BASE_URL" => Some(url.clone()),
        "RAPIDAPI_KEY" => Some(KEY.to_owned()),
        _ => None,
    });
    let mut settings = settings.expect("valid").jobs;
    settings.timeouts = Timeouts {
        connect: Duration::from_secs(1),
        attempt: Duration::from_millis(150),
        total: Duration::from_millis(400),
        backoff: Duration::from_millis(5),
    };
    let key = Key::new(settings.key.clone());
    let jsearch = JSearch::new(&settings, key);
    // Not part of what is timed: it reads the CA certificates.
    jsearch
        .client
        .get_or_try_init(|| client::build(&jsearch.timeouts))
        .await
        .expect("a client");
    jsearch
}

fn request() -> SearchRequest {
    let germany = Country::find("DE").expect("a country");
    SearchRequest {
        role: "rust engineer".to_owned(),
        place: Some(Place::city("Berlin", germany)),
        platform: Some(Platform::LinkedIn),
        jobs: 2,
        pages: 1,
    }
}

fn posting(id: &str) -> serde_json::Value {
    json!({
        "job_id": id, "job_title": "Rust Engineer", "employer_name": "Example GmbH", "job_city": "Berlin",
        "job_state": null, "job_country": "DE", "job_description": "Write Rust.\u{202e}",
        "job_apply_link": "https://example.com/apply", "job_posted_at_datetime_utc": "2026-11-20T10:00:00.000Z",
        "job_employment_type": "FULLTIME", "job_is_remote": false, "job_min_salary": 70000, "job_max_salary": 90000,
        "job_salary_currency": "EUR", "job_salary_period": "YEAR", "job_publisher": "LinkedIn", "unknown": {}
    })
}

fn postings(ids: &[&str]) -> ResponseTemplate {
    let data: Vec<_> = ids.iter().map(|id| posting(id)).collect();
    ResponseTemplate::new(200).set_body_json(json!({ "status": "OK", "data": data }))
}

async fn answering(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(template)
        .mount(&server)
        .await;
    server
}

async fn error_of(template: ResponseTemplate) -> (Error, usize) {
    let server = answering(template).await;
    let error = jsearch(&server).await.find(&request()).await.expect_err("fails");
    assert!(!format!("{error} {error:?}").contains(KEY));
    (error, server.received_requests().await.expect("recorded").len())
}

#[tokio::test]
async fn a_search_is_asked_as_jsearch_documents_and_the_key_is_in_its_header() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/search"))
        .and(query_param("query", "rust engineer in Berlin via linkedin"))
        .and(query_param("num_pages", "1"))
        .and(query_param("date_posted", "week"))
        .and(query_param("country", "de"))
        .and(header("X-RapidAPI-Key", KEY))
        .and(header("X-RapidAPI-Host", "jsearch.p.rapidapi.com"))
        .respond_with(postings(&["a", "b", "c"]))
        .expect(1)
        .mount(&server)
        .await;
    let found = jsearch(&server).await.find(&request()).await.expect("found");
    assert_eq!(found.jobs.len(), 2, "no more than were asked for");
    insta::assert_json_snapshot!(found.jobs[0], @r#"
    {
      "job_id": "a",
      "title": "Rust Engineer",
      "company": "Example GmbH",
      "location": "Berlin, DE",
      "description": "Write Rust.",
      "apply_link": "https://example.com/apply",
      "posted_at": "2026-11-20",
      "employment_type": "full-time",
      "remote": false,
      "salary": "70000–90000 EUR a year",
      "platform": "LinkedIn"
    }
    "#);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = answering(postings(&["a"])).await;
    let target = format!("{}/search", elsewhere.uri());
    let (error, tries) = error_of(ResponseTemplate::new(302).insert_header("Location", target)).await;
    assert_eq!((error, tries), (Error::Redirected(302), 1));
    assert!(elsewhere.received_requests().await.expect("recorded").is_empty());
}

#[tokio::test]
async fn a_passing_failure_is_tried_again() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(500))
        .up_to_n_times(2)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(postings(&["a"]))
        .mount(&server)
        .await;
    assert_eq!(
        jsearch(&server)
            .await
            .find(&request())
            .await
            .expect("found")
            .jobs
            .len(),
        1
    );
    assert_eq!(
        error_of(ResponseTemplate::new(503)).await,
        (Error::Unwell(503), 3)
    );
}

#[tokio::test]
async fn what_another_try_cannot_mend_is_told_at_once() {
    assert_eq!(
        error_of(ResponseTemplate::new(403)).await,
        (Error::Unauthorized(403), 1)
    );
    assert_eq!(error_of(ResponseTemplate::new(429)).await, (Error::Limited, 1));
    assert_eq!(
        error_of(ResponseTemplate::new(400)).await,
        (Error::Refused(400), 1)
    );
    let garbled = ResponseTemplate::new(200).set_body_string("<html>");
    assert_eq!(error_of(garbled).await, (Error::Garbled, 1));
}

#[tokio::test]
async fn a_server_that_never_answers_does_not_hold_the_call() {
    let start = Instant::now();
    let (error, _) = error_of(postings(&["a"]).set_delay(Duration::from_secs(30))).await;
    assert_eq!(error, Error::Slow);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn postings_that_are_none_are_left_out() {
    let mut script = posting("b");
    script["job_apply_link"] = json!("javascript:alert(1)");
    let data = json!({ "data": [{}, { "job_id": "x" }, script, posting("a")] });
    let server = answering(ResponseTemplate::new(200).set_body_json(data)).await;
    let found = jsearch(&server).await.find(&request()).await.expect("found");
    assert_eq!(
        found
            .jobs
            .iter()
            .map(|job| job.job_id.as_str())
            .collect::<Vec<_>>(),
        ["a"]
    );
}

#[tokio::test]
async fn nothing_found_is_no_error() {
    let server = answering(postings(&[])).await;
    let found = jsearch(&server).await.find(&request()).await.expect("an answer");
    assert!(found.jobs.is_empty() && found.note.is_some());
}

#[test]
fn the_key_is_not_shown_by_debug() {
    let value = key_header(&SecretString::from(KEY)).expect("a header");
    assert!(!format!("{value:?}").contains(KEY));
    assert_eq!(key_header(&SecretString::from("a\nb")), Err(Error::OddKey));
}
