//! MCP on stdin and stdout, one message a line; logs go to stderr.

use iam_mcp_runtime::shutdown::Shutdown;
use rmcp::{service::serve_server_with_ct, transport::stdio_pipes};

use crate::{
    config::Settings,
    jobs::Jobs,
    limits::Limits,
    mcp::{Eras, Handler},
    metrics::Metrics,
};

/// Why the conversation ended badly.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No client that speaks MCP.
    #[error("the client did not open the conversation as MCP asks: {0}")]
    Handshake(String),
    /// The service's task failed.
    #[error("the conversation broke off: {0}")]
    Broken(#[from] tokio::task::JoinError),
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Handshake(_) => "handshake",
            Self::Broken(_) => "broken",
        }
    }
}

/// Serves one client until it closes stdin, or a signal comes.
///
/// # Errors
/// When the conversation does not start as the protocol says, or breaks off.
pub async fn run(settings: Settings, shutdown: Shutdown) -> Result<(), Error> {
    let (metrics, _) = Metrics::new();
    let jobs = Jobs::new(&settings.jobs, metrics.clone());
    let limits = Limits::stdio(&settings.limits, metrics.clone());
    let handler = Handler::new(&settings.names, jobs, metrics)
        .limiting(&limits)
        .serving(Eras::All);
    tracing::info!("speaking MCP on stdin and stdout");
    let soft = shutdown.soft();
    let running = tokio::select! {
        opened = serve_server_with_ct(handler, stdio_pipes(), soft.clone()) => opened,
        () = soft.cancelled() => return Ok(()),
    };
    match running {
        Ok(running) => {
            running.waiting().await?;
            Ok(())
        }
        // A client that opens and closes without a word, as some do to see whether the command exists.
        Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => Ok(()),
        Err(error) => Err(Error::Handshake(error.to_string())),
    }
}
