//! A posting that a client gives, to be saved: checked and cleaned, since it is shown again later.

use serde_json::Value;

use crate::{
    jobs::job::{Job, clean},
    mcp::resources::uri,
};

/// The most characters of a field but the description, which [`clean`] cuts by itself.
const MOST: usize = 1_000;

/// Why a posting was refused, in words for the model that wrote it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("A posting in jobs is not as search_jobs answers it: {0}.")]
    Shape(serde_json::Error),
    #[error("A posting in jobs has no usable job_id: give it as search_jobs answered it.")]
    Id,
    #[error("The apply_link of job {0} is no web address: it must begin with https:// or http://.")]
    Link(String),
}

/// Reads one.
pub(super) fn read(value: &Value) -> Result<Job, Error> {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut() {
        // Models leave out what is not so.
        fields.entry("remote").or_insert(Value::Bool(false));
    }
    let mut job: Job = serde_json::from_value(value).map_err(Error::Shape)?;
    job.job_id = job.job_id.trim().into();
    if !uri::is_id(&job.job_id) {
        return Err(Error::Id);
    }
    let is_web = |link: &str| {
        ["https://", "http://"]
            .iter()
            .any(|scheme| link.starts_with(scheme))
    };
    // Not every posting says where to apply.
    if !job.apply_link.is_empty() && !is_web(&job.apply_link) {
        return Err(Error::Link(job.job_id));
    }
    job.description = clean(&job.description);
    let short = |text: &str| -> String { clean(text).chars().take(MOST).collect() };
    for text in [
        &mut job.title,
        &mut job.company,
        &mut job.location,
        &mut job.apply_link,
    ] {
        *text = short(text);
    }
    for text in [
        &mut job.posted_at,
        &mut job.employment_type,
        &mut job.salary,
        &mut job.platform,
    ]
    .into_iter()
    .flatten()
    {
        *text = short(text);
    }
    Ok(job)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn posting(id: &str, link: &str) -> Value {
        json!({ "job_id": id, "title": "Nurse\u{202e}", "company": "Acme", "location": "Berlin",
                "description": "Care.\u{1b}[31m", "apply_link": link, "unknown": 1 })
    }

    #[test]
    fn what_is_given_is_cleaned_and_checked() {
        let job = read(&posting(" a ", "https://example.com/")).expect("fine");
        assert_eq!((job.job_id.as_str(), job.title.as_str()), ("a", "Nurse"));
        assert_eq!(job.description, "Care.[31m");
        assert!(read(&posting("a", "")).is_ok());
        assert!(matches!(
            read(&posting("a", "javascript:alert(1)")),
            Err(Error::Link(_))
        ));
        assert!(matches!(read(&posting("", "")), Err(Error::Id)));
        assert!(matches!(read(&json!({ "job_id": "a" })), Err(Error::Shape(_))));
        assert!(matches!(read(&json!("a")), Err(Error::Shape(_))));
    }
}
