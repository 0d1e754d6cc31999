//! Remotive: remote jobs.
//!
//! `GET /api/remote-jobs` answers all of them. Its terms ask for a link to the posting on Remotive, for its name
//! as the source, and for at most four requests a day.

use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::{Feed, Page, link};
use crate::jobs::{
    html,
    index::{Entry, Whereabouts},
    job::Job,
};

/// The board.
#[derive(Debug)]
pub(in crate::jobs) struct Remotive {
    pub(in crate::jobs) base_url: Url,
}

#[derive(Deserialize)]
struct Answer {
    jobs: Vec<Posting>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Posting {
    id: Option<u64>,
    url: Option<String>,
    title: Option<String>,
    company_name: Option<String>,
    category: Option<String>,
    tags: Option<Vec<String>>,
    /// Like `full_time`.
    job_type: Option<String>,
    /// A date and a time, without a zone.
    publication_date: Option<String>,
    /// Where an applicant has to live, like "Worldwide" or "USA, Canada".
    candidate_required_location: Option<String>,
    salary: Option<String>,
    /// HTML.
    description: Option<String>,
}

impl Feed for Remotive {
    fn name(&self) -> &'static str {
        "remotive"
    }

    fn title(&self) -> &'static str {
        "Remotive"
    }

    fn credit(&self) -> &'static str {
        "Postings marked Remotive come from Remotive, https://remotive.com; their links lead there."
    }

    fn lasting(&self) -> Duration {
        Duration::from_hours(6)
    }

    fn pages(&self) -> Vec<Url> {
        let mut url = self.base_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "remote-jobs"]);
        }
        vec![url]
    }

    fn parse(&self, _: usize, body: &[u8]) -> Result<Page, serde_json::Error> {
        let answer: Answer = serde_json::from_slice(body)?;
        Ok(Page {
            entries: answer.jobs.into_iter().filter_map(entry).collect(),
            last: true,
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
    let location = text(posting.candidate_required_location).unwrap_or_default();
    let mut also = posting.tags.unwrap_or_default();
    also.extend(posting.category);
    Some(Entry {
        whereabouts: Whereabouts::of(&location, true),
        job: Job {
            job_id: format!("remotive:{}", posting.id?),
            title: text(posting.title)?,
            company: text(posting.company_name).unwrap_or_else(|| "not named".to_owned()),
            location: match location {
                location if location.is_empty() => "Remote".to_owned(),
                location => format!("Remote ({location})"),
            },
            description: posting
                .description
                .map(|html| html::text(&html))
                .unwrap_or_default(),
            apply_link: link(posting.url)?,
            posted_at: text(posting.publication_date).and_then(|time| time.get(..10).map(str::to_owned)),
            employment_type: text(posting.job_type).map(|kind| kind.replace('_', "-")),
            remote: true,
            salary: text(posting.salary),
            platform: Some("Remotive".to_owned()),
            sample: false,
        },
        also: also.join(" "),
    })
}
