//! That a person finds what they look for.

use std::path::Path;

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
