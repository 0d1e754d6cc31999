//! A posting as text, for models.

use std::fmt::Write as _;

use crate::jobs::job::Job;

/// Its title and employer on one line, for lists.
pub(super) fn line(job: &Job) -> String {
    let sample = if job.sample { " (sample)" } else { "" };
    format!("{}{sample}, {}, {}", job.title, job.company, job.location)
}

/// All of it.
pub(super) fn whole(job: &Job) -> String {
    let mut text = line(job);
    let facts = [
        job.employment_type.clone(),
        job.remote.then(|| "remote".to_owned()),
        job.salary.clone(),
        job.posted_at.as_ref().map(|date| format!("posted {date}")),
        job.platform.as_ref().map(|platform| format!("on {platform}")),
    ];
    let facts: Vec<_> = facts.into_iter().flatten().collect();
    if !facts.is_empty() {
        let _ = write!(text, "\n{}", facts.join(" · "));
    }
    if !job.description.is_empty() {
        let _ = write!(text, "\n\n{}\n", job.description);
    }
    let _ = write!(text, "\nApply: {}\njob_id: {}", job.apply_link, job.job_id);
    text
}

/// "1 job", "2 jobs".
pub(super) fn count(number: usize) -> String {
    format!("{number} job{}", if number == 1 { "" } else { "s" })
}
