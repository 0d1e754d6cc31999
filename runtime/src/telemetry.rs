//! Logging. Always to stderr: in stdio mode stdout belongs to the protocol.

use std::{io::IsTerminal as _, str::FromStr};

use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt as _};

/// Libraries whose own chatter below these levels helps nobody who debugs this project.
const QUIET: &str = "hyper=info,hyper_util=info,kube_client=info,rustls=info,tantivy=warn,tower=info";

/// At `info` rmcp reports each request's lifecycle, and at `warn` each error that a client causes: metrics
/// count both, and clients must not fill the log. The errors of its service are answers to clients that hung up.
const QUIETER: &str = "rmcp=error,rmcp::service=off";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One JSON object a line, for collectors.
    #[default]
    Json,
    /// One readable line an event, coloured on a terminal.
    Text,
}

impl FromStr for LogFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.to_ascii_lowercase().as_str() {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(Error::Format(text.to_owned())),
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level is neither a level nor a filter.
    #[error(
        "\"{level}\" is not a log level: use DEBUG, INFO, WARNING or ERROR, or a filter like \"info,rmcp=debug\""
    )]
    Level {
        /// What was given.
        level: String,
    },
    /// The format is unknown.
    #[error("\"{0}\" is not a log format: use json or text")]
    Format(String),
    /// A subscriber is installed already.
    #[error("logging is set up already")]
    AlreadySet,
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Level { .. } => "level",
            Self::Format(_) => "format",
            Self::AlreadySet => "already_set",
        }
    }
}

/// Installs the process's subscriber, writing to stderr.
///
/// `level` is a level in any case, Python's names included (`WARNING`, `CRITICAL`), or a filter in the
/// syntax of [`EnvFilter`], which is then taken as it is.
///
/// # Errors
/// [`Error::Level`] for a level that is neither, [`Error::AlreadySet`] on the second call.
pub fn init(level: &str, format: LogFormat) -> Result<(), Error> {
    let builder = fmt().with_env_filter(filter(level)?).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .finish()
            .try_init(),
    }
    .map_err(|_| Error::AlreadySet)
}

/// Checks a level without installing anything, so that bad settings are reported together.
///
/// # Errors
/// [`Error::Level`] for something that is neither a level nor a filter.
pub fn check(level: &str) -> Result<(), Error> {
    filter(level).map(drop)
}

fn filter(level: &str) -> Result<EnvFilter, Error> {
    let bad = || Error::Level {
        level: level.to_owned(),
    };
    let directives = match level.trim().to_ascii_lowercase().as_str() {
        "" => return Err(bad()),
        "trace" => format!("trace,{QUIET}"),
        "debug" => format!("debug,{QUIET}"),
        "info" => format!("info,{QUIET},{QUIETER}"),
        "warn" | "warning" => format!("warn,{QUIETER}"),
        "error" | "critical" | "fatal" => format!("error,{QUIETER}"),
        "off" => "off".to_owned(),
        // A bare word would be read as the name of a target, so a typing error would silence the log.
        other if !other.contains(['=', ',']) => return Err(bad()),
        _ => level.to_owned(),
    };
    EnvFilter::try_new(directives).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_in_any_case_and_with_pythons_names() {
        for level in [
            "DEBUG",
            "info",
            "Warning",
            "CRITICAL",
            "warn",
            "OFF",
            "info,rmcp=debug",
        ] {
            assert!(check(level).is_ok(), "{level}");
        }
    }

    #[test]
    fn a_misspelt_level_is_refused_with_the_right_ones() {
        for level in ["INFOO", "", "verbose", "info,rmcp=loud"] {
            let error = check(level).expect_err(level);
            assert!(error.to_string().contains("INFO"), "{error}");
        }
    }

    #[test]
    fn formats() {
        assert_eq!("TEXT".parse::<LogFormat>().ok(), Some(LogFormat::Text));
        assert_eq!("json".parse::<LogFormat>().ok(), Some(LogFormat::Json));
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
