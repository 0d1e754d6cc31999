//! Pages of a list that may change between them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rmcp::{ErrorData, model::Resource};

/// Resources on a page.
pub const PAGE: usize = 100;

/// Where a page begins: behind the resource that the page before ended with. `None` begins at the start.
#[derive(Debug, PartialEq, Eq)]
pub struct Cursor(Option<After>);

/// The last resource of a page, and how many stood before its end, for the case that it is gone.
#[derive(Debug, PartialEq, Eq)]
struct After {
    count: usize,
    uri: String,
}

impl Cursor {
    /// Reads a client's cursor.
    ///
    /// # Errors
    /// When it is none of ours (-32602).
    pub fn read(cursor: Option<&str>) -> Result<Self, ErrorData> {
        let Some(cursor) = cursor else {
            return Ok(Self(None));
        };
        let after = URL_SAFE_NO_PAD
            .decode(cursor)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| {
                let (count, uri) = text.split_once(' ')?;
                Some(After {
                    count: count.parse().ok()?,
                    uri: uri.to_owned(),
                })
            });
        match after {
            Some(after) => Ok(Self(Some(after))),
            None => Err(made_up()),
        }
    }

    /// The page that begins here, and the cursor of the next one, if there is one.
    #[must_use]
    pub fn page(self, mut all: Vec<Resource>) -> (Vec<Resource>, Option<String>) {
        let start = self.0.map_or(0, |after| {
            let found = all.iter().position(|resource| resource.uri == after.uri);
            // Where it is gone, what came after it has moved up by one.
            found.map_or(after.count.saturating_sub(1), |position| position + 1)
        });
        all.drain(..start.min(all.len()));
        let more = all.len() > PAGE;
        all.truncate(PAGE);
        let next = all
            .last()
            .filter(|_| more)
            .map(|last| URL_SAFE_NO_PAD.encode(format!("{} {}", start + PAGE, last.uri)));
        (all, next)
    }
}

/// What is said of a cursor that is none of ours.
pub(super) fn made_up() -> ErrorData {
    let message = "the cursor is none of this server's: leave it out to begin anew";
    ErrorData::invalid_params(message, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(numbers: impl IntoIterator<Item = usize>) -> Vec<Resource> {
        numbers
            .into_iter()
            .map(|number| Resource::new(format!("jobs://saved/{number}"), "x"))
            .collect()
    }

    fn read(cursor: Option<&str>) -> Cursor {
        Cursor::read(cursor).expect("ours")
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let (first, next) = read(None).page(resources(0..250));
        let (second, last) = read(next.as_deref()).page(resources(0..250));
        let (third, end) = read(last.as_deref()).page(resources(0..250));
        assert_eq!([first, second, third].concat(), resources(0..250));
        assert_eq!(end, None);
        assert_eq!(
            read(None).page(resources(0..PAGE)).1,
            None,
            "no empty page at the end"
        );
    }

    #[test]
    fn what_comes_or_goes_between_pages_shifts_nothing() {
        let (_, next) = read(None).page(resources(1..201));
        let (second, _) = read(next.as_deref()).page(resources(0..201));
        assert_eq!(second, resources(101..201), "one came at the front");
        let (second, _) = read(next.as_deref()).page(resources((1..201).filter(|number| *number != 100)));
        assert_eq!(second, resources(101..201), "the last one of the page went");
    }

    #[test]
    fn a_made_up_cursor_is_an_error() {
        for cursor in ["", "x", "MTIz", "🦀"] {
            assert_eq!(
                Cursor::read(Some(cursor)).expect_err("made up").code.0,
                -32602,
                "{cursor}"
            );
        }
    }
}
