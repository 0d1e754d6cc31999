//! Against a server on loopback that plays the boards, with answers of the shapes that they document. The boards
//! themselves are not asked.

use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{any, path, query_param},
};

use super::{arbeitnow::Arbeitnow, greenhouse::Greenhouse, remotive::Remotive, *};
use crate::{jobs::place::Place, metrics::JobMetrics};

fn board(feed: impl Feed + 'static) -> Board {
    let timeouts = Timeouts {
        backoff: Duration::from_millis(5),
        ..Timeouts::default()
    };
    let upstream = Upstream::new(timeouts.clone(), JobMetrics::default());
    Board::new(feed, upstream, timeouts)
}

fn url(server: &MockServer) -> Url {
    server.uri().parse().expect("a URL")
}

fn request(role: &str, place: &str) -> SearchRequest {
    SearchRequest {
        role: role.to_owned(),
        place: (!place.is_empty()).then(|| Place::parse(place)),
        platform: None,
        jobs: 5,
        pages: 1,
    }
}

async fn answering(body: Value) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(&server)
        .await;
    server
}

async fn asked(server: &MockServer) -> usize {
    server.received_requests().await.expect("recorded").len()
}

fn remotive_answer() -> Value {
    json!({
        "0-legal-notice": "Remotive API Legal Notice", "job-count": 2,
        "jobs": [
            { "id": 123, "url": "https://remotive.com/remote-jobs/product/lead-developer-123",
              "title": "Lead Rust Developer", "company_name": "Example &amp; Sons", "company_logo": "https://remotive.com/logo",
              "category": "Software Development", "tags": ["rust", "backend"], "job_type": "full_time",
              "publication_date": "2026-11-15T10:23:26", "candidate_required_location": "Worldwide",
              "salary": "$40,000 - $50,000", "description": "<p>Lead &amp; <strong>build</strong>.</p><ul><li>Rust</li></ul>" },
            { "id": 124, "url": "https://remotive.com/remote-jobs/all-others/nurse-124", "title": "Telehealth Nurse",
              "company_name": "Ward", "category": "All others", "tags": [], "job_type": "",
              "publication_date": "2026-11-16T10:23:26", "candidate_required_location": "USA", "salary": "",
              "description": "Care." },
            { "id": 125, "url": "javascript:alert(1)", "title": "Trap", "company_name": "Bad" }
        ]
    })
}

#[tokio::test]
async fn remotive_is_read_as_it_documents_and_credited_as_it_asks() {
    let server = MockServer::start().await;
    Mock::given(path("/api/remote-jobs"))
        .respond_with(ResponseTemplate::new(200).set_body_json(remotive_answer()))
        .expect(1)
        .mount(&server)
        .await;
    let remotive = board(Remotive {
        base_url: url(&server),
    });
    let found = remotive
        .find(&request("rust developer", "Berlin, Germany"), &())
        .await
        .expect("found");
    assert_eq!(&*found.source, "remotive");
    assert!(found.note.expect("a note").contains("https://remotive.com"));
    insta::assert_json_snapshot!(found.jobs, @r#"
    [
      {
        "job_id": "remotive:123",
        "title": "Lead Rust Developer",
        "company": "Example & Sons",
        "location": "Remote (Worldwide)",
        "description": "Lead & build.\n* Rust",
        "apply_link": "https://remotive.com/remote-jobs/product/lead-developer-123",
        "posted_at": "2026-11-15",
        "employment_type": "full-time",
        "remote": true,
        "salary": "$40,000 - $50,000",
        "platform": "Remotive"
      }
    ]
    "#);
    // One who must live in the USA is none for Berlin, nor is a link that is none.
    let found = remotive
        .find(&request("nurse", "Berlin, Germany"), &())
        .await
        .expect("an answer");
    assert!(found.note.expect("a note").contains("elsewhere"));
    assert!(
        remotive
            .find(&request("trap", ""), &())
            .await
            .expect("an answer")
            .jobs
            .is_empty()
    );
    // Its ids lead back to it, and others do not.
    assert!(
        remotive
            .posting("remotive:124")
            .await
            .expect("an answer")
            .is_some()
    );
    assert!(remotive.posting("remotive:9").await.expect("an answer").is_none());
    assert!(remotive.posting("124").await.expect("an answer").is_none());
}

#[tokio::test]
async fn arbeitnow_is_read_page_by_page() {
    let server = MockServer::start().await;
    for (page, next, title, location) in [
        (
            1,
            json!("https://elsewhere.example.com/api/job-board-api?page=2"),
            "Rust Engineer (m/w/d)",
            "Berlin",
        ),
        (2, Value::Null, "Baker", "London, United Kingdom"),
    ] {
        let posting = json!({
            "slug": format!("job-{page}"), "company_name": "Example GmbH", "title": title, "description": "<p>Work.</p>",
            "remote": false, "url": format!("https://www.arbeitnow.com/jobs/companies/example/job-{page}"),
            "tags": ["Engineering"], "job_types": ["Full-time"], "location": location, "created_at": 1_763_600_000
        });
        let body = json!({ "data": [posting, {}], "links": { "first": "", "next": next }, "meta": { "current_page": page } });
        Mock::given(path("/api/job-board-api"))
            .and(query_param("page", page.to_string()))
            .respond_with(ResponseTemplate::new(200).set_body_json(body))
            .expect(1)
            .mount(&server)
            .await;
    }
    let arbeitnow = board(Arbeitnow {
        base_url: url(&server),
    });
    for place in ["Berlin, Germany", "Berlin", "Germany"] {
        let found = arbeitnow
            .find(&request("rust engineer", place), &())
            .await
            .expect("found");
        assert_eq!(found.jobs[0].job_id, "arbeitnow:job-1", "{place}");
        assert!(
            !found.note.clone().expect("a note").contains("elsewhere"),
            "{place}: {:?}",
            found.note
        );
    }
    let found = arbeitnow
        .find(&request("baker", "London, UK"), &())
        .await
        .expect("found");
    let job = &found.jobs[0];
    assert_eq!(
        (job.posted_at.as_deref(), job.platform.as_deref()),
        (Some("2025-11-20"), Some("Arbeitnow"))
    );
    let note = found.note.as_deref().expect("a note");
    assert!(note.contains("https://www.arbeitnow.com"), "{note}");
    assert_eq!(asked(&server).await, 2);
}

#[tokio::test]
async fn greenhouse_is_read_company_by_company_and_one_may_be_gone() {
    let server = MockServer::start().await;
    let posting = json!({
        "id": 127_817, "title": "Rust Engineer", "updated_at": "2026-11-14T10:55:28-05:00",
        "location": { "name": "Remote - Germany" }, "absolute_url": "https://boards.greenhouse.io/example/jobs/127817",
        "content": "&lt;p&gt;Build &amp;amp; run.&lt;/p&gt;"
    });
    Mock::given(path("/v1/boards/example/jobs"))
        .and(query_param("content", "true"))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(json!({ "jobs": [posting], "meta": { "total": 1 } })),
        )
        .mount(&server)
        .await;
    let companies = vec!["gone".to_owned(), "example".to_owned()];
    let greenhouse = board(Greenhouse {
        base_url: url(&server),
        companies,
    });
    let found = greenhouse
        .find(&request("rust", "Berlin, Germany"), &())
        .await
        .expect("found");
    assert!(
        found
            .note
            .expect("a note")
            .contains("A part of Greenhouse could not be read.")
    );
    let job = &found.jobs[0];
    assert_eq!(
        (job.company.as_str(), job.description.as_str()),
        ("example", "Build & run.")
    );
    assert!(job.remote);
    let again = greenhouse.posting(&job.job_id).await.expect("an answer");
    assert_eq!(again.as_ref(), Some(job));
}

#[tokio::test]
async fn a_feed_is_fetched_once_for_all_who_search() {
    let body = ResponseTemplate::new(200)
        .set_body_json(remotive_answer())
        .set_delay(Duration::from_millis(50));
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(body).mount(&server).await;
    let remotive = board(Remotive {
        base_url: url(&server),
    });
    let (rust, nurse) = (request("rust", ""), request("nurse", ""));
    let (rust, nurse) = tokio::join!(remotive.find(&rust, &()), remotive.find(&nurse, &()));
    assert_eq!(
        (rust.expect("found").jobs.len(), nurse.expect("found").jobs.len()),
        (1, 1)
    );
    assert_eq!(asked(&server).await, 1);
}

#[tokio::test]
async fn failures_are_told_in_words_and_the_board_is_left_alone_for_a_while() {
    for (template, tries, category, words) in [
        (
            ResponseTemplate::new(429),
            1,
            "limited",
            "Remotive asks for fewer requests",
        ),
        (
            ResponseTemplate::new(503),
            3,
            "unwell",
            "Remotive has a problem of its own (HTTP 503)",
        ),
        (
            ResponseTemplate::new(302).insert_header("Location", "http://127.0.0.1:9/"),
            1,
            "redirected",
            "redirect",
        ),
        (
            ResponseTemplate::new(200).set_body_string("<html>"),
            1,
            "garbled",
            "could not be understood",
        ),
    ] {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(template).mount(&server).await;
        let remotive = board(Remotive {
            base_url: url(&server),
        });
        for _ in 0..2 {
            let error = remotive
                .find(&request("rust", ""), &())
                .await
                .expect_err(category);
            assert_eq!(error.category(), category);
            assert!(error.to_string().contains(words), "{error}");
        }
        assert_eq!(asked(&server).await, tries, "{category}");
    }
}

#[derive(Debug)]
struct Hasty(Remotive);

/// A board whose postings are always due to be fetched again.
impl Feed for Hasty {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn title(&self) -> &'static str {
        self.0.title()
    }
    fn credit(&self) -> &'static str {
        self.0.credit()
    }
    fn lasting(&self) -> Duration {
        Duration::ZERO
    }
    fn pages(&self) -> Vec<Url> {
        self.0.pages()
    }
    fn parse(&self, page: usize, body: &[u8]) -> Result<Page, serde_json::Error> {
        self.0.parse(page, body)
    }
}

#[tokio::test]
async fn old_postings_are_answered_while_new_ones_are_fetched() {
    let server = answering(remotive_answer()).await;
    let remotive = board(Hasty(Remotive {
        base_url: url(&server),
    }));
    let generation = remotive.generation();
    assert_eq!(
        remotive
            .find(&request("rust", ""), &())
            .await
            .expect("found")
            .jobs
            .len(),
        1
    );
    server.reset().await;
    let body = json!({ "jobs": [{ "id": 7, "url": "https://remotive.com/7", "title": "Baker", "company_name": "Oven" }] });
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(&server)
        .await;
    assert_eq!(
        remotive
            .find(&request("rust", ""), &())
            .await
            .expect("the old ones")
            .jobs
            .len(),
        1
    );
    let start = Instant::now();
    while remotive
        .find(&request("baker", ""), &())
        .await
        .expect("an answer")
        .jobs
        .is_empty()
    {
        assert!(start.elapsed() < Duration::from_secs(20), "never fetched again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(
        remotive.generation() > generation,
        "answers kept from before are not given any more"
    );
}
