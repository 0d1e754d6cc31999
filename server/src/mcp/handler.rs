//! The handler that every transport shares.

use std::{borrow::Cow, sync::Arc};

use axum::http::request::Parts;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, DiscoverResult, GetPromptRequestParams,
        GetPromptResponse, Implementation, ListPromptsResult, ListToolsResult, PaginatedRequestParams,
        ProtocolVersion, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};

use super::{
    limited,
    prompts::Prompts,
    tools::{Call, Tools},
};
use crate::{
    config::NameSettings,
    http::principal::Principal,
    jobs::Jobs,
    limits::{Limits, ToolLimits},
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
    limits: Option<Arc<ToolLimits>>,
}

#[derive(Debug)]
struct Shared {
    tools: Tools,
    prompts: Prompts,
    config: ServerConfig,
    metrics: Metrics,
}

impl Handler {
    /// A handler for all eras.
    #[must_use]
    pub fn new(names: &NameSettings, jobs: Jobs, metrics: Metrics) -> Self {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_prompts()
            .build();
        let identity =
            Implementation::new(names.app.clone(), env!("CARGO_PKG_VERSION")).with_title("IAM job search");
        let config = ServerConfig::new(capabilities)
            .with_server_info(identity)
            .with_instructions(INSTRUCTIONS);
        let shared = Shared {
            tools: Tools::new(jobs),
            prompts: Prompts::new(names),
            config,
            metrics,
        };
        Self {
            shared: Arc::new(shared),
            eras: Eras::All,
            limits: None,
        }
    }

    /// The same handler, with limits for calls of its tools.
    #[must_use]
    pub fn limiting(mut self, limits: &Limits) -> Self {
        let limits = limits
            .tools()
            .then(|| limits.of_tools(&self.shared.tools.names()));
        self.limits = limits.map(Arc::new);
        self
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
        let principal = principal(&context);
        let found = self.shared.tools.find(&request.name);
        if let Some(limits) = &self.limits
            && let Err(refused) = limited::check(limits, &request.name, principal, &context).await
        {
            let name = found.map_or("other", |tool| tool.name());
            self.shared.metrics.tool_call(name).ended("limited");
            return Ok(refused.into());
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
            principal,
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
