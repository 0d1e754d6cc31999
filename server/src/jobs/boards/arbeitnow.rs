//! Arbeitnow: jobs in Germany and Europe, on site and remote.
//!
//! `GET /api/job-board-api?page=N` answers the newest postings, a few hundred a page.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use reqwest::Url;
use serde::Deserialize;

use super::{Feed, Page, link};
use crate::jobs::{
    html,
    index::{Entry, Whereabouts},
    job::Job,
};

/// Pages that are read: about the last week.
const PAGES: usize = 5;

/// The board.
#[derive(Debug)]
pub(in crate::jobs) struct Arbeitnow {
    pub(in crate::jobs) base_url: Url,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Posting>,
    #[serde(default)]
    links: Links,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Links {
    next: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Posting {
    slug: Option<String>,
    title: Option<String>,
    company_name: Option<String>,
    /// HTML.
    description: Option<String>,
    remote: Option<bool>,
    url: Option<String>,
    tags: Option<Vec<String>>,
    job_types: Option<Vec<String>>,
    /// Mostly a city without its country.
    location: Option<String>,
    /// Seconds since 1970.
    created_at: Option<i64>,
}

impl Feed for Arbeitnow {
    fn name(&self) -> &'static str {
        "arbeitnow"
    }

    fn title(&self) -> &'static str {
        "Arbeitnow"
    }

    fn credit(&self) -> &'static str {
        "Postings marked Arbeitnow come from Arbeitnow, https://www.arbeitnow.com."
    }

    fn lasting(&self) -> Duration {
        Duration::from_hours(1)
    }

    fn pages(&self) -> Vec<Url> {
        let page = |number: usize| {
            let mut url = self.base_url.clone();
            if let Ok(mut path) = url.path_segments_mut() {
                path.pop_if_empty().extend(["api", "job-board-api"]);
            }
            url.query_pairs_mut().append_pair("page", &number.to_string());
            url
        };
        (1..=PAGES).map(page).collect()
    }

    fn parse(&self, _: usize, body: &[u8]) -> Result<Page, serde_json::Error> {
        let answer: Answer = serde_json::from_slice(body)?;
        let last = answer.data.is_empty() || answer.links.next.is_none();
        Ok(Page {
            entries: answer.data.into_iter().filter_map(entry).collect(),
            last,
        })
    }
}

/// An entry, unless it lacks what makes it a posting: an id, a title and a link.
fn entry(posting: Posting) -> Option<Entry> {
    let text = |field: Option<String>| {
        field
            .map(|text| html::line(&text))
            .filter(|text| !text.is_empty())
    };
    let remote = posting.remote.unwrap_or(false);
    let location = text(posting.location).unwrap_or_default();
    let mut whereabouts = Whereabouts::of(&location, remote);
    // It names countries rarely, and is a board for Germany in the first place.
    if whereabouts.is_somewhere() && !whereabouts.has_country() {
        whereabouts.areas.push("DE");
    }
    let posted = posting
        .created_at
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    let types = posting.job_types.unwrap_or_default();
    Some(Entry {
        job: Job {
            job_id: format!("arbeitnow:{}", text(posting.slug)?),
            title: text(posting.title)?,
            company: text(posting.company_name).unwrap_or_else(|| "not named".to_owned()),
            location: match location {
                location if !location.is_empty() => location,
                _ if remote => "Remote".to_owned(),
                _ => "not named".to_owned(),
            },
            description: posting
                .description
                .map(|html| html::text(&html))
                .unwrap_or_default(),
            apply_link: link(posting.url)?,
            posted_at: posted.map(|time| time.to_zoned(TimeZone::UTC).date().to_string()),
            employment_type: text(Some(types.join(", "))),
            remote,
            salary: None,
            platform: Some("Arbeitnow".to_owned()),
            sample: false,
        },
        also: posting.tags.unwrap_or_default().join(" "),
        whereabouts,
    })
}
