//! URIs of saved jobs: `jobs://saved/{job_id}`, with the id percent-encoded.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What all of them begin with.
const PREFIX: &str = "jobs://saved/";

/// Their template (RFC 6570).
pub const TEMPLATE: &str = "jobs://saved/{job_id}";

/// The longest id, in bytes. Providers' are well below.
pub const MOST_ID_BYTES: usize = 512;

/// What RFC 6570 encodes in a simple expansion: all but unreserved characters (RFC 3986, 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The URI of a saved job.
#[must_use]
pub fn of(job_id: &str) -> String {
    format!("{PREFIX}{}", utf8_percent_encode(job_id, ENCODED))
}

/// The id in a URI of a saved job; `None` for any other URI, and for what is no URI.
#[must_use]
pub fn job_id(uri: &str) -> Option<String> {
    let encoded = uri.strip_prefix(PREFIX)?;
    if encoded.len() > 3 * MOST_ID_BYTES || !is_segment(encoded) {
        return None;
    }
    let id = percent_decode_str(encoded).decode_utf8().ok()?;
    is_id(&id).then(|| id.into_owned())
}

/// Whether a job may be called so.
#[must_use]
pub fn is_id(id: &str) -> bool {
    !id.trim().is_empty() && id.len() <= MOST_ID_BYTES && !id.chars().any(char::is_control)
}

/// One segment of a path (RFC 3986, 3.3). Not every client encodes more of an id than it must.
fn is_segment(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let is_escape = |pair: &[u8]| pair.iter().all(u8::is_ascii_hexdigit);
        at += match byte {
            b'%' if bytes.get(at + 1..at + 3).is_some_and(is_escape) => 3,
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b','
            | b';' | b'=' | b':' | b'@' => 1,
            _ if byte.is_ascii_alphanumeric() => 1,
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_whole_and_plain_uris_name_a_job() {
        assert_eq!(job_id("jobs://saved/sample-0001").as_deref(), Some("sample-0001"));
        assert_eq!(
            job_id("jobs://saved/QUJD%2B%2F%3D%3D").as_deref(),
            Some("QUJD+/==")
        );
        assert_eq!(job_id("jobs://saved/QUJD+==").as_deref(), Some("QUJD+=="));
        for bad in [
            "jobs://saved/",
            "jobs://saved/a/b",
            "jobs://saved/a?x=1",
            "jobs://saved/a#x",
            "jobs://saved/a b",
            "jobs://saved/%",
            "jobs://saved/%2",
            "jobs://saved/%zz",
            "jobs://saved/%FF",
            "jobs://saved/%00",
            "jobs://saved/%20",
            "jobs://saved/ä",
            "jobs://other/a",
            "JOBS://saved/a",
            "file:///etc/passwd",
            "",
        ] {
            assert_eq!(job_id(bad), None, "{bad}");
        }
        assert_eq!(
            job_id(&format!("jobs://saved/{}", "a".repeat(MOST_ID_BYTES + 1))),
            None
        );
    }

    proptest! {
        #[test]
        fn every_id_has_a_uri_that_leads_back(id in "\\PC{1,60}") {
            prop_assume!(is_id(&id));
            prop_assert_eq!(job_id(&of(&id)), Some(id));
        }

        #[test]
        fn nothing_breaks_it(text in ".{0,60}") {
            let _ = job_id(&format!("{PREFIX}{text}"));
        }
    }
}
