//! Settings of what operators see besides the log: traces, the audit log, and the admin token.

use std::path::PathBuf;

use iam_mcp_runtime::{
    admin::token,
    telemetry::otlp::settings::{self, TraceSettings},
};

use super::source::Reader;

/// What operators see.
#[derive(Debug, Clone)]
pub struct TelemetrySettings {
    /// Traces to a collector; `None` for none.
    pub traces: Option<TraceSettings>,
    /// Where a line for each tool call goes.
    pub audit: AuditSettings,
    /// The file with the token that lets others than this machine change the log level.
    pub admin_token: Option<PathBuf>,
}

/// Where a line for each tool call goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AuditSettings {
    /// Nowhere.
    #[default]
    Off,
    /// Between the log's lines.
    Stderr,
    /// To the end of this file.
    File(PathBuf),
}

impl TelemetrySettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            traces: traces(reader),
            audit: reader.parse("AUDIT_LOG", AuditSettings::Off, audit),
            admin_token: reader.parse("ADMIN_TOKEN_FILE", None, |file| {
                let file = PathBuf::from(file);
                match token::check(&file) {
                    Ok(()) => Ok(Some(file)),
                    Err(error) => Err(error.to_string()),
                }
            }),
        }
    }
}

fn traces(reader: &mut Reader<'_>) -> Option<TraceSettings> {
    let service = reader.text("APP_NAME", "iam-mcp-server");
    settings::read(|variable| reader.get(variable), &service).unwrap_or_else(|rejected| {
        for bad in rejected {
            reader.reject(bad.variable, bad.value, bad.advice);
        }
        None
    })
}

fn audit(text: &str) -> Result<AuditSettings, String> {
    match text.to_ascii_lowercase().as_str() {
        "off" | "none" | "false" => Ok(AuditSettings::Off),
        "stderr" => Ok(AuditSettings::Stderr),
        _ if text.starts_with('/') && !text.ends_with('/') => Ok(AuditSettings::File(text.into())),
        _ => Err("use off, stderr, or the absolute path of a file".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn read(pairs: &[(&str, &str)]) -> Result<TelemetrySettings, String> {
        let settings = Settings::read(|name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        match settings {
            Ok(settings) => Ok(settings.telemetry),
            Err(invalid) => Err(invalid.to_string()),
        }
    }

    const COLLECTOR: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

    #[test]
    fn without_a_collector_there_are_no_traces() {
        let settings = read(&[("OTEL_TRACES_SAMPLER", "whatever")]).expect("not looked at");
        assert_eq!(settings.traces, None);
        for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(read(&[COLLECTOR, off]).expect("valid").traces, None, "{off:?}");
        }
    }

    #[test]
    fn the_service_has_its_own_name_unless_the_environment_has_one() {
        let service = |pairs: &[_]| read(pairs).expect("valid").traces.expect("on").service;
        assert_eq!(service(&[COLLECTOR]).as_deref(), Some("iam-mcp-server"));
        assert_eq!(
            service(&[COLLECTOR, ("APP_NAME", "jobs")]).as_deref(),
            Some("jobs")
        );
        assert_eq!(service(&[COLLECTOR, ("OTEL_SERVICE_NAME", "x")]), None);
        let pairs = [COLLECTOR, ("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=x")];
        assert_eq!(service(&pairs), None);
    }

    #[test]
    fn what_the_sdk_would_pass_over_in_silence_is_said() {
        let told = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318/s3cret"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "10%"),
            ("AUDIT_LOG", "audit.log"),
            ("ADMIN_TOKEN_FILE", "/nonexistent/token"),
        ])
        .expect_err("all bad");
        insta::assert_snapshot!(told, @r#"
        6 settings are not valid:
          OTEL_EXPORTER_OTLP_ENDPOINT: use a URL such as http://collector:4318
          OTEL_EXPORTER_OTLP_PROTOCOL="grpc": use http/protobuf; collectors take it on port 4318
          OTEL_EXPORTER_OTLP_COMPRESSION="gzip": traces are sent as they are: unset this
          OTEL_TRACES_SAMPLER_ARG="10%": use a share from 0 to 1
          AUDIT_LOG="audit.log": use off, stderr, or the absolute path of a file
          ADMIN_TOKEN_FILE="/nonexistent/token": cannot be read: No such file or directory (os error 2)
        "#);
    }

    #[test]
    fn audit_lines_go_where_they_should() {
        for (text, expected) in [
            ("off", AuditSettings::Off),
            ("STDERR", AuditSettings::Stderr),
            (
                "/var/log/audit.log",
                AuditSettings::File("/var/log/audit.log".into()),
            ),
        ] {
            assert_eq!(audit(text), Ok(expected));
        }
        for bad in ["on", "stdout", "audit.log", "/var/log/"] {
            assert!(audit(bad).is_err(), "{bad}");
        }
    }
}
