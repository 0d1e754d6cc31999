//! The handler that every transport shares.

use std::{borrow::Cow, sync::Arc};

use axum::http::request::Parts;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, DiscoverResult,
        GetPromptRequestParams, GetPromptResponse, Implementation, ListPromptsResult, ListToolsResult,
        PaginatedRequestParams, ProtocolVersion, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};

use super::{
    prompts::Prompts,
    tools::{Call, Tools},
};
use crate::{
    config::NameSettings,
    http::{client::Client, principal::Principal, rate_limit::RetryAfter},
    jobs::Jobs,
    limits::{Exceeded, Limits, ToolLimits, seconds},
    metrics::Metrics,
};

/// How long clients may keep our lists, in milliseconds (2026-07-28 `server/utilities/caching`). They change
/// only with the version.
const LIST_TTL_MS: u64 = 3_600_000;

/// What a model is told about the server as a whole.
const INSTRUCTIONS: &str = "Finds jobs. Call search_jobs with a role, and if wanted a city with its country, \
or a location as people write it. Postings marked `sample` are invented: say so when you show them. The \
prompts guide through a market analysis, saving postings, and writing a résumé and a cover letter.";

/// Which protocol revisions a transport can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eras {
    /// All that are known.
    All,
    /// Those that open with `initialize`, up to 2025-11-25.
    Initialize,
}

/// The handler. Cloning it costs a reference count, which each stateless request pays.
#[derive(Debug, Clone)]
pub struct Handler {
    shared: Arc<Shared>,
    eras: Eras,
}

#[derive(Debug)]
struct Shared {
    tools: Tools,
    limits: ToolLimits,
    prompts: Prompts,
    config: ServerConfig,
    metrics: Metrics,
}

impl Handler {
    /// A handler for all eras.
    #[must_use]
    pub fn new(names: &NameSettings, jobs: Jobs, limits: &Limits, metrics: Metrics) -> Self {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_prompts()
            .build();
        let identity =
            Implementation::new(names.app.clone(), env!("CARGO_PKG_VERSION")).with_title("IAM job search");
        let config = ServerConfig::new(capabilities)
            .with_server_info(identity)
            .with_instructions(INSTRUCTIONS);
        let tools = Tools::new(jobs);
        let shared = Shared {
            limits: limits.of_tools(&tools.names()),
            tools,
            prompts: Prompts::new(names),
            config,
            metrics,
        };
        Self {
            shared: Arc::new(shared),
            eras: Eras::All,
        }
    }

    /// The same handler, for a transport that carries `eras`.
    #[must_use]
    pub fn serving(mut self, eras: Eras) -> Self {
        self.eras = eras;
        self
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        self.shared.config.clone()
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(match self.eras {
            Eras::All => ProtocolVersion::KNOWN_VERSIONS,
            Eras::Initialize => ProtocolVersion::known_up_to(&ProtocolVersion::LATEST_WITH_INITIALIZE),
        })
    }

    async fn discover(&self, _: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let versions = self.supported_protocol_versions().into_owned();
        Ok(DiscoverResult::from_server_info(versions, self.get_info())
            .with_ttl_ms(LIST_TTL_MS)
            .with_cache_scope(CacheScope::Public))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.shared.tools.definitions())
            .with_ttl_ms(LIST_TTL_MS)
            .with_cache_scope(CacheScope::Public))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.shared.tools.find(name).map(|tool| tool.definition().clone())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let found = self.shared.tools.find(&request.name);
        if let Err(exceeded) = self.shared.limits.call(&request.name, &client(&context)).await {
            let name = found.map_or("other", |tool| tool.name());
            self.shared.metrics.tool_call(name).ended("limited");
            return Ok(too_many(exceeded, &context).into());
        }
        let Some(tool) = found else {
            self.shared.metrics.tool_call("other").ended("protocol_error");
            return Err(ErrorData::invalid_params(
                format!("there is no tool \"{}\"", request.name),
                None,
            ));
        };
        let timed = self.shared.metrics.tool_call(tool.name());
        let call = Call {
            arguments: request.arguments.unwrap_or_default(),
            principal: principal(&context),
            context: &context,
        };
        // Cancelled by `notifications/cancelled`, by a closed response stream, or by the end of a session:
        // dropping the call here stops whatever it waits for.
        let result = tokio::select! {
            biased;
            () = context.ct.cancelled() => return Err(ErrorData::internal_error("the call was cancelled", None)),
            result = tool.call(call) => result,
        };
        timed.ended(match &result {
            CallToolResponse::Complete(result) if result.is_error == Some(true) => "tool_error",
            CallToolResponse::InputRequired(_) => "input_required",
            _ => "ok",
        });
        Ok(result)
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(
            ListPromptsResult::with_all_items(self.shared.prompts.definitions())
                .with_ttl_ms(LIST_TTL_MS)
                .with_cache_scope(CacheScope::Public),
        )
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        self.shared
            .prompts
            .render(&request.name, &arguments)
            .map(Into::into)
            .map_err(|error| ErrorData::invalid_params(error.to_string(), None))
    }
}

/// Whose request it is: over HTTP the token check says so; over stdio there is nobody else.
fn principal(context: &RequestContext<RoleServer>) -> Principal {
    context
        .extensions
        .get::<Parts>()
        .and_then(|head| head.extensions.get().copied())
        .unwrap_or(Principal::ANONYMOUS)
}

/// Whom limits count: over HTTP the limit's layer says so.
fn client(context: &RequestContext<RoleServer>) -> Client {
    let head = context.extensions.get::<Parts>();
    head.and_then(|head| head.extensions.get().copied())
        .unwrap_or_else(|| Client::known(principal(context)))
}

/// A refusal that the model can read (SEP-1303), and a program that looks at headers.
fn too_many(exceeded: Exceeded, context: &RequestContext<RoleServer>) -> CallToolResult {
    let head = context.extensions.get::<Parts>();
    if let Some(answer) = head.and_then(|head| head.extensions.get::<RetryAfter>()) {
        answer.set(exceeded.wait);
    }
    let wait = seconds(exceeded.wait);
    let unit = if wait == 1 { "second" } else { "seconds" };
    let text = format!("Too many calls of this tool. Wait {wait} {unit}, then call it again.");
    CallToolResult::error(vec![ContentBlock::text(text)])
}
