//! Greenhouse: the boards of companies that hire with it.
//!
//! `GET /v1/boards/COMPANY/jobs?content=true` answers all postings of one company.

use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::{Feed, Page, link};
use crate::jobs::{
    html,
    index::{Entry, Whereabouts},
    job::Job,
};

/// The boards of some companies.
#[derive(Debug)]
pub(in crate::jobs) struct Greenhouse {
    pub(in crate::jobs) base_url: Url,
    /// As their addresses name them.
    pub(in crate::jobs) companies: Vec<String>,
}

#[derive(Deserialize)]
struct Answer {
    jobs: Vec<Posting>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Posting {
    id: Option<u64>,
    absolute_url: Option<String>,
    title: Option<String>,
    company_name: Option<String>,
    location: Option<Location>,
    /// HTML, escaped once more.
    content: Option<String>,
    /// A date, a time and a zone.
    first_published: Option<String>,
    updated_at: Option<String>,
}

#[derive(Deserialize)]
struct Location {
    name: Option<String>,
}

impl Feed for Greenhouse {
    fn name(&self) -> &'static str {
        "greenhouse"
    }

    fn title(&self) -> &'static str {
        "Greenhouse"
    }

    fn credit(&self) -> &'static str {
        "Postings marked Greenhouse come from the companies' own boards there; their links lead to them."
    }

    fn lasting(&self) -> Duration {
        Duration::from_hours(1)
    }

    fn pages(&self) -> Vec<Url> {
        let page = |company: &String| {
            let mut url = self.base_url.clone();
            if let Ok(mut path) = url.path_segments_mut() {
                path.pop_if_empty().extend(["v1", "boards", company, "jobs"]);
            }
            url.query_pairs_mut().append_pair("content", "true");
            url
        };
        self.companies.iter().map(page).collect()
    }

    fn pages_are_apart(&self) -> bool {
        true
    }

    fn parse(&self, page: usize, body: &[u8]) -> Result<Page, serde_json::Error> {
        let answer: Answer = serde_json::from_slice(body)?;
        let company = self.companies.get(page).map_or("", String::as_str);
        let entries = answer
            .jobs
            .into_iter()
            .filter_map(|posting| entry(posting, company));
        Ok(Page {
            entries: entries.collect(),
            last: true,
        })
    }
}

/// An entry, unless it lacks what makes it a posting: an id, a title and a link.
fn entry(posting: Posting, company: &str) -> Option<Entry> {
    let text = |field: Option<String>| {
        field
            .map(|text| html::line(&text))
            .filter(|text| !text.is_empty())
    };
    let location = text(posting.location.and_then(|location| location.name)).unwrap_or_default();
    let whereabouts = Whereabouts::of(&location, false);
    let remote = whereabouts.is_remote() && !location.is_empty();
    let posted = text(posting.first_published).or_else(|| text(posting.updated_at));
    // Once to undo the escaping, once for the HTML itself.
    let description = posting
        .content
        .map(|content| html::text(&html::unescaped(&content)));
    Some(Entry {
        job: Job {
            job_id: format!("greenhouse:{company}:{}", posting.id?),
            title: text(posting.title)?,
            company: text(posting.company_name).unwrap_or_else(|| company.to_owned()),
            location: if location.is_empty() {
                "not named".to_owned()
            } else {
                location
            },
            description: description.unwrap_or_default(),
            apply_link: link(posting.absolute_url)?,
            posted_at: posted.and_then(|time| time.get(..10).map(str::to_owned)),
            employment_type: None,
            remote,
            salary: None,
            platform: Some("Greenhouse".to_owned()),
            sample: false,
        },
        also: String::new(),
        whereabouts,
    })
}
