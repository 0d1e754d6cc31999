//! What is noted of each tool call: its metrics, its span, and its line in the audit log.

use rmcp::{RoleServer, service::RequestContext};
use tracing::{Span, field::Empty};

use iam_mcp_runtime::telemetry::otlp;

use crate::{
    audit::{Audit, Entry},
    http::principal::Principal,
    metrics::{Metrics, ToolCall},
};

/// A call under way. What nobody says the end of, was cancelled.
#[derive(Debug)]
pub struct Watched {
    timed: Option<ToolCall>,
    entry: Option<Entry>,
    span: Span,
}

impl Watched {
    /// Begins with a call of `tool`, which must be one of the server's own names, or `other`.
    #[must_use]
    pub fn begin(
        tool: &'static str,
        principal: Principal,
        context: &RequestContext<RoleServer>,
        metrics: &Metrics,
        audit: &Audit,
    ) -> Self {
        // The names are OpenTelemetry's for MCP. At this level it is made for traces, or for whoever debugs.
        let span = tracing::debug_span!(
            "tool_call",
            otel.name = format_args!("tools/call {tool}"),
            otel.kind = "server",
            otel.status_code = Empty,
            error.r#type = Empty,
            mcp.method.name = "tools/call",
            gen_ai.operation.name = "execute_tool",
            gen_ai.tool.name = tool,
        );
        if !span.is_disabled() {
            otlp::continue_from_fields(&span, |name| context.meta.get(name)?.as_str());
        }
        Self {
            timed: Some(metrics.tool_call(tool)),
            entry: audit.begin(tool, principal, context),
            span,
        }
    }

    /// What the call runs in.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// Says how it ended.
    pub fn ended(mut self, outcome: &'static str) {
        self.note(outcome);
    }

    fn note(&mut self, outcome: &'static str) {
        let Some(timed) = self.timed.take() else {
            return;
        };
        timed.ended(outcome);
        if !matches!(outcome, "ok" | "input_required") {
            self.span.record("error.type", outcome);
            self.span.record("otel.status_code", "ERROR");
        }
        if let Some(entry) = self.entry.take() {
            entry.end(outcome);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.note("cancelled");
    }
}
