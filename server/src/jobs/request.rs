//! What is looked for.

use std::fmt;

use schemars::JsonSchema;

use super::place::Place;

/// The most jobs a search answers.
pub const MAX_JOBS: usize = 20;

/// The most pages a search looks through.
pub const MAX_PAGES: usize = 10;

/// Jobs on a provider's page.
pub const PAGE_SIZE: usize = 10;

/// A search, checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SearchRequest {
    /// The job title, not empty.
    pub role: String,
    /// Where; anywhere, if unset.
    pub place: Option<Place>,
    /// On which job board; any, if unset.
    pub platform: Option<Platform>,
    /// How many to answer, 1 to [`MAX_JOBS`].
    pub jobs: usize,
    /// How many pages to look through, 1 to [`MAX_PAGES`].
    pub pages: usize,
}

/// A job board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Platform {
    /// linkedin.com
    LinkedIn,
    /// indeed.com
    Indeed,
    /// glassdoor.com
    Glassdoor,
}

impl Platform {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::LinkedIn, Self::Indeed, Self::Glassdoor];

    /// The platform called `name`, however it is spelt.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|platform| platform.name().eq_ignore_ascii_case(name))
    }

    /// Its name, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LinkedIn => "linkedin",
            Self::Indeed => "indeed",
            Self::Glassdoor => "glassdoor",
        }
    }
}

/// As in "jobs found for …".
impl fmt::Display for SearchRequest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\"{}\"", self.role)?;
        if let Some(place) = &self.place {
            write!(out, " in {place}")?;
        }
        if let Some(platform) = self.platform {
            write!(out, " on {}", platform.name())?;
        }
        Ok(())
    }
}
