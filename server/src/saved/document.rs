//! A saved posting, as its file holds it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{error::Error, key::JobKey, store::MOST_BYTES};
use crate::jobs::job::Job;

/// The format of files. A newer one is reported as damaged by an older server, which then leaves it alone.
const FORMAT: u32 = 1;

/// A posting that somebody saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedJob {
    /// When it was saved first.
    pub saved_at: Timestamp,
    /// The posting, as it was saved last.
    pub job: Job,
}

#[derive(Serialize, Deserialize)]
struct Document<J> {
    format: u32,
    saved_at: Timestamp,
    job: J,
}

/// What is written.
pub(super) fn write(saved_at: Timestamp, job: &Job) -> Result<Vec<u8>, Error> {
    let document = Document {
        format: FORMAT,
        saved_at,
        job,
    };
    let mut bytes = serde_json::to_vec_pretty(&document).map_err(|error| Error::Io(error.into()))?;
    bytes.push(b'\n');
    if bytes.len() > MOST_BYTES {
        return Err(Error::TooLong);
    }
    Ok(bytes)
}

/// Reads what was written for `key`.
pub(super) fn read(key: JobKey, bytes: &[u8]) -> Result<SavedJob, Error> {
    let document: Document<Job> =
        serde_json::from_slice(bytes).map_err(|error| Error::Damaged(error.to_string()))?;
    if document.format != FORMAT {
        return Err(Error::Damaged(format!("its format is {}", document.format)));
    }
    if JobKey::of(&document.job.job_id) != key {
        return Err(Error::Damaged(
            "it holds another job than its name says".to_owned(),
        ));
    }
    Ok(SavedJob {
        saved_at: document.saved_at,
        job: document.job,
    })
}
