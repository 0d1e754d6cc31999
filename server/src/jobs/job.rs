//! A posting.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest description that is passed on. Longer ones exist, and would fill a model's context.
const MAX_DESCRIPTION: usize = 8_000;

/// One job posting. The first six fields have the names that clients of the Python server know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Job {
    /// The provider's id of it.
    pub job_id: String,
    /// What the job is called.
    pub title: String,
    /// Who is hiring.
    pub company: String,
    /// Where the work is, for people to read.
    pub location: String,
    /// What the job is about.
    pub description: String,
    /// Where to apply.
    pub apply_link: String,
    /// When it was posted: a date, YYYY-MM-DD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posted_at: Option<String>,
    /// Full-time, part-time, contract or internship.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub employment_type: Option<String>,
    /// Whether it can be done from anywhere.
    pub remote: bool,
    /// What it pays, for people to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub salary: Option<String>,
    /// The job board that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// True for invented postings.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schemars(default)]
    pub sample: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Text from outside, without what terminals and models could take for instructions to themselves: control
/// characters and invisible formatting (protocol, server/tools: servers MUST sanitize tool outputs).
#[must_use]
pub fn clean(text: &str) -> String {
    let mut clean: String = text
        .chars()
        .filter(|&c| c == '\n' || !(c.is_control() || is_invisible(c)))
        .take(MAX_DESCRIPTION)
        .collect();
    clean.truncate(clean.trim_end().len());
    clean
}

/// Bidirectional overrides, zero-width characters and tag characters.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}')
}

/// The first `limit` characters, with a mark where something is missing.
#[must_use]
pub fn clipped(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_keeps_its_lines_and_loses_its_tricks() {
        assert_eq!(clean("a\r\nb\u{1b}[31m\u{202e}c\u{200b} \n"), "a\nb[31mc");
    }

    #[test]
    fn clipping_counts_characters() {
        assert_eq!(clipped("größer", 3), "grö…");
        assert_eq!(clipped("abc", 3), "abc");
        assert_eq!(clipped("abc", 0), "…");
    }
}
