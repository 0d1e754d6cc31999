//! Logging, always to stderr: in stdio mode stdout belongs to the protocol. And traces, where they are asked for.

mod level;
#[cfg(feature = "otlp")]
pub mod otlp;

use std::{io::IsTerminal as _, str::FromStr};

use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

pub use self::level::{LogLevel, Shown};

/// Libraries whose own chatter below these levels helps nobody who debugs this project.
///
/// rmcp writes whole messages at `debug`, with arguments and session ids in them, each request's lifecycle at
/// `info`, and at `warn` each error that a client causes: metrics count those, and clients must not fill the log.
/// Whoever wants them asks for them by name (`debug,rmcp=debug`).
const QUIET: &str = "hyper=info,hyper_util=info,kube_client=info,reqwest=info,rmcp=error,rmcp::service=off,rustls=info,tantivy=warn,tower=info";

/// The errors of rmcp's service are answers to clients that hung up.
const HUNG_UP: &str = "rmcp=error,rmcp::service=off";

/// A layer that takes what the log lines' filter leaves out too.
type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

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
    /// The subscriber is gone, or was never installed.
    #[error("there is no log whose level could be changed")]
    NoLog,
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Level { .. } => "level",
            Self::Format(_) => "format",
            Self::AlreadySet => "already_set",
            Self::NoLog => "no_log",
        }
    }
}

/// Installs the process's subscriber, writing to stderr. The level can be changed later.
///
/// `level` is a level in any case, Python's names included (`WARNING`, `CRITICAL`), or a filter in the
/// syntax of [`EnvFilter`], which is then taken as it is.
///
/// # Errors
/// [`Error::Level`] for a level that is neither, [`Error::AlreadySet`] on the second call.
pub fn init(level: &str, format: LogFormat) -> Result<LogLevel, Error> {
    install(level, format, None)
}

/// As [`init`], with traces: spans of ours go to a collector whatever the log's level is.
///
/// # Errors
/// As [`init`].
#[cfg(feature = "otlp")]
pub fn init_with_traces(level: &str, format: LogFormat, traces: &otlp::Traces) -> Result<LogLevel, Error> {
    install(level, format, Some(traces.layer()))
}

fn install(level: &str, format: LogFormat, traces: Option<BoxedLayer>) -> Result<LogLevel, Error> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
    };
    // The filter is the lines' own, not the subscriber's: what no layer wants stays as cheap as before, and traces
    // do not depend on it.
    let layers: Vec<BoxedLayer> = std::iter::once(lines.with_filter(filter).boxed())
        .chain(traces)
        .collect();
    tracing_subscriber::registry()
        .with(layers)
        .try_init()
        .map_err(|_| Error::AlreadySet)?;
    Ok(LogLevel::new(level, handle))
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
        "info" => format!("info,{QUIET}"),
        "warn" | "warning" => format!("warn,{HUNG_UP}"),
        "error" | "critical" | "fatal" => format!("error,{HUNG_UP}"),
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
