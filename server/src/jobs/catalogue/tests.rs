//! That a person finds what they look for.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use super::*;
use crate::jobs::{
    country::Country,
    place::Place,
    request::{Platform, SearchRequest},
};

fn request(role: &str, place: Option<Place>) -> SearchRequest {
    SearchRequest {
        role: role.to_owned(),
        place,
        platform: None,
        jobs: 5,
        pages: 1,
    }
}

async fn found(catalogue: &Catalogue, role: &str, location: &str) -> Found {
    let place = (!location.is_empty()).then(|| Place::parse(location));
    catalogue
        .find(&request(role, place))
        .await
        .expect("a working catalogue")
}

#[tokio::test]
async fn the_first_hit_is_the_role_at_the_place() {
    let catalogue = Catalogue::new(Path::new("/nonexistent"), JobMetrics::default());
    for (role, location, title, at) in [
        (
            "Python developer",
            "San Francisco, CA",
            "Python Developer",
            "San Francisco, CA, United States",
        ),
        (
            "python developer jobs",
            "san francisco",
            "Python Developer",
            "San Francisco, CA, United States",
        ),
        (
            "rust engineer",
            "Berlin, Germany",
            "Rust Engineer",
            "Berlin, Germany",
        ),
        ("rust", "Berlin", "Rust Engineer", "Berlin, Germany"),
        ("senior rust engineer", "Remote", "Rust Engineer", "Remote"),
        (
            "nurse",
            "London, UK",
            "Registered Nurse",
            "London, United Kingdom",
        ),
        (
            "software engineer in machine learning",
            "",
            "Machine Learning Engineer",
            "",
        ),
        (
            "devops kubernetes",
            "Berlin, DE",
            "DevOps Engineer",
            "Berlin, Germany",
        ),
        ("math teacher", "Berlin", "Mathematics Teacher", "Berlin, Germany"),
        ("electricians", "London", "Electrician", "London, United Kingdom"),
        (
            "engineering manager",
            "San Francisco",
            "Engineering Manager",
            "San Francisco, CA, United States",
        ),
        (
            "product manager",
            "United States",
            "Product Manager",
            "United States",
        ),
        ("frontend", "", "Frontend Developer", ""),
        ("front-end developer", "", "Frontend Developer", ""),
        ("accountant", "Sao Paulo, Brazil", "Accountant", ""),
    ] {
        let found = found(&catalogue, role, location).await;
        let first = found
            .jobs
            .first()
            .unwrap_or_else(|| panic!("nothing for {role} in {location}"));
        assert!(
            first.title.ends_with(title),
            "{role} in {location}: {}",
            first.title
        );
        assert!(
            first.location.ends_with(at),
            "{role} in {location}: {}",
            first.location
        );
        assert!(first.sample && found.note.expect("a note").contains("RAPIDAPI_KEY"));
    }
}

#[tokio::test]
async fn every_role_is_found_by_its_own_name_in_every_hub() {
    let catalogue = Catalogue::new(Path::new("/nonexistent"), JobMetrics::default());
    for sample in samples::all().expect("good data") {
        let Some(country) = Country::find(sample.whereabouts.areas[0]) else {
            continue;
        };
        let city = sample.job.location.split(',').next().expect("a city").to_owned();
        let wanted = request(&sample.job.title, Some(Place::city(&city, country)));
        let found = catalogue.find(&wanted).await.expect("found");
        let title = found.jobs[0]
            .title
            .trim_start_matches("Senior ")
            .trim_start_matches("Junior ");
        assert!(
            sample.job.title.ends_with(title),
            "{} is not {}",
            title,
            sample.job.title
        );
        assert!(
            found.jobs[0].location.starts_with(&city),
            "{} is not in {city}",
            found.jobs[0].location
        );
    }
}

#[tokio::test]
async fn nonsense_finds_nothing_and_says_so() {
    let catalogue = Catalogue::new(Path::new("/nonexistent"), JobMetrics::default());
    for role in ["qwxzy", "underwater basket weaver of Atlantis", "!!!", "the job"] {
        let found = found(&catalogue, role, "").await;
        assert!(found.jobs.is_empty(), "{role}: {}", found.jobs[0].title);
        assert!(found.note.expect("a note").starts_with("No sample posting fits."));
    }
}

#[tokio::test]
async fn an_unknown_place_is_said_to_be_one() {
    let catalogue = Catalogue::new(Path::new("/nonexistent"), JobMetrics::default());
    let found = found(&catalogue, "rust engineer", "Ulaanbaatar, Mongolia").await;
    assert!(
        found.jobs.iter().all(|job| job.remote),
        "remote ones fit anywhere"
    );
    let found = self::found(&catalogue, "rust engineer", "Smallville").await;
    assert!(
        found
            .note
            .expect("a note")
            .starts_with("No sample posting fits in Smallville; these are elsewhere.")
    );
}

#[tokio::test]
async fn platforms_and_counts_are_kept() {
    let germany = Country::find("DE").expect("a country");
    let wanted = SearchRequest {
        platform: Some(Platform::Indeed),
        jobs: 20,
        ..request("developer", Some(Place::Country(germany)))
    };
    let found = Catalogue::new(Path::new("/nonexistent"), JobMetrics::default())
        .find(&wanted)
        .await
        .expect("found");
    assert!(!found.jobs.is_empty() && found.jobs.len() <= 20);
    assert!(
        found
            .jobs
            .iter()
            .all(|job| job.platform.as_deref() == Some("indeed"))
    );
}

const POSTINGS: &str = r#"{"title": "Rust Engineer", "company": "Acme", "location": "Berlin, Germany", "job_id": "acme-1"}

{"title": "Baker", "company": "Oven", "location": "Munich"}
"#;

/// A code behind the city that is a state of the USA and a country.
#[tokio::test]
async fn a_code_that_means_two_things_is_found_as_both() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines: Vec<_> = ["Berlin, DE", "Newark, DE", "Toronto, Canada"]
        .map(|place| format!(r#"{{"title": "Nurse", "company": "Ward of {place}", "location": "{place}"}}"#))
        .into();
    fs::write(folder.path().join("a.jsonl"), lines.join("\n")).expect("written");
    let (catalogue, _) = own(folder.path());
    for (place, first) in [
        ("Berlin, Germany", "Berlin, DE"),
        ("Newark, United States", "Newark, DE"),
        ("Canada", "Toronto, Canada"),
        ("Germany", "Berlin, DE"),
    ] {
        let found = found(&catalogue, "nurse", place).await;
        assert_eq!(found.jobs[0].location, first, "{place}");
        assert_eq!(found.note, None, "{place}");
    }
}

fn own(folder: &Path) -> (Catalogue, JobMetrics) {
    let metrics = JobMetrics::default();
    (Catalogue::new(folder, metrics.clone()), metrics)
}

/// Waits until `right`; what is read again is read in a task of its own.
async fn until(mut right: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !right().await {
        assert!(start.elapsed() < Duration::from_secs(20), "not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn own_postings_take_the_samples_place() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.jsonl"), POSTINGS).expect("written");
    fs::write(folder.path().join("notes.txt"), "no postings").expect("written");
    let (catalogue, _) = own(folder.path());
    let found = found(&catalogue, "rust engineer", "Berlin, Germany").await;
    assert_eq!(found.jobs.len(), 1);
    assert_eq!((found.jobs[0].job_id.as_str(), found.note), ("acme-1", None));
    // A city whose country nobody wrote is found with and without one.
    for place in ["Munich", "Munich, Germany"] {
        let found = self::found(&catalogue, "baker", place).await;
        assert_eq!(
            (found.jobs[0].title.as_str(), &found.note),
            ("Baker", &None),
            "{place}"
        );
        let id = &found.jobs[0].job_id;
        assert_eq!(
            catalogue.posting(id).await.expect("an answer").as_ref(),
            found.jobs.first()
        );
    }
    let found = self::found(&catalogue, "nurse", "").await;
    assert!(found.jobs.is_empty(), "no sample");
    assert!(found.note.expect("a note").starts_with("None of the 2 postings"));
}

#[tokio::test]
async fn titles_come_first_and_in_the_order_of_the_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = |title: &str, description: &str| {
        format!(r#"{{"title": "{title}", "company": "{title} Ltd", "description": "{description}"}}"#)
    };
    let lines = [
        line("Baker", "Bakes for a rust engineer"),
        line("Senior Rust Engineer of the Payments Team", ""),
        line("Farrier", "rust rust rust engineer engineer"),
        line("Rust Engineer", ""),
    ];
    fs::write(folder.path().join("a.jsonl"), lines.join("\n")).expect("written");
    let (catalogue, _) = own(folder.path());
    let found = found(&catalogue, "rust engineer", "").await;
    let texts: Vec<_> = found
        .jobs
        .iter()
        .map(|job| (job.title.as_str(), job.description.as_str()))
        .collect();
    assert_eq!(
        texts,
        [
            ("Senior Rust Engineer of the Payments Team", ""),
            ("Rust Engineer", ""),
            ("Farrier", "rust rust rust engineer engineer"),
            ("Baker", "Bakes for a rust engineer"),
        ]
    );
}

#[tokio::test]
async fn bad_lines_are_counted_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = format!(
        r#"{{"title": "Long", "company": "x", "description": "{}"}}"#,
        "x".repeat(70_000)
    );
    let bad = ["{", r#"{"title": "No company"}"#, "null", &long];
    fs::write(
        folder.path().join("a.jsonl"),
        format!("{}\n{POSTINGS}{POSTINGS}", bad.join("\n")),
    )
    .expect("written");
    // Its last line has no end.
    fs::write(
        folder.path().join("b.jsonl"),
        POSTINGS
            .trim_end()
            .replace("acme-1", "acme-2")
            .replace("Oven", "Mill"),
    )
    .expect("written");
    let (catalogue, metrics) = own(folder.path());
    let found = found(&catalogue, "baker", "").await;
    let companies: Vec<_> = found.jobs.iter().map(|job| job.company.as_str()).collect();
    assert_eq!(companies, ["Oven", "Mill"], "in the order of the files");
    let note = found.note.expect("a note");
    assert!(
        note.starts_with("6 lines of the catalogue's files could not be read"),
        "{note}"
    );
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    let mut shown = String::new();
    prometheus_client::encoding::text::encode(&mut shown, &registry).expect("encodes");
    for line in ["catalogue_postings 4", "catalogue_bad_lines 6"] {
        assert!(shown.lines().any(|shown| shown == line), "no {line} in {shown}");
    }
}

#[tokio::test]
async fn changed_files_are_read_again_while_the_old_postings_are_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.jsonl");
    let (catalogue, _) = own(folder.path());
    assert!(
        found(&catalogue, "rust", "").await.jobs[0].sample,
        "no files, so samples"
    );
    let generation = catalogue.generation();
    fs::write(&path, POSTINGS).expect("written");
    until(async || {
        catalogue.generation();
        let found = found(&catalogue, "rust", "").await;
        assert!(!found.jobs.is_empty());
        !found.jobs[0].sample
    })
    .await;
    assert!(catalogue.generation() > generation);
    fs::remove_file(&path).expect("removed");
    until(async || {
        catalogue.generation();
        found(&catalogue, "rust", "").await.jobs[0].sample
    })
    .await;
}

#[tokio::test]
async fn whoever_leaves_does_not_stop_the_reading() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.jsonl"), POSTINGS).expect("written");
    let (catalogue, _) = own(folder.path());
    let wanted = request("rust", None);
    let mut first = Box::pin(catalogue.find(&wanted));
    assert!(futures::poll!(&mut first).is_pending());
    drop(first);
    assert_eq!(found(&catalogue, "rust", "").await.jobs.len(), 1);
}
