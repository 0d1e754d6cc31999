//! Where the public job boards are.

use reqwest::Url;

use super::base_url;
use crate::config::source::Reader;

/// The most boards of companies that are read.
const MAX_COMPANIES: usize = 20;

/// Job boards that need no key.
#[derive(Debug, Clone)]
pub struct BoardSettings {
    /// Where Arbeitnow's API is.
    pub arbeitnow: Url,
    /// Where Remotive's API is.
    pub remotive: Url,
    /// Where Greenhouse's API is.
    pub greenhouse: Url,
    /// The companies whose boards on Greenhouse are read, as their addresses name them.
    pub companies: Vec<String>,
}

impl BoardSettings {
    pub(super) fn read(reader: &mut Reader<'_>, needs_companies: bool) -> Self {
        let companies = reader.list("GREENHOUSE_BOARDS", company);
        let count = companies.as_ref().map_or(0, Vec::len);
        if count > MAX_COMPANIES {
            let value = reader.get("GREENHOUSE_BOARDS");
            reader.reject(
                "GREENHOUSE_BOARDS",
                value,
                format!("name {MAX_COMPANIES} at most"),
            );
        } else if needs_companies && count == 0 {
            let advice = "name the boards to read, like stripe for boards.greenhouse.io/stripe, since JOB_PROVIDERS has greenhouse";
            reader.reject("GREENHOUSE_BOARDS", None, advice);
        }
        Self {
            arbeitnow: base_url(reader, "ARBEITNOW_BASE_URL", "https://www.arbeitnow.com"),
            remotive: base_url(reader, "REMOTIVE_BASE_URL", "https://remotive.com"),
            greenhouse: base_url(reader, "GREENHOUSE_BASE_URL", "https://boards-api.greenhouse.io"),
            companies: companies.unwrap_or_default(),
        }
    }
}

/// A name that stays one segment of a path.
fn company(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if text.len() <= 100 && text.chars().all(plain) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("use the board's name in its address, like stripe for boards.greenhouse.io/stripe".to_owned())
    }
}
