//! Every setting, read from the environment once, at start, into one struct a concern.
//!
//! Nothing else of ours looks at the environment; the OpenTelemetry SDK reads its own variables, where it is used. All bad
//! settings are reported at once.

mod auth;
mod http;
mod jobs;
mod limits;
mod oidc;
mod saved;
mod sessions;
mod source;
mod telemetry;

use std::path::PathBuf;

use iam_mcp_runtime::telemetry::{self as log, LogFormat};

use self::source::Reader;
pub use self::{
    auth::AuthSettings,
    http::HttpSettings,
    jobs::{
        BoardSettings, Budget, CacheSettings, JobSettings, KeySource, Period, ProviderChoice, ProviderName,
        Timeouts,
    },
    limits::{LimitSettings, ToolQuotas},
    oidc::{KeyTimes, OidcSettings, Scope, is_loopback, url as secure_url},
    saved::SavedJobs,
    sessions::{ReplicaSettings, SessionSettings},
    source::{Invalid, Problem},
    telemetry::{AuditSettings, TelemetrySettings},
};

/// Everything the process can be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How messages come in when no command says.
    pub transport: Transport,
    /// Logging.
    pub log: LogSettings,
    /// Traces, the audit log, and who may change the log level.
    pub telemetry: TelemetrySettings,
    /// The HTTP server; unused over stdio.
    pub http: HttpSettings,
    /// How much each client may do.
    pub limits: LimitSettings,
    /// Sessions of the older transport; unused over stdio.
    pub sessions: SessionSettings,
    /// Where jobs come from.
    pub jobs: JobSettings,
    /// Whether postings can be saved.
    pub saved: SavedJobs,
    /// What the protocol and the prompts call things.
    pub names: NameSettings,
}

/// How messages come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One client on stdin and stdout.
    Stdio,
    /// Streamable HTTP and the legacy SSE pair.
    Http,
}

/// Logging.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// A level or an env-filter string.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// What the protocol and the prompts call things.
#[derive(Debug, Clone)]
pub struct NameSettings {
    /// The server's own name.
    pub app: String,
    /// Where the prompts have files saved, and saved jobs are.
    pub data_root: PathBuf,
    /// The combined résumé's file name, without date and extension.
    pub resume_mesh: String,
}

impl Settings {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// Every setting that is not valid, by name, with what would be.
    pub fn from_env() -> Result<Self, Invalid> {
        // Not UTF-8 is as good as unset: no setting here can be spelt that way.
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads settings from anything that looks like an environment. Blank values count as unset.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Invalid> {
        let mut reader = Reader::new(&lookup);
        let mut settings = Self {
            transport: reader.parse("MCP_TRANSPORT", Transport::Stdio, transport),
            log: LogSettings {
                level: reader.parse("LOG_LEVEL", "INFO".to_owned(), |text| {
                    log::check(text)
                        .map(|()| text.to_owned())
                        .map_err(|error| error.to_string())
                }),
                format: reader.parse("LOG_FORMAT", LogFormat::Json, |text| {
                    text.parse().map_err(|error: log::Error| error.to_string())
                }),
            },
            telemetry: TelemetrySettings::read(&mut reader),
            http: HttpSettings::read(&mut reader),
            limits: LimitSettings::read(&mut reader),
            sessions: SessionSettings::read(&mut reader),
            jobs: JobSettings::read(&mut reader),
            saved: SavedJobs::Auto,
            names: NameSettings {
                app: reader.text("APP_NAME", "iam-mcp-server"),
                data_root: reader.text("IAM_DATA_ROOT", "data").into(),
                resume_mesh: reader.parse("RESUME_MESH_FILENAME", "resume_mesh".to_owned(), file_stem),
            },
        };
        settings.saved = SavedJobs::read(&mut reader, settings.sessions.replica.is_some());
        reader.finish(settings)
    }
}

/// Lenient, because the values in the field come from several servers: `sse` has always meant HTTP.
fn transport(text: &str) -> Result<Transport, String> {
    match text.to_ascii_lowercase().replace('_', "-").as_str() {
        "stdio" => Ok(Transport::Stdio),
        "http" | "sse" | "http/sse" | "http-sse" | "streamable-http" | "streamablehttp" => {
            Ok(Transport::Http)
        }
        _ => Err("use stdio or http".to_owned()),
    }
}

/// A name that cannot lead out of the folder it is put in.
fn file_stem(text: &str) -> Result<String, String> {
    let stem = text.strip_suffix(".md").unwrap_or(text);
    if stem.is_empty() || stem.starts_with('.') || stem.contains(['/', '\\', '\0']) {
        return Err("use a plain file name, like resume_mesh".to_owned());
    }
    Ok(stem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, Invalid> {
        Settings::read(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn an_empty_environment_is_valid() {
        let settings = read(&[]).expect("defaults");
        assert_eq!(settings.transport, Transport::Stdio);
        assert_eq!(settings.http.host.to_string(), "127.0.0.1");
        assert_eq!((settings.http.port, settings.http.admin_port), (8080, Some(9090)));
        assert_eq!(settings.names.app, "iam-mcp-server");
    }

    #[test]
    fn blank_values_count_as_unset() {
        let settings = read(&[("PORT", ""), ("MCP_TRANSPORT", "  "), ("RAPIDAPI_KEY", "")]).expect("valid");
        assert_eq!(settings.http.port, 8080);
    }

    #[test]
    fn the_upstreams_transport_names_are_understood() {
        for name in ["sse", "HTTP", "streamable-http", "streamable_http", "http/sse"] {
            assert_eq!(
                read(&[("MCP_TRANSPORT", name)]).expect(name).transport,
                Transport::Http,
                "{name}"
            );
        }
    }

    #[test]
    fn every_bad_setting_is_named_with_what_would_be_right() {
        let invalid = read(&[
            ("PORT", "eighty"),
            ("RATE_LIMIT", "-1"),
            ("MCP_TRANSPORT", "carrier-pigeon"),
            ("LOG_LEVEL", "LOUD"),
            ("RESUME_MESH_FILENAME", "../mesh"),
            ("JOB_PROVIDER", "Monster"),
        ])
        .expect_err("all bad");
        insta::assert_snapshot!(invalid, @r#"
        6 settings are not valid:
          MCP_TRANSPORT="carrier-pigeon": use stdio or http
          LOG_LEVEL="LOUD": "LOUD" is not a log level: use DEBUG, INFO, WARNING or ERROR, or a filter like "info,rmcp=debug"
          PORT="eighty": use a port number from 0 to 65535
          RATE_LIMIT="-1": use messages a second for each client, from 0 (off) to 1000000
          JOB_PROVIDER="Monster": use Auto, JSearch or Catalogue; several go into JOB_PROVIDERS
          RESUME_MESH_FILENAME="../mesh": use a plain file name, like resume_mesh
        "#);
    }
}
