//! Against a server on loopback that plays JSearch.

use std::time::{Duration, Instant};

use serde_json::json;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method, path, query_param},
};

use super::*;
use crate::{
    config::{Settings, Timeouts},
    jobs::{country::Country, request::Platform},
    metrics::JobMetrics,
};

const KEY: &str = "very-secret-key";

async fn jsearch(server: &MockServer) -> JSearch {
    jsearch_with(server, "off").await
}

async fn jsearch_with(server: &MockServer, budget: &str) -> JSearch {
    let url = server.uri();
    let settings = Settings::read(|name| match name {
        "RAPIDAPI_BASE_URL" => Some(url.clone()),
        "RAPIDAPI_KEY" => Some(KEY.to_owned()),
        "JSEARCH_BUDGET" => Some(budget.to_owned()),
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
    let upstream = Upstream::new(settings.timeouts.clone(), JobMetrics::default());
    // Not part of what is timed: it reads the CA certificates.
    upstream.client().await.expect("a client");
    JSearch::new(&settings, key, upstream)
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
    let error = jsearch(&server)
        .await
        .find(&request(), &())
        .await
        .expect_err("fails");
    assert!(!format!("{error} {error:?}").contains(KEY));
    (error, server.received_requests().await.expect("recorded").len())
}

#[tokio::test]
async fn a_search_is_asked_as_jsearch_documents_and_the_key_is_in_its_header() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/search"))
        .and(query_param("query", "rust engineer in Berlin via linkedin"))
        .and(query_param("page", "1"))
        .and(query_param("num_pages", "1"))
        .and(query_param("date_posted", "week"))
        .and(query_param("country", "de"))
        .and(header("X-RapidAPI-Key", KEY))
        .and(header("X-RapidAPI-Host", "jsearch.p.rapidapi.com"))
        .respond_with(postings(&["a", "b", "c"]))
        .expect(1)
        .mount(&server)
        .await;
    let found = jsearch(&server).await.find(&request(), &()).await.expect("found");
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
            .find(&request(), &())
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
    let found = jsearch(&server).await.find(&request(), &()).await.expect("found");
    assert_eq!(
        found
            .jobs
            .iter()
            .map(|job| job.job_id.as_str())
            .collect::<Vec<_>>(),
        ["a"]
    );
}

/// Pages of ten postings each; those beyond `last` fail.
async fn paged(last: usize) -> MockServer {
    let server = MockServer::start().await;
    for page in 1..=last {
        let ids: Vec<_> = (0..PAGE_SIZE).map(|number| format!("{page}-{number}")).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        Mock::given(query_param("page", page.to_string()))
            .respond_with(postings(&ids))
            .mount(&server)
            .await;
    }
    server
}

async fn asked(server: &MockServer) -> usize {
    server.received_requests().await.expect("recorded").len()
}

#[derive(Default)]
struct Heard(parking_lot::Mutex<Vec<(usize, usize)>>);

impl Progress for Heard {
    fn pages(&self, done: usize, total: usize) {
        self.0.lock().push((done, total));
    }
}

#[tokio::test]
async fn as_many_pages_are_asked_for_as_it_takes_and_each_is_told() {
    let server = paged(3).await;
    let jsearch = jsearch(&server).await;
    let wanted = |jobs, pages| SearchRequest {
        jobs,
        pages,
        ..request()
    };
    let heard = Heard::default();
    let found = jsearch.find(&wanted(20, 3), &heard).await.expect("found");
    assert_eq!(found.jobs.len(), 20);
    assert_eq!(
        (found.jobs[0].job_id.as_str(), found.jobs[19].job_id.as_str()),
        ("1-0", "2-9")
    );
    assert_eq!(*heard.0.lock(), [(1, 3), (2, 3)]);
    assert_eq!(
        asked(&server).await,
        2,
        "the third page would be paid for, and not shown"
    );
    assert_eq!(
        jsearch.find(&wanted(5, 3), &()).await.expect("found").jobs.len(),
        5
    );
    assert_eq!(asked(&server).await, 3);
}

#[tokio::test]
async fn a_page_that_fails_leaves_what_is_there() {
    let server = paged(1).await;
    let wanted = SearchRequest {
        jobs: 20,
        pages: 2,
        ..request()
    };
    let found = jsearch(&server)
        .await
        .find(&wanted, &())
        .await
        .expect("the first page");
    assert_eq!(found.jobs.len(), 10);
    assert!(found.partial);
    let note = found.note.expect("a note");
    assert!(
        note.starts_with("These are from the first page only. JSearch refused"),
        "{note}"
    );
}

#[tokio::test]
async fn the_budget_counts_every_request_and_says_when_there_is_more() {
    let server = answering(ResponseTemplate::new(503)).await;
    let jsearch = jsearch_with(&server, "4/hour").await;
    assert_eq!(
        jsearch.find(&request(), &()).await.expect_err("unwell"),
        Error::Unwell(503)
    );
    assert_eq!(asked(&server).await, 3, "retries count");
    let error = jsearch.find(&request(), &()).await.expect_err("spent");
    assert_eq!(asked(&server).await, 4, "and nothing goes out beyond it");
    let text = error.to_string();
    assert_eq!(error.category(), "budget_spent");
    assert!(
        text.starts_with(
            "The budget of 4 JSearch requests an hour is spent; there will be more in 60 minutes."
        ),
        "{text}"
    );
    assert!(
        jsearch.details("a").await.is_err(),
        "postings are paid for from it too"
    );
    assert_eq!(asked(&server).await, 4);
}

#[tokio::test]
async fn a_posting_is_asked_for_by_its_id() {
    let server = MockServer::start().await;
    Mock::given(path("/job-details"))
        .and(query_param("job_id", "a=="))
        .and(header("X-RapidAPI-Key", KEY))
        .respond_with(postings(&["a=="]))
        .mount(&server)
        .await;
    let jsearch = jsearch(&server).await;
    let job = jsearch
        .details("a==")
        .await
        .expect("an answer")
        .expect("a posting");
    assert_eq!(job.title, "Rust Engineer");
    assert_eq!(jsearch.details("b").await, Ok(None), "unknown ones are 404");
}

#[tokio::test]
async fn nothing_found_is_no_error() {
    let server = answering(postings(&[])).await;
    let found = jsearch(&server)
        .await
        .find(&request(), &())
        .await
        .expect("an answer");
    assert!(found.jobs.is_empty() && found.note.is_some());
}

#[test]
fn the_key_is_not_shown_by_debug() {
    let value = key_header(&SecretString::from(KEY)).expect("a header");
    assert!(!format!("{value:?}").contains(KEY));
    assert_eq!(key_header(&SecretString::from("a\nb")), Err(Error::OddKey));
}
