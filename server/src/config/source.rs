//! Reading variables, and saying everything that is wrong with them.

use std::fmt;

/// One setting that is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable's name.
    pub variable: &'static str,
    /// What it was set to; `None` where showing it could show a secret.
    pub value: Option<String>,
    /// What would be right.
    pub advice: String,
}

/// All settings that are not valid.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Invalid(pub Vec<Problem>);

impl Invalid {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        "settings"
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(out, "a setting is not valid:")?,
            count => write!(out, "{count} settings are not valid:")?,
        }
        for problem in &self.0 {
            write!(out, "\n  {}", problem.variable)?;
            if let Some(value) = &problem.value {
                write!(out, "={value:?}")?;
            }
            write!(out, ": {}", problem.advice)?;
        }
        Ok(())
    }
}

/// Looks variables up and collects what is wrong with them.
pub(super) struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            lookup,
            problems: Vec::new(),
        }
    }

    /// The trimmed value, if it is set and not blank.
    pub(super) fn get(&self, variable: &str) -> Option<String> {
        (self.lookup)(variable)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn text(&self, variable: &str, default: &str) -> String {
        self.get(variable).unwrap_or_else(|| default.to_owned())
    }

    /// Parses a value; a bad one is noted and the default stands in until [`finish`](Self::finish).
    pub(super) fn parse<T>(
        &mut self,
        variable: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        match self.get(variable).map(|value| (parse(&value), value)) {
            None => default,
            Some((Ok(parsed), _)) => parsed,
            Some((Err(advice), value)) => {
                self.reject(variable, Some(value), advice);
                default
            }
        }
    }

    /// Parses a list separated by commas; `None` when it is unset.
    pub(super) fn list<T>(
        &mut self,
        variable: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        self.parse(variable, None, |value| {
            value
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| parse(item).map_err(|advice| format!("{item:?}: {advice}")))
                .collect::<Result<_, _>>()
                .map(Some)
        })
    }

    pub(super) fn reject(
        &mut self,
        variable: &'static str,
        value: Option<String>,
        advice: impl Into<String>,
    ) {
        self.problems.push(Problem {
            variable,
            value,
            advice: advice.into(),
        });
    }

    pub(super) fn finish<T>(self, settings: T) -> Result<T, Invalid> {
        if self.problems.is_empty() {
            Ok(settings)
        } else {
            Err(Invalid(self.problems))
        }
    }
}
