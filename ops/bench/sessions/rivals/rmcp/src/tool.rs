//! The one tool: it answers the same five postings to every search.

use std::{borrow::Cow, sync::Arc};

use rmcp::{
    Json, ServerHandler,
    handler::server::{router::tool::ToolRouter, wrapper::Parameters},
    model::{Implementation, ProtocolVersion, ServerCapabilities, ServerConfig},
    schemars::JsonSchema,
    tool, tool_handler, tool_router,
};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct Arguments {
    query: String,
    #[serde(default)]
    location: String,
}

#[derive(Clone, Deserialize, JsonSchema, Serialize)]
struct Job {
    id: String,
    title: String,
    company: String,
    location: String,
    remote: bool,
    salary_min: i64,
    url: String,
    posted_at: String,
    description: String,
}

#[derive(JsonSchema, Serialize)]
struct Answer {
    query: String,
    location: String,
    jobs: Vec<Job>,
}

/// The server's tools.
#[derive(Clone)]
pub struct Jobs {
    tool_router: Arc<ToolRouter<Self>>,
    postings: Arc<Vec<Job>>,
    legacy: bool,
}

#[tool_router]
impl Jobs {
    pub fn new() -> serde_json::Result<Self> {
        Ok(Self {
            tool_router: Arc::new(Self::tool_router()),
            postings: Arc::new(serde_json::from_str(include_str!("../../mcpgo/jobs.json"))?),
            legacy: false,
        })
    }

    /// The same for clients of the legacy transport, which ended before the newest protocol versions.
    pub fn into_legacy(self) -> Self {
        Self { legacy: true, ..self }
    }

    /// Search for jobs
    #[tool]
    async fn search_jobs(&self, Parameters(asked): Parameters<Arguments>) -> Result<Json<Answer>, String> {
        Ok(Json(Answer {
            query: asked.query,
            location: asked.location,
            jobs: self.postings.to_vec(),
        }))
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Jobs {
    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(if self.legacy {
            ProtocolVersion::known_up_to(&ProtocolVersion::LATEST_WITH_INITIALIZE)
        } else {
            ProtocolVersion::KNOWN_VERSIONS
        })
    }

    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("rival-rmcp", "1.0.0"))
    }
}
