//! The arguments of `search_jobs`, in both forms that clients know, read leniently and checked strictly.

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use serde_json::Value;

use crate::jobs::{
    country::Country,
    place::Place,
    request::{MAX_JOBS, MAX_PAGES, PAGE_SIZE, Platform, SearchRequest},
};

/// Jobs answered when nobody says how many.
const DEFAULT_JOBS: usize = 5;

/// What clients are told; reading is by hand, so that each mistake gets an answer one can act on.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Arguments {
    /// What to look for: a job title, perhaps with a skill or two, like "Python developer". Required, unless
    /// query is given.
    role: Option<String>,
    /// City to work in. Needs country.
    city: Option<String>,
    /// Country to work in, by its English name or its ISO 3166-1 alpha-2 code, like "Germany" or "DE".
    country: Option<String>,
    /// Job board that the posting should come from.
    platform: Option<Platform>,
    /// How many jobs to answer.
    #[schemars(range(min = 1, max = 20), extend("default" = DEFAULT_JOBS))]
    num_jobs: Option<u32>,
    /// Cut each description to this many characters. Left out, descriptions come whole.
    #[schemars(range(min = 0))]
    slice_job_description: Option<u32>,
    /// The same as role.
    query: Option<String>,
    /// Where to work, as people write it, like "San Francisco, CA", "Berlin, Germany" or "remote". Instead of
    /// city and country.
    location: Option<String>,
    /// How many pages of ten jobs to look through; asks for that many jobs, up to 20, unless `num_jobs` is given.
    #[schemars(range(min = 1, max = 10))]
    num_pages: Option<u32>,
}

/// What a call asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Parsed {
    pub(crate) request: SearchRequest,
    /// Characters of each description.
    pub(super) slice: Option<usize>,
    /// What was given twice, and which of the two won.
    pub(super) notes: Vec<&'static str>,
}

/// Why arguments were refused, in words for the model that wrote them.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("Say what to look for: role is missing. For example {{\"role\": \"Python developer\"}}.")]
    NoRole,
    #[error("The role is too long: use a job title and a skill or two, {MAX_TEXT} characters at most.")]
    LongRole,
    #[error(
        "A city needs its country, because many cities share a name: add country, by name or two-letter \
             code, like \"Germany\" or \"DE\"; or write both in location, like \"Berlin, Germany\"."
    )]
    NoCountry,
    #[error(
        "\"{0}\" is not a country I know. Use its English name or its ISO 3166-1 alpha-2 code, like \
             \"Germany\" or \"DE\"."
    )]
    Country(String),
    #[error("\"{0}\" is not a platform I know: use linkedin, indeed or glassdoor, or leave it out for all.")]
    Platform(String),
    #[error("{name} must be a whole number from {min} to {max}.")]
    Range { name: &'static str, min: u64, max: u64 },
    #[error("{0} must be text.")]
    Text(&'static str),
}

/// The longest text that is searched for or shown back.
const MAX_TEXT: usize = 200;

/// Reads a call's arguments. Unknown ones are ignored, as the server that people have does.
pub(crate) fn parse(arguments: &JsonObject) -> Result<Parsed, Error> {
    let mut notes = Vec::new();
    let (role, query) = (text(arguments, "role")?, text(arguments, "query")?);
    if role.is_some() && query.is_some() {
        notes.push("Both role and query were given; role was used.");
    }
    let role = role.or(query).ok_or(Error::NoRole)?;
    if role.chars().count() > MAX_TEXT {
        return Err(Error::LongRole);
    }

    let (city, country) = (text(arguments, "city")?, text(arguments, "country")?);
    let location = text(arguments, "location")?;
    if location.is_some() && (city.is_some() || country.is_some()) {
        notes.push("Both city/country and location were given; location was not used.");
    }
    let place = match (city, country) {
        (Some(_), None) => return Err(Error::NoCountry),
        (city, Some(country)) => {
            let country = Country::find(&country).ok_or_else(|| Error::Country(short(&country)))?;
            Some(city.map_or(Place::Country(country), |city| {
                Place::city(&short(&city), country)
            }))
        }
        (None, None) => location.map(|location| Place::parse(&short(&location))),
    };

    let platform = match text(arguments, "platform")? {
        None => None,
        Some(name) => Some(Platform::find(&name).ok_or_else(|| Error::Platform(short(&name)))?),
    };
    let jobs = number(arguments, "num_jobs", 1, MAX_JOBS)?;
    let pages = number(arguments, "num_pages", 1, MAX_PAGES)?;
    let jobs = jobs
        .or_else(|| pages.map(|pages| (pages * PAGE_SIZE).min(MAX_JOBS)))
        .unwrap_or(DEFAULT_JOBS);
    let pages = pages.unwrap_or(1).max(jobs.div_ceil(PAGE_SIZE));
    let slice = match arguments.get("slice_job_description") {
        // Some clients know it as a switch.
        Some(Value::Bool(true)) => Some(300),
        Some(Value::Bool(false)) => None,
        _ => number(arguments, "slice_job_description", 0, 100_000)?,
    };
    Ok(Parsed {
        request: SearchRequest {
            role,
            place,
            platform,
            jobs,
            pages,
        },
        slice,
        notes,
    })
}

/// Models like to fill in what they do not know with nothing.
fn text(arguments: &JsonObject, name: &'static str) -> Result<Option<String>, Error> {
    match arguments.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if is_tidy(text) => Ok(Some(text.clone())),
        Some(Value::String(text)) => {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            Ok((!text.is_empty()).then_some(text))
        }
        Some(_) => Err(Error::Text(name)),
    }
}

/// Whether words are parted by one space each, and nothing is around them; not said of texts that are not ASCII.
fn is_tidy(text: &str) -> bool {
    let mut before = b' ';
    let parted = text.bytes().all(|byte| {
        let fits = byte.is_ascii_graphic() || byte == b' ' && before != b' ';
        before = byte;
        fits
    });
    parted && before != b' '
}

/// Numbers come as numbers, as `5.0`, and as text.
fn number(
    arguments: &JsonObject,
    name: &'static str,
    min: usize,
    max: usize,
) -> Result<Option<usize>, Error> {
    let number = match arguments.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_u64().or_else(|| {
            number
                .as_f64()
                .and_then(|number| format!("{number}").parse().ok())
        }),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    number
        .and_then(|number| usize::try_from(number).ok())
        .filter(|number| (min..=max).contains(number))
        .map(Some)
        .ok_or(Error::Range {
            name,
            min: min as u64,
            max: max as u64,
        })
}

fn short(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(arguments: Value) -> Result<Parsed, Error> {
        let Value::Object(arguments) = arguments else {
            panic!("an object")
        };
        parse(&arguments)
    }

    #[test]
    fn the_guides_own_call() {
        let call = json!({ "query": "Python developer", "location": "San Francisco, CA", "num_pages": 1 });
        let Parsed { request, notes, .. } = parsed(call).expect("valid");
        assert_eq!(request.role, "Python developer");
        assert_eq!(request.place.expect("a place").to_string(), "San Francisco, CA");
        assert_eq!((request.jobs, request.pages), (10, 1));
        assert!(notes.is_empty());
    }

    #[test]
    fn the_upstreams_call() {
        let call = json!({ "role": "nurse", "city": "Berlin", "country": "de", "platform": "LinkedIn",
                           "num_jobs": 3, "slice_job_description": 80 });
        let Parsed { request, slice, .. } = parsed(call).expect("valid");
        assert_eq!(request.place.expect("a place").to_string(), "Berlin, Germany");
        assert_eq!(
            (request.platform, request.jobs, slice),
            (Some(Platform::LinkedIn), 3, Some(80))
        );
    }

    #[test]
    fn where_both_forms_are_given_it_says_which_won() {
        let call = json!({ "role": "nurse", "query": "baker", "country": "France", "location": "Oslo" });
        let Parsed { request, notes, .. } = parsed(call).expect("valid");
        assert_eq!(request.role, "nurse");
        assert_eq!(request.place.expect("a place").to_string(), "France");
        assert_eq!(notes.len(), 2);
    }

    #[test]
    fn spaces_around_words_say_nothing() {
        for (given, read) in [
            ("rust engineer", Some("rust engineer")),
            (" rust\t\n engineer  ", Some("rust engineer")),
            ("rust  engineer", Some("rust engineer")),
            ("rust engineer ", Some("rust engineer")),
            ("caf\u{e9}\u{a0}chef", Some("caf\u{e9} chef")),
            ("x", Some("x")),
            (" ", None),
            ("", None),
        ] {
            let Value::Object(call) = json!({ "role": given }) else {
                panic!("an object")
            };
            assert_eq!(text(&call, "role"), Ok(read.map(str::to_owned)), "{given:?}");
        }
    }

    #[test]
    fn numbers_are_read_as_models_write_them() {
        for jobs in [json!(7), json!("7"), json!(7.0)] {
            assert_eq!(
                parsed(json!({ "role": "x", "num_jobs": jobs }))
                    .expect("valid")
                    .request
                    .jobs,
                7
            );
        }
        assert_eq!(
            parsed(json!({ "role": "x", "num_jobs": null, "city": "" }))
                .expect("valid")
                .request
                .jobs,
            5
        );
    }

    #[test]
    fn each_mistake_is_named() {
        let range = |name, max| Error::Range { name, min: 1, max };
        for (call, error) in [
            (json!({}), Error::NoRole),
            (json!({ "role": "  " }), Error::NoRole),
            (json!({ "role": 5 }), Error::Text("role")),
            (json!({ "role": "x", "city": "Berlin" }), Error::NoCountry),
            (
                json!({ "role": "x", "country": "Atlantis" }),
                Error::Country("Atlantis".to_owned()),
            ),
            (
                json!({ "role": "x", "platform": "fax" }),
                Error::Platform("fax".to_owned()),
            ),
            (json!({ "role": "x", "num_jobs": 21 }), range("num_jobs", 20)),
            (json!({ "role": "x", "num_jobs": 2.5 }), range("num_jobs", 20)),
            (json!({ "role": "x", "num_pages": 0 }), range("num_pages", 10)),
        ] {
            assert_eq!(parsed(call.clone()), Err(error), "{call}");
        }
    }
}
