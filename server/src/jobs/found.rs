//! What was found.

use std::sync::Arc;

use super::{Error, job::Job, merge};

/// What was found. Clones share it.
#[derive(Debug, Clone)]
pub struct Found {
    /// Best first; at most as many as were asked for.
    pub jobs: Arc<[Job]>,
    /// The provider's name; several are separated by commas.
    pub source: Arc<str>,
    /// What a reader should know about them.
    pub note: Option<Arc<str>>,
    /// Whether an equal search had this very answer before: what is made of it may be worth keeping.
    pub repeated: bool,
    /// Whether there would be more if a provider had not failed half-way; not worth keeping.
    pub(super) partial: bool,
}

impl Found {
    pub(super) fn new(jobs: Vec<Job>, source: &str) -> Self {
        Self {
            jobs: jobs.into(),
            source: source.into(),
            note: None,
            repeated: false,
            partial: false,
        }
    }

    /// The same, with what a reader should know.
    pub(super) fn noting(mut self, notes: &[String]) -> Self {
        self.note = (!notes.is_empty()).then(|| notes.join(" ").into());
        self
    }
}

/// One answer out of several providers' answers.
///
/// # Errors
/// When all of them failed.
pub(super) fn merged(
    results: impl Iterator<Item = (&'static str, Result<Found, Error>)>,
    limit: usize,
) -> Result<Found, Error> {
    let (mut answers, mut errors) = (Vec::new(), Vec::new());
    for (provider, result) in results {
        match result {
            Ok(found) => answers.push(found),
            Err(error) => errors.push((provider, error)),
        }
    }
    if answers.is_empty() {
        return Err(Error::All(errors.into()));
    }
    let lists: Vec<&[Job]> = answers.iter().map(|found| &*found.jobs).collect();
    let jobs = merge::interleaved(&lists, limit);
    let sources: Vec<_> = answers.iter().map(|found| &*found.source).collect();
    let mut notes: Vec<String> = answers
        .iter()
        .filter_map(|found| found.note.as_deref().map(str::to_owned))
        .collect();
    for (provider, error) in &errors {
        tracing::warn!(
            provider,
            cause = error.category(),
            "a provider failed, others answered"
        );
        notes.push(format!("{provider} did not answer: {error}"));
    }
    let partial = !errors.is_empty() || answers.iter().any(|found| found.partial);
    let mut found = Found::new(jobs, &sources.join(", ")).noting(&notes);
    found.partial = partial;
    Ok(found)
}
