//! The prompts, one file each: what a person picks to have the model work through a task.

mod analyze_job_market;
mod arguments;
mod generate_cover_letter;
mod generate_resume;
mod mesh_resumes;
mod save_jobs;

use rmcp::model::{GetPromptResult, JsonObject, Prompt as Definition, PromptArgument, PromptMessage, Role};

use self::arguments::Arguments;
use crate::config::NameSettings;

/// An argument of a prompt.
#[derive(Debug)]
struct Argument {
    name: &'static str,
    description: &'static str,
    required: bool,
    /// The largest number it may be, where it is a number.
    max: Option<u32>,
}

const fn required(name: &'static str, description: &'static str) -> Argument {
    Argument {
        name,
        description,
        required: true,
        max: None,
    }
}

const fn optional(name: &'static str, description: &'static str) -> Argument {
    Argument {
        name,
        description,
        required: false,
        max: None,
    }
}

const fn number(name: &'static str, description: &'static str, max: u32) -> Argument {
    Argument {
        name,
        description,
        required: false,
        max: Some(max),
    }
}

/// A prompt.
#[derive(Debug)]
struct Prompt {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    arguments: &'static [Argument],
    render: fn(&Arguments<'_>) -> String,
}

/// Why a prompt cannot be had, in words for the person who picked it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is none of this name.
    #[error("there is no prompt \"{0}\"")]
    Unknown(String),
    /// A required argument is missing or blank.
    #[error("the prompt {prompt} needs the argument {argument}")]
    Missing {
        /// The prompt.
        prompt: &'static str,
        /// The argument.
        argument: &'static str,
    },
    /// A number that is none, or out of range.
    #[error("{argument} must be a whole number from 1 to {max}")]
    Range {
        /// The argument.
        argument: &'static str,
        /// The largest number that is.
        max: u32,
    },
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown",
            Self::Missing { .. } => "missing",
            Self::Range { .. } => "range",
        }
    }
}

static PROMPTS: [&Prompt; 5] = [
    &analyze_job_market::PROMPT,
    &save_jobs::PROMPT,
    &mesh_resumes::PROMPT,
    &generate_resume::PROMPT,
    &generate_cover_letter::PROMPT,
];

/// The prompts, with the names that the settings give to files.
#[derive(Debug)]
pub struct Prompts(NameSettings);

impl Prompts {
    /// The prompts.
    #[must_use]
    pub fn new(names: &NameSettings) -> Self {
        Self(names.clone())
    }

    /// What clients are told, always in the same order.
    #[must_use]
    pub fn definitions(&self) -> Vec<Definition> {
        PROMPTS.iter().map(|prompt| definition(prompt)).collect()
    }

    /// The prompt called `name`, filled in.
    ///
    /// # Errors
    /// When there is none, or its arguments do not do.
    pub fn render(&self, name: &str, arguments: &JsonObject) -> Result<GetPromptResult, Error> {
        let prompt = PROMPTS
            .iter()
            .find(|prompt| prompt.name == name)
            .ok_or_else(|| Error::Unknown(name.chars().take(100).collect()))?;
        let arguments = Arguments::new(prompt, arguments, &self.0)?;
        let text = (prompt.render)(&arguments);
        let message = PromptMessage::new_text(Role::User, text);
        Ok(GetPromptResult::new(vec![message]).with_description(prompt.description))
    }
}

/// Whether the prompt called `prompt` has an argument called `name`; `None` if there is no such prompt.
#[must_use]
pub fn has_argument(prompt: &str, name: &str) -> Option<bool> {
    let prompt = PROMPTS.iter().find(|known| known.name == prompt)?;
    Some(prompt.arguments.iter().any(|argument| argument.name == name))
}

fn definition(prompt: &Prompt) -> Definition {
    let arguments = prompt
        .arguments
        .iter()
        .map(|argument| {
            PromptArgument::new(argument.name)
                .with_description(argument.description)
                .with_required(argument.required)
        })
        .collect();
    Definition::new(prompt.name, Some(prompt.description), Some(arguments)).with_title(prompt.title)
}

#[cfg(test)]
mod tests;
