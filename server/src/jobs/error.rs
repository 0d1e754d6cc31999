//! Why a search failed, in words for the person who waits for it.

use std::{fmt::Write as _, sync::Arc};

use super::{boards, catalogue, jsearch};

/// Why a search failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// JSearch failed.
    #[error(transparent)]
    JSearch(#[from] jsearch::Error),
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] catalogue::Error),
    /// A public job board failed.
    #[error(transparent)]
    Board(#[from] boards::Error),
    /// All of several providers failed, each in its way.
    #[error("None of the job boards answered.{}", each(.0))]
    All(Arc<[(&'static str, Self)]>),
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::JSearch(error) => error.category(),
            Self::Catalogue(error) => error.category(),
            Self::Board(error) => error.category(),
            Self::All(_) => "all_failed",
        }
    }

    /// Whether there is no key for a board that needs one.
    pub(super) const fn is_without_key(&self) -> bool {
        matches!(self, Self::JSearch(jsearch::Error::NoKey))
    }
}

fn each(errors: &[(&'static str, Error)]) -> String {
    let mut text = String::new();
    for (provider, error) in errors {
        let _ = write!(text, "\n{provider}: {error}");
    }
    text
}
