//! What `search_jobs` answers: structured for programs, and as text for models.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::arguments::Parsed;
use crate::jobs::{
    Found,
    job::{Job, clipped},
    request::SearchRequest,
};

/// The tool's structured content.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Answer {
    /// The postings, best first. Empty when nothing fits.
    pub(crate) jobs: Vec<Job>,
    /// Where they come from.
    source: &'static str,
    /// What a reader should know about them, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

impl Answer {
    pub(crate) fn new(found: Found, parsed: &Parsed) -> Self {
        let Found {
            mut jobs,
            source,
            note,
        } = found;
        if let Some(limit) = parsed.slice {
            for job in &mut jobs {
                job.description = clipped(&job.description, limit);
            }
        }
        let notes: Vec<_> = note
            .into_iter()
            .chain(parsed.notes.iter().map(|&note| note.to_owned()))
            .collect();
        Self {
            jobs,
            source,
            note: (!notes.is_empty()).then(|| notes.join(" ")),
        }
    }

    pub(super) fn text(&self, request: &SearchRequest) -> String {
        let mut text = String::new();
        self.write(request, &mut text).unwrap_or_default();
        text
    }

    fn write(&self, request: &SearchRequest, text: &mut String) -> std::fmt::Result {
        match self.jobs.len() {
            0 => writeln!(text, "No job found for {request}.")?,
            1 => writeln!(text, "1 job found for {request}:")?,
            count => writeln!(text, "{count} jobs found for {request}:")?,
        }
        if let Some(note) = &self.note {
            writeln!(text, "{note}")?;
        }
        for (index, job) in self.jobs.iter().enumerate() {
            let sample = if job.sample { " (sample)" } else { "" };
            writeln!(
                text,
                "\n{}. {}{sample}\n   {}, {}",
                index + 1,
                job.title,
                job.company,
                job.location
            )?;
            let facts: Vec<_> = [
                job.employment_type.clone(),
                job.remote.then(|| "remote".to_owned()),
                job.salary.clone(),
                job.posted_at.as_ref().map(|date| format!("posted {date}")),
            ]
            .into_iter()
            .flatten()
            .collect();
            if !facts.is_empty() {
                writeln!(text, "   {}", facts.join(" · "))?;
            }
            if !job.description.is_empty() {
                writeln!(text, "   {}", job.description.replace('\n', "\n   "))?;
            }
            writeln!(text, "   Apply: {}\n   job_id: {}", job.apply_link, job.job_id)?;
        }
        Ok(())
    }
}
