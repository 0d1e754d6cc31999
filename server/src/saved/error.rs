//! What can go wrong with saved jobs, in words for the person who waits.

use std::io;

use super::store::{MOST_BYTES, MOST_JOBS};

/// Why postings could not be saved, read or removed. None of it names a path: clients need not know them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder cannot be written to.
    #[error(
        "Jobs cannot be saved: the folder that IAM_DATA_ROOT names is not writable for this server. Whoever runs \
         it can mount a volume there, or set SAVED_JOBS=off."
    )]
    ReadOnly(#[source] io::Error),
    /// There is no room on the volume.
    #[error("Jobs cannot be saved: the volume that IAM_DATA_ROOT is on is full.")]
    NoSpace(#[source] io::Error),
    /// Something stands in the way that leads elsewhere, such as a symbolic link.
    #[error(
        "Saved jobs cannot be used: in the folder that IAM_DATA_ROOT names, \"saved\" or a folder below it is not a \
         plain folder."
    )]
    NotAFolder,
    /// Anything else that the system says.
    #[error("Saved jobs could not be read or written: {0}.")]
    Io(#[source] io::Error),
    /// One owner's postings are as many as may be.
    #[error("{MOST_JOBS} jobs are saved, which is the most. Remove some with remove_saved_jobs first.")]
    Full,
    /// A posting is longer than one may be.
    #[error("The posting is too long to be saved: {MOST_BYTES} bytes is the most.")]
    TooLong,
    /// A posting's file holds something else.
    #[error(
        "The file of this saved job is damaged ({0}); it was left as it is. Move it away to save the job anew."
    )]
    Damaged(String),
    /// The task that does it failed.
    #[error("Saved jobs could not be read or written; try again.")]
    Task(#[from] tokio::task::JoinError),
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::ReadOnly(_) => "read_only",
            Self::NoSpace(_) => "no_space",
            Self::NotAFolder => "not_a_folder",
            Self::Io(_) => "io",
            Self::Full => "full",
            Self::TooLong => "too_long",
            Self::Damaged(_) => "damaged",
            Self::Task(_) => "task",
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Self::ReadOnly(error),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace(error),
            io::ErrorKind::NotADirectory => Self::NotAFolder,
            _ => Self::Io(error),
        }
    }
}
