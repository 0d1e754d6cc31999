//! A prompt's arguments, as its template asks for them.

use std::path::Path;

use rmcp::model::JsonObject;
use serde_json::Value;

use super::{Error, Prompt};
use crate::config::NameSettings;

/// The arguments that were given, and the names that the settings give.
pub(super) struct Arguments<'a> {
    given: &'a JsonObject,
    names: &'a NameSettings,
}

impl<'a> Arguments<'a> {
    /// Checks that all required ones are there, and that numbers are numbers.
    pub(super) fn new(
        prompt: &Prompt,
        given: &'a JsonObject,
        names: &'a NameSettings,
    ) -> Result<Self, Error> {
        let arguments = Self { given, names };
        for argument in prompt.arguments {
            match (arguments.get(argument.name), argument.max) {
                (None, _) if argument.required => {
                    return Err(Error::Missing {
                        prompt: prompt.name,
                        argument: argument.name,
                    });
                }
                (Some(text), Some(max)) if !text.parse().is_ok_and(|number| (1..=max).contains(&number)) => {
                    return Err(Error::Range {
                        argument: argument.name,
                        max,
                    });
                }
                _ => {}
            }
        }
        Ok(arguments)
    }

    /// The text of one, if it was given and is not blank. The protocol has strings only; some clients send
    /// numbers.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let text = match self.given.get(name)? {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// The text of a required one.
    pub(super) fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default()
    }

    /// A number, which was checked.
    pub(super) fn number(&self, name: &str, default: u32) -> u32 {
        self.get(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    }

    /// `city` and `country`, as people write them.
    pub(super) fn place(&self) -> Option<String> {
        match (self.get("city"), self.get("country")) {
            (Some(city), Some(country)) => Some(format!("{city}, {country}")),
            (city, country) => city.or(country),
        }
    }

    /// A folder argument, below `IAM_DATA_ROOT` unless it is absolute.
    pub(super) fn folder(&self, name: &str) -> String {
        self.names
            .data_root
            .join(Path::new(&self.text(name)))
            .display()
            .to_string()
    }

    /// The combined résumé's file name, without date and extension.
    pub(super) fn resume_mesh(&self) -> &str {
        &self.names.resume_mesh
    }
}
