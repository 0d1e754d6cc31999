//! The search as a whole: what is asked, what is kept, and how several answers become one.

use std::time::{Duration, Instant};

use futures::poll;
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{any, path, query_param},
};

use super::*;
use crate::config::{KeySource, Settings};

fn jobs(environment: &[(&str, &str)]) -> Jobs {
    let settings = Settings::read(|name| {
        let pair = environment.iter().find(|(key, _)| *key == name);
        pair.map(|(_, value)| (*value).to_owned())
    });
    Jobs::new(&settings.expect("valid").jobs, Metrics::new().0)
}

fn request(role: &str) -> SearchRequest {
    SearchRequest {
        role: role.to_owned(),
        place: None,
        platform: None,
        jobs: 5,
        pages: 1,
    }
}

fn posting(id: &str, company: &str) -> Value {
    json!({ "job_id": id, "job_title": "Rust Engineer", "employer_name": company, "job_city": "Berlin",
            "job_description": "Write Rust.", "job_apply_link": "https://example.com" })
}

fn postings(postings: &[Value]) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({ "data": postings }))
}

/// A server that plays JSearch and Remotive.
async fn upstream(jsearch: ResponseTemplate, remotive: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    for (address, answer) in [("/search", jsearch), ("/api/remote-jobs", remotive)] {
        Mock::given(path(address))
            .respond_with(answer)
            .mount(&server)
            .await;
    }
    server
}

fn remotive(companies: &[&str]) -> ResponseTemplate {
    let job = |(id, company): (usize, &&str)| {
        json!({ "id": id, "url": "https://remotive.com/1", "title": "Rust engineer (m/f/d)", "company_name": company,
                "publication_date": "2026-11-15T10:23:26", "candidate_required_location": "Germany" })
    };
    let jobs: Vec<_> = companies.iter().enumerate().map(job).collect();
    ResponseTemplate::new(200).set_body_json(json!({ "jobs": jobs }))
}

async fn asked(server: &MockServer, address: &str) -> usize {
    let requests = server.received_requests().await.expect("recorded");
    requests
        .iter()
        .filter(|request| request.url.path() == address)
        .count()
}

fn ids(found: &Found) -> Vec<&str> {
    found.jobs.iter().map(|job| job.job_id.as_str()).collect()
}

const KEY: (&str, &str) = ("RAPIDAPI_KEY", "very-secret-key");

#[tokio::test]
async fn an_equal_search_gets_the_same_answer_and_no_request() {
    let server = upstream(postings(&[posting("a", "Acme")]), remotive(&[])).await;
    let url = server.uri();
    let jobs = jobs(&[("RAPIDAPI_BASE_URL", &url), KEY]);
    let first = jobs.search(&request("rust"), &()).await.expect("found");
    let second = jobs.search(&request("rust"), &()).await.expect("found");
    assert!(Arc::ptr_eq(&first.jobs, &second.jobs), "shared, not made again");
    assert!(!first.repeated && second.repeated);
    jobs.search(&request("go"), &()).await.expect("found");
    assert_eq!(asked(&server, "/search").await, 2);
    let metrics = &jobs.0.metrics.jobs;
    assert_eq!(
        (metrics.hits.get(), metrics.misses.get(), metrics.joined.get()),
        (1, 2, 0)
    );
}

/// As it is when its file goes between the choice of a provider and the request. An hour of mixed load found it.
#[tokio::test]
async fn a_key_that_goes_during_a_search_leaves_the_catalogue() {
    let only = |environment: &[(&str, &str)]| match &jobs(environment).0.choice {
        Choice::These(providers) => providers[0].clone(),
        Choice::Auto { .. } => panic!("one provider"),
    };
    let there = KeySource {
        value: Some("very-secret-key".into()),
        ..KeySource::default()
    };
    let Jobs(inner) = jobs(&[]);
    let mut inner = Arc::into_inner(inner).expect("nobody else has it");
    inner.choice = Choice::Auto {
        key: Key::new(there),
        jsearch: only(&[("JOB_PROVIDER", "JSearch")]),
        catalogue: only(&[("JOB_PROVIDER", "Catalogue")]),
    };
    let jobs = Jobs(Arc::new(inner));
    let found = jobs.search(&request("rust"), &()).await.expect("found");
    assert!(found.jobs.iter().all(|job| job.sample) && !found.jobs.is_empty());
    let posting = jobs.posting("unknown").await.expect("no failure");
    assert_eq!(posting, None);
}

#[tokio::test]
async fn an_answer_lasts_as_long_as_the_settings_say() {
    let server = upstream(postings(&[posting("a", "Acme")]), remotive(&[])).await;
    let url = server.uri();
    let never = jobs(&[("RAPIDAPI_BASE_URL", &url), KEY, ("JOB_CACHE_SECONDS", "0")]);
    for _ in 0..2 {
        never.search(&request("rust"), &()).await.expect("found");
    }
    assert_eq!(asked(&server, "/search").await, 2);
    let shortly = jobs(&[("RAPIDAPI_BASE_URL", &url), KEY, ("JOB_CACHE_SECONDS", "1")]);
    let start = Instant::now();
    while asked(&server, "/search").await < 4 {
        shortly.search(&request("rust"), &()).await.expect("found");
        assert!(start.elapsed() < Duration::from_secs(20), "never asked again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn failures_are_not_kept() {
    let server = upstream(ResponseTemplate::new(400), remotive(&[])).await;
    let url = server.uri();
    let jobs = jobs(&[("RAPIDAPI_BASE_URL", &url), KEY]);
    for tries in 1..=2 {
        assert_eq!(
            jobs.search(&request("rust"), &())
                .await
                .expect_err("refused")
                .category(),
            "refused"
        );
        assert_eq!(asked(&server, "/search").await, tries);
    }
}

#[tokio::test]
async fn half_an_answer_is_not_kept() {
    let server = MockServer::start().await;
    let page: Vec<_> = (0..10).map(|id| posting(&id.to_string(), "Acme")).collect();
    Mock::given(query_param("page", "1"))
        .respond_with(postings(&page))
        .mount(&server)
        .await;
    let url = server.uri();
    let jobs = jobs(&[("RAPIDAPI_BASE_URL", &url), KEY]);
    let wanted = SearchRequest {
        jobs: 20,
        pages: 2,
        ..request("rust")
    };
    for tries in 1..=2 {
        let found = jobs.search(&wanted, &()).await.expect("the first page");
        assert!(found.note.expect("a note").contains("first page only"));
        assert_eq!(asked(&server, "/search").await, 2 * tries);
    }
    // Its postings are known all the same.
    assert!(jobs.posting("9").await.expect("an answer").is_some());
    assert_eq!(asked(&server, "/job-details").await, 0);
}

#[tokio::test]
async fn equal_searches_at_the_same_time_are_one_request_that_ends_with_the_last_of_them() {
    let slow = postings(&[posting("a", "Acme")]).set_delay(Duration::from_millis(200));
    let server = upstream(slow, remotive(&[])).await;
    let url = server.uri();
    let jobs = jobs(&[("RAPIDAPI_BASE_URL", &url), KEY]);
    let wanted = request("rust");
    let mut first = Box::pin(jobs.search(&wanted, &()));
    let second = jobs.search(&wanted, &());
    assert!(poll!(&mut first).is_pending());
    // The first leaves, the second still gets its answer.
    let second = async {
        let mut second = Box::pin(second);
        assert!(poll!(&mut second).is_pending());
        drop(first);
        second.await
    };
    assert_eq!(ids(&second.await.expect("found")), ["a"]);
    assert_eq!(asked(&server, "/search").await, 1);
    assert_eq!(jobs.0.metrics.jobs.joined.get(), 1);
}

#[tokio::test]
async fn several_providers_have_their_turn_and_one_job_is_shown_once() {
    let jsearch = postings(&[posting("j1", "Acme GmbH"), posting("j2", "Globex")]);
    let server = upstream(jsearch, remotive(&["Initech", "Umbrella"])).await;
    let url = server.uri();
    let jobs = jobs(&[
        ("RAPIDAPI_BASE_URL", &url),
        ("REMOTIVE_BASE_URL", &url),
        KEY,
        ("JOB_PROVIDERS", "remotive,jsearch"),
        // Wins, or there would be samples.
        ("JOB_PROVIDER", "Catalogue"),
    ]);
    let found = jobs.search(&request("rust engineer"), &()).await.expect("found");
    assert_eq!(ids(&found), ["remotive:0", "j1", "remotive:1", "j2"]);
    assert_eq!(&*found.source, "remotive, jsearch");
    assert!(
        found
            .note
            .as_deref()
            .expect("a credit")
            .contains("https://remotive.com")
    );
    let again = jobs.search(&request("rust engineer"), &()).await.expect("found");
    assert!(again.repeated && Arc::ptr_eq(&found.jobs, &again.jobs));
    // Ids lead back to where they come from, without a request.
    for id in ids(&found) {
        let job = jobs.posting(id).await.expect("an answer").expect("known");
        assert_eq!(job.job_id, id);
    }
    assert_eq!(server.received_requests().await.expect("recorded").len(), 2);
}

#[tokio::test]
async fn one_that_fails_is_told_of_and_asked_again() {
    let server = upstream(postings(&[posting("a", "Acme")]), ResponseTemplate::new(404)).await;
    let url = server.uri();
    let jobs = jobs(&[
        ("RAPIDAPI_BASE_URL", &url),
        ("REMOTIVE_BASE_URL", &url),
        KEY,
        ("JOB_PROVIDERS", "jsearch,remotive"),
    ]);
    for _ in 0..2 {
        let found = jobs
            .search(&request("rust"), &())
            .await
            .expect("the other answered");
        assert_eq!(
            (ids(&found), &*found.source, found.repeated),
            (vec!["a"], "jsearch", false)
        );
        let note = found.note.expect("a note");
        assert!(
            note.contains("remotive did not answer: Remotive has nothing at this address"),
            "{note}"
        );
    }
    assert_eq!(asked(&server, "/search").await, 1, "what was paid for is kept");
}

#[tokio::test]
async fn when_all_fail_each_is_named() {
    let server = upstream(ResponseTemplate::new(403), ResponseTemplate::new(429)).await;
    let url = server.uri();
    let jobs = jobs(&[
        ("RAPIDAPI_BASE_URL", &url),
        ("REMOTIVE_BASE_URL", &url),
        KEY,
        ("JOB_PROVIDERS", "jsearch,remotive"),
    ]);
    let error = jobs.search(&request("rust"), &()).await.expect_err("all fail");
    assert_eq!(error.category(), "all_failed");
    let text = error.to_string();
    assert!(
        text.contains("\njsearch: JSearch did not accept") && text.contains("\nremotive: Remotive asks"),
        "{text}"
    );
    assert!(!format!("{text} {error:?} {jobs:?}").contains(KEY.1));
}

#[tokio::test]
async fn a_posting_that_must_be_paid_for_is_asked_for_once() {
    let server = MockServer::start().await;
    Mock::given(path("/job-details"))
        .respond_with(postings(&[posting("a", "Acme")]))
        .mount(&server)
        .await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(404))
        .mount(&server)
        .await;
    let url = server.uri();
    let jobs = jobs(&[("RAPIDAPI_BASE_URL", &url), KEY]);
    for _ in 0..2 {
        assert_eq!(
            jobs.posting("a")
                .await
                .expect("an answer")
                .expect("known")
                .company,
            "Acme"
        );
        assert!(jobs.posting("b").await.expect("an answer").is_none());
    }
    assert_eq!(asked(&server, "/job-details").await, 2);
    // What is no id of JSearch's costs nothing.
    let sample = jobs
        .posting("sample-0002")
        .await
        .expect("an answer")
        .expect("from before there was a key");
    assert!(sample.sample);
    for id in ["remotive:1", "own-1", "sample-9999", "", "a\nb", &"x".repeat(600)] {
        assert!(jobs.posting(id).await.expect("an answer").is_none(), "{id}");
    }
    assert_eq!(asked(&server, "/job-details").await, 2);
}

#[tokio::test]
async fn progress_is_the_sum_of_all() {
    #[derive(Default)]
    struct Heard(parking_lot::Mutex<Vec<(usize, usize)>>);
    impl Progress for Heard {
        fn pages(&self, done: usize, total: usize) {
            self.0.lock().push((done, total));
        }
    }
    let heard = Heard::default();
    let together = Together::new(&heard, 2);
    together.part(0).pages(1, 2);
    together.part(1).pages(1, 1);
    together.part(0).pages(2, 2);
    assert_eq!(*heard.0.lock(), [(1, 2), (2, 3), (3, 3)]);
}
