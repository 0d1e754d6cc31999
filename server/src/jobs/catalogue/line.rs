//! One line of a user's own postings: a JSON object with the names of the tool's answer.

use serde::Deserialize;

use crate::jobs::{
    index::{Entry, Whereabouts},
    job::{Job, clean},
    key_of,
};

/// The longest short text, in characters: a title, a name, a place, a link.
const MAX_TEXT: usize = 500;

/// Why a line is no posting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("not a JSON object with the expected types: {0}")]
    Json(String),
    #[error("{0} is missing or empty")]
    Missing(&'static str),
    #[error("{0} is longer than {MAX_TEXT} characters")]
    Long(&'static str),
    #[error("apply_link must begin with https:// or http://")]
    Link,
    #[error("posted_at must be a date like 2026-11-20")]
    Date,
}

/// As it is written; unknown fields are left alone.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    job_id: Option<String>,
    title: Option<String>,
    company: Option<String>,
    location: Option<String>,
    description: Option<String>,
    apply_link: Option<String>,
    posted_at: Option<String>,
    employment_type: Option<String>,
    remote: Option<bool>,
    salary: Option<String>,
    platform: Option<String>,
}

/// Reads a line.
pub(super) fn parse(json: &[u8]) -> Result<Entry, Error> {
    // serde would take an array for the fields in their order.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::Json("it does not begin with {".to_owned()));
    }
    let line: Line = serde_json::from_slice(json).map_err(|error| Error::Json(clean(&error.to_string())))?;
    let title = text("title", line.title)?.ok_or(Error::Missing("title"))?;
    let company = text("company", line.company)?.ok_or(Error::Missing("company"))?;
    let location = text("location", line.location)?.unwrap_or_default();
    let whereabouts = Whereabouts::of(&location, line.remote.unwrap_or(false));
    // Without a place and without a word about it, nobody knows whether it is remote.
    let remote = line
        .remote
        .unwrap_or_else(|| whereabouts.is_remote() && !location.is_empty());
    let location = match location {
        location if !location.is_empty() => location,
        _ if remote => "Remote".to_owned(),
        _ => "not named".to_owned(),
    };
    let apply_link = text("apply_link", line.apply_link)?.unwrap_or_default();
    // Anything else could run a program when a person clicks on it.
    if !(apply_link.is_empty() || apply_link.starts_with("https://") || apply_link.starts_with("http://")) {
        return Err(Error::Link);
    }
    let posted_at = text("posted_at", line.posted_at)?
        .map(|date| day(&date))
        .transpose()?;
    let job_id = match text("job_id", line.job_id)? {
        Some(job_id) => job_id,
        // The same whenever the file is read, and whatever else is in it.
        None => format!("own-{:016x}", key_of(&[&title, &company, &location, &apply_link])),
    };
    Ok(Entry {
        job: Job {
            job_id,
            title,
            company,
            location,
            description: line.description.map(|text| clean(&text)).unwrap_or_default(),
            apply_link,
            posted_at,
            employment_type: text("employment_type", line.employment_type)?,
            remote,
            salary: text("salary", line.salary)?,
            platform: text("platform", line.platform)?,
            sample: false,
        },
        also: String::new(),
        whereabouts,
    })
}

/// A short text on one line; `None` if there is nothing in it.
fn text(name: &'static str, text: Option<String>) -> Result<Option<String>, Error> {
    let Some(text) = text else { return Ok(None) };
    let text = clean(&text).split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() > MAX_TEXT {
        return Err(Error::Long(name));
    }
    Ok((!text.is_empty()).then_some(text))
}

/// The day of a date or a point in time.
fn day(text: &str) -> Result<String, Error> {
    let day = text
        .get(..10)
        .and_then(|day| day.parse::<jiff::civil::Date>().ok());
    day.map(|day| day.to_string()).ok_or(Error::Date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Entry, Error> {
        parse(line.as_bytes())
    }

    #[test]
    fn a_title_and_a_company_are_enough() {
        let entry = parsed(r#"{"title": "Rust  Engineer\u202e", "company": "Example GmbH", "extra": [1]}"#)
            .expect("valid");
        insta::assert_json_snapshot!(entry.job, @r#"
        {
          "job_id": "own-399589ed1759ec9a",
          "title": "Rust Engineer",
          "company": "Example GmbH",
          "location": "not named",
          "description": "",
          "apply_link": "",
          "remote": false
        }
        "#);
    }

    #[test]
    fn every_field_is_taken_over() {
        let line = r#"{"job_id": "7", "title": "Nurse", "company": "Ward", "location": "Remote", "description": "Care.",
            "apply_link": "https://example.com/7", "posted_at": "2026-11-20T08:00:00Z", "employment_type": "part-time",
            "salary": "40 EUR an hour", "platform": "Intranet"}"#;
        let job = parsed(line).expect("valid").job;
        assert!(job.remote, "by its place");
        assert_eq!(
            (job.job_id.as_str(), job.posted_at.as_deref()),
            ("7", Some("2026-11-20"))
        );
        assert_eq!(
            (job.salary.as_deref(), job.platform.as_deref()),
            (Some("40 EUR an hour"), Some("Intranet"))
        );
    }

    #[test]
    fn each_mistake_is_named() {
        let long = format!(r#"{{"title": "{}", "company": "b"}}"#, "x".repeat(501));
        for (line, error) in [
            (r#"{"company": "b"}"#, Error::Missing("title")),
            (r#"{"title": "a", "company": " "}"#, Error::Missing("company")),
            (
                r#"{"title": "a", "company": "b", "apply_link": "javascript:alert(1)"}"#,
                Error::Link,
            ),
            (
                r#"{"title": "a", "company": "b", "posted_at": "yesterday"}"#,
                Error::Date,
            ),
            (long.as_str(), Error::Long("title")),
        ] {
            assert_eq!(parsed(line).expect_err(line), error, "{line}");
        }
        for bad in ["", "[]", "{", r#"{"title": 5, "company": "b"}"#] {
            assert!(matches!(parsed(bad), Err(Error::Json(_))), "{bad}");
        }
    }
}
