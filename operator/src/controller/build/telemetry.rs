//! Log, traces, and a line for each tool call.

use iam_mcp_crds::{AuditLog, LogFormat, TelemetrySpec, TracesSpec};

use super::{ValidatedServer, additions::Additions};

/// Where the file with the admin token is mounted.
const ADMIN_DIR: &str = "/var/run/iam-mcp/admin";
/// The file.
const ADMIN_FILE: &str = "token";
/// The volume's name.
const VOLUME: &str = "iam-mcp-admin";

pub(super) fn add(server: &ValidatedServer, to: &mut Additions) {
    let TelemetrySpec {
        log_format,
        audit_log,
        admin_token_secret_ref,
        traces,
    } = &server.telemetry;
    if let Some(secret) = admin_token_secret_ref {
        to.set("ADMIN_TOKEN_FILE", format!("{ADMIN_DIR}/{ADMIN_FILE}"));
        to.mount_key(VOLUME, secret, ADMIN_DIR, ADMIN_FILE);
    }
    to.set_some(
        "AUDIT_LOG",
        audit_log.map(|audit| match audit {
            AuditLog::None => "off",
            AuditLog::Stderr => "stderr",
        }),
    );
    to.set_some(
        "LOG_FORMAT",
        log_format.map(|format| match format {
            LogFormat::Json => "json",
            LogFormat::Text => "text",
        }),
    );
    if let Some(traces) = traces {
        let TracesSpec {
            endpoint,
            headers_secret_ref,
            sample_percent,
        } = traces;
        to.set("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        if let Some(secret) = headers_secret_ref {
            to.set_from("OTEL_EXPORTER_OTLP_HEADERS", secret);
        }
        if let Some(percent) = sample_percent {
            to.set("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
            to.set("OTEL_TRACES_SAMPLER_ARG", share(*percent));
        }
    }
}

/// A percentage as a share of one.
fn share(percent: i32) -> String {
    format!("{}.{:02}", percent / 100, percent % 100)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn percentages_are_shares() {
        assert_eq!([0, 5, 50, 100].map(share), ["0.00", "0.05", "0.50", "1.00"]);
    }
}
