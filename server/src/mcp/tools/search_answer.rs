//! What `search_jobs` answers: structured for programs, and as text for models.

use std::{
    borrow::Cow,
    fmt::Write as _,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use moka::sync::Cache;
use rmcp::model::CallToolResult;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    arguments::Parsed,
    result::answer,
    written::{Outlet, members},
};
use crate::jobs::{
    Found,
    job::{Job, clipped},
    request::SearchRequest,
};

/// Memory for answers that are kept, in bytes, about.
const KEPT_BYTES: u64 = 16 << 20;

/// How long an answer is kept that nobody asks for.
const KEPT_FOR: Duration = Duration::from_mins(5);

/// The tool's structured content.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Answer<'a> {
    /// The postings, best first. Empty when nothing fits.
    pub(crate) jobs: Cow<'a, [Job]>,
    /// Where they come from.
    source: &'a str,
    /// What a reader should know about them, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

/// Answers that were asked for more than once, written down.
#[derive(Debug)]
pub(super) struct Answers(Cache<Parsed, Kept>);

/// An answer, and the jobs that it tells of: only as long as they are the ones that are found, it is the answer.
#[derive(Debug, Clone)]
struct Kept {
    jobs: Weak<[Job]>,
    members: Bytes,
}

impl Answers {
    pub(super) fn new() -> Self {
        let cache = Cache::builder()
            .max_capacity(KEPT_BYTES)
            .time_to_idle(KEPT_FOR)
            .weigher(|_, kept: &Kept| kept.weight())
            .build();
        Self(cache)
    }

    /// The tool's result, left in writing where somebody takes that.
    pub(super) fn result(&self, found: &Found, parsed: &Parsed, outlet: Option<&Outlet>) -> CallToolResult {
        let Some(outlet) = outlet.filter(|_| found.repeated) else {
            return result(found, parsed);
        };
        if let Some(kept) = self.0.get(parsed)
            && std::ptr::addr_eq(kept.jobs.as_ptr(), Arc::as_ptr(&found.jobs))
        {
            return outlet.leave(kept.members);
        }
        let result = result(found, parsed);
        let Ok(members) = members(&result) else {
            return result;
        };
        let kept = Kept {
            jobs: Arc::downgrade(&found.jobs),
            members: members.clone(),
        };
        self.0.insert(parsed.clone(), kept);
        outlet.leave(members)
    }
}

impl Kept {
    /// What it takes, in bytes, with what it is found by.
    fn weight(&self) -> u32 {
        u32::try_from(self.members.len() + 1_000).unwrap_or(u32::MAX)
    }
}

fn result(found: &Found, parsed: &Parsed) -> CallToolResult {
    let structured = Answer::new(found, parsed);
    answer(structured.text(&parsed.request), &structured)
}

impl<'a> Answer<'a> {
    pub(crate) fn new(found: &'a Found, parsed: &Parsed) -> Self {
        let mut jobs = Cow::Borrowed(&*found.jobs);
        if let Some(limit) = parsed.slice {
            for job in jobs.to_mut() {
                job.description = clipped(&job.description, limit);
            }
        }
        let notes: Vec<_> = found
            .note
            .as_deref()
            .into_iter()
            .chain(parsed.notes.iter().copied())
            .collect();
        Self {
            jobs,
            source: &found.source,
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
