//! The handler that every transport shares.

use std::{borrow::Cow, sync::Arc};

use axum::http::request::Parts;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult,
        ConstString, DiscoverResult, GetPromptRequestParams, GetPromptResponse, Implementation,
        InitializeRequestParams, InitializeResult, ListPromptsResult, ListResourceTemplatesRequestMethod,
        ListResourceTemplatesResult, ListResourcesRequestMethod, ListResourcesResult, ListToolsResult,
        PaginatedRequestParams, ProtocolVersion, ReadResourceRequestMethod, ReadResourceRequestParams,
        ReadResourceResponse, ResourcesCapability, ServerCapabilities, ServerConfig, SubscribeRequestMethod,
        SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestMethod, UnsubscribeRequestParams,
    },
    service::{RequestContext, SubscriptionContext},
};

use tracing::Instrument as _;

use super::{
    LIST_TTL_MS,
    apps::{self, Pages},
    completions,
    conversation::{self, Client},
    limited,
    prompts::Prompts,
    resources::{
        Resources, Source,
        saved::SavedJobs,
        subscriptions::{self, Hears},
    },
    tools::{Call, Tools},
    watch::Watched,
};
use crate::{
    audit::Audit,
    config::NameSettings,
    http::principal::Principal,
    jobs::Jobs,
    limits::{Limits, ToolLimits},
    metrics::Metrics,
    saved::Saved,
};

/// What a model is told about the server as a whole.
const INSTRUCTIONS: &str = "Finds jobs. Call search_jobs with a role, and if wanted a city with its country, \
or a location as people write it; get_job shows one posting in full. Postings marked `sample` are invented: say so \
when you show them. The prompts guide through a market analysis, saving postings, and writing a résumé and a cover letter.";

/// The same, where jobs can be saved.
const INSTRUCTIONS_SAVED: &str = " save_jobs keeps postings for this user, list_saved_jobs shows them.";

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
    /// The process's one and only client, where there is such.
    only: Option<Arc<dyn Client>>,
    audit: Audit,
    limits: Option<Arc<ToolLimits>>,
}

#[derive(Debug)]
struct Shared {
    tools: Tools,
    prompts: Prompts,
    resources: Resources,
    saved: Option<Saved>,
    config: ServerConfig,
    metrics: Metrics,
}

impl Handler {
    /// A handler for all eras; with `saved`, if jobs can be saved.
    #[must_use]
    pub fn new(names: &NameSettings, jobs: Jobs, saved: Option<Saved>, metrics: Metrics) -> Self {
        let resources = resources(saved.as_ref());
        let mut capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_prompts()
            .enable_completions()
            .enable_extensions_with(apps::extensions())
            .build();
        capabilities.resources = (!resources.is_empty()).then(|| {
            let mut resources = ResourcesCapability::default();
            resources.subscribe = Some(saved.is_some());
            resources.list_changed = Some(saved.is_some());
            resources
        });
        let identity =
            Implementation::new(names.app.clone(), env!("CARGO_PKG_VERSION")).with_title("IAM job search");
        let config = ServerConfig::new(capabilities)
            .with_server_info(identity)
            .with_instructions(match &saved {
                Some(_) => [INSTRUCTIONS, INSTRUCTIONS_SAVED].concat(),
                None => INSTRUCTIONS.to_owned(),
            });
        let shared = Shared {
            tools: Tools::new(jobs, saved.clone()),
            prompts: Prompts::new(names),
            resources,
            saved,
            config,
            metrics,
        };
        Self {
            shared: Arc::new(shared),
            eras: Eras::All,
            only: None,
            audit: Audit::default(),
            limits: None,
        }
    }

    /// The same handler, with a line in the audit log for each tool call.
    #[must_use]
    pub fn auditing(mut self, audit: Audit) -> Self {
        self.audit = audit;
        self
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

    /// The same handler, for a transport that has one client only, which can be told something at any time.
    #[must_use]
    pub fn serving_only(mut self, client: Arc<dyn Client>) -> Self {
        self.only = Some(client);
        self
    }

    /// Has the client of a session that goes on hear what it heard before.
    pub async fn resubscribe(&self, owner: Principal, client: &Arc<dyn Client>, hears: &Hears) {
        if let Some(saved) = &self.shared.saved {
            subscriptions::restore(saved, owner, client, hears).await;
        }
    }

    /// Whether clients that opened with `initialize` can be told something between their calls.
    fn reaches_clients(&self) -> bool {
        self.only.is_some() || self.eras == Eras::Initialize
    }

    /// What is needed to tell the client of a request of changes later; the method is unknown where it cannot be.
    fn subscriber<M: ConstString>(
        &self,
        context: &RequestContext<RoleServer>,
    ) -> Result<(&Saved, Arc<dyn Client>), ErrorData> {
        self.shared
            .saved
            .as_ref()
            .zip(conversation::client(self.only.as_ref(), context))
            .ok_or_else(ErrorData::method_not_found::<M>)
    }

    /// The resources, where there can be any; the method is unknown else, as rmcp has it.
    fn with_resources<M: ConstString>(&self) -> Result<&Resources, ErrorData> {
        let resources = &self.shared.resources;
        if resources.is_empty() {
            return Err(ErrorData::method_not_found::<M>());
        }
        Ok(resources)
    }

    /// Whether this call is answered without a word to the client before.
    #[must_use]
    pub fn answers_alone(&self, call: &CallToolRequestParams) -> bool {
        let arguments = call.arguments.as_ref();
        self.shared
            .tools
            .find(&call.name)
            .zip(arguments)
            .is_some_and(|(tool, arguments)| tool.answers_alone(arguments))
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

    /// As rmcp has it, but for what a transport without a way back cannot keep.
    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let mut result = self.negotiate_initialize(&request)?;
        context.peer.set_peer_info(request);
        if !self.reaches_clients()
            && let Some(resources) = &mut result.capabilities.resources
        {
            *resources = ResourcesCapability::default();
        }
        Ok(result)
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
        let tool = self.shared.tools.find(&request.name);
        let name = tool.map_or("other", |tool| tool.name());
        let watched = Watched::begin(name, principal, &context, &self.shared.metrics, &self.audit);
        if let Some(limits) = &self.limits
            && let Err(refused) = limited::check(limits, &request.name, principal, &context).await
        {
            watched.ended("limited");
            return Ok(refused.into());
        }
        let Some(tool) = tool else {
            watched.ended("protocol_error");
            return Err(ErrorData::invalid_params(
                format!("there is no tool \"{}\"", request.name),
                None,
            ));
        };
        let call = Call {
            arguments: request.arguments.unwrap_or_default(),
            answers: request.input_responses,
            principal,
            context: &context,
            only: self.only.as_deref(),
        };
        // Cancelled by `notifications/cancelled`, by a closed response stream, or by the end of a session:
        // dropping the call here stops whatever it waits for.
        let result = tokio::select! {
            biased;
            () = context.ct.cancelled() => return Err(ErrorData::internal_error("the call was cancelled", None)),
            result = tool.call(call).instrument(watched.span()) => result,
        };
        watched.ended(match &result {
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

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        completions::complete(&request, self.shared.saved.as_ref(), principal(&context)).await
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let resources = self.with_resources::<ListResourcesRequestMethod>()?;
        let principal = principal(&context);
        // First: what changes meanwhile must not be missed. Clients of 2026-07-28 say when they want to hear.
        if is_legacy(&context)
            && let Ok((saved, client)) = self.subscriber::<ListResourcesRequestMethod>(&context)
        {
            subscriptions::follow_list(saved, principal, &client).await;
        }
        resources.list(cursor(request.as_ref()), principal).await
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        self.with_resources::<ListResourceTemplatesRequestMethod>()?
            .templates(cursor(request.as_ref()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        self.with_resources::<ReadResourceRequestMethod>()?
            .read(&request.uri, principal(&context))
            .await
            .map(Into::into)
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let (saved, client) = self.subscriber::<SubscribeRequestMethod>(&context)?;
        subscriptions::subscribe(saved, principal(&context), &client, &request.uri).await
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let (_, client) = self.subscriber::<UnsubscribeRequestMethod>(&context)?;
        subscriptions::unsubscribe(&client, &request.uri);
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        self.shared
            .saved
            .is_some()
            .then(|| subscriptions::accepted(requested))
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        // Without saved jobs no filter is accepted.
        let Some(saved) = &self.shared.saved else {
            return Ok(());
        };
        let principal = principal(subscription.request_context());
        subscriptions::listen(saved, principal, subscription).await
    }
}

/// Whether a request is of the era of `initialize`.
fn is_legacy(context: &RequestContext<RoleServer>) -> bool {
    context
        .protocol_version()
        .is_none_or(|version| version.has_initialize())
}

fn cursor(request: Option<&PaginatedRequestParams>) -> Option<&str> {
    request?.cursor.as_deref()
}

/// Every kind of resource, in the order they are listed.
fn resources(saved: Option<&Saved>) -> Resources {
    // The page of the cards first: hosts may not turn pages for it.
    let mut sources: Vec<Box<dyn Source>> = vec![Box::new(Pages)];
    if let Some(saved) = saved {
        sources.push(Box::new(SavedJobs::new(saved.clone())));
    }
    Resources::new(sources)
}

/// Whose request it is: over HTTP the token check says so; over stdio there is nobody else.
fn principal(context: &RequestContext<RoleServer>) -> Principal {
    context
        .extensions
        .get::<Parts>()
        .and_then(|head| head.extensions.get().copied())
        .unwrap_or(Principal::ANONYMOUS)
}
