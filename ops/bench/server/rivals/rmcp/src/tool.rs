//! The one tool: it answers the same to every search.

use std::{borrow::Cow, error::Error, sync::Arc};

use rmcp::{
    ServerHandler,
    handler::server::{router::tool::ToolRouter, wrapper::Parameters},
    model::{CallToolResult, Implementation, ProtocolVersion, ServerCapabilities, ServerConfig},
    schemars::JsonSchema,
    tool, tool_handler, tool_router,
};
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Arguments {
    #[serde(rename = "query")]
    _query: String,
    #[serde(default, rename = "location")]
    _location: String,
}

/// The server's tools.
#[derive(Clone)]
pub struct Jobs {
    tool_router: Arc<ToolRouter<Self>>,
    answer: Arc<CallToolResult>,
    legacy: bool,
}

#[tool_router]
impl Jobs {
    pub fn new(file: String) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            tool_router: Arc::new(Self::tool_router()),
            answer: Arc::new(serde_json::from_slice(&std::fs::read(file)?)?),
            legacy: false,
        })
    }

    /// The same for clients of the legacy transport, which ended before the newest protocol versions.
    pub fn into_legacy(self) -> Self {
        Self { legacy: true, ..self }
    }

    /// Search for jobs
    #[tool]
    async fn search_jobs(&self, Parameters(_asked): Parameters<Arguments>) -> CallToolResult {
        (*self.answer).clone()
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
