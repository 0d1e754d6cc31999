//! A call of a tool that is one too many.

use axum::http::request::Parts;
use rmcp::{
    RoleServer,
    model::{CallToolResult, ContentBlock},
    service::RequestContext,
};

use crate::{
    http::{client::Client, principal::Principal, rate_limit::RetryAfter},
    limits::{ToolLimits, seconds},
};

/// Counts a call of `tool`, whichever name that is.
///
/// # Errors
/// When it is one too many: what the model can read (SEP-1303). A program that looks at the answer's headers finds
/// `Retry-After` there, where the answer has not begun.
pub(super) async fn check(
    limits: &ToolLimits,
    tool: &str,
    principal: Principal,
    context: &RequestContext<RoleServer>,
) -> Result<(), CallToolResult> {
    let found = context.extensions.get::<Parts>().map(|head| &head.extensions);
    // Over HTTP the limit's layer says whom to count; over stdio there is nobody else.
    let client = found.and_then(|found| found.get().copied());
    let client = client.unwrap_or_else(|| Client::known(principal));
    let Err(exceeded) = limits.call(tool, &client).await else {
        return Ok(());
    };
    if let Some(answer) = found.and_then(|found| found.get::<RetryAfter>()) {
        answer.set(exceeded.wait);
    }
    let wait = seconds(exceeded.wait);
    let unit = if wait == 1 { "second" } else { "seconds" };
    let text = format!("Too many calls of this tool. Wait {wait} {unit}, then call it again.");
    Err(CallToolResult::error(vec![ContentBlock::text(text)]))
}
