//! MCP on stdin and stdout, one message a line; logs go to stderr.

use std::{
    borrow::Cow,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use iam_mcp_runtime::shutdown::Shutdown;
use rmcp::{
    ErrorData, RoleServer, Service,
    model::{
        ClientNotification, ClientRequest, ProtocolVersion, ServerConfig, ServerResult,
        SubscriptionsListenResult,
    },
    service::{NotificationContext, RequestContext, serve_server_with_ct},
    transport::stdio_pipes,
};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::sync::CancellationToken;

use crate::{
    audit::{self, Audit},
    config::{Settings, Transport},
    jobs::Jobs,
    limits::Limits,
    mcp::{
        Eras, Handler,
        conversation::{Client as _, OnlyClient},
    },
    metrics::Metrics,
    saved::Saved,
};

/// Why the conversation ended badly.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No client that speaks MCP.
    #[error("the client did not open the conversation as MCP asks: {0}")]
    Handshake(String),
    /// The audit log cannot be written.
    #[error(transparent)]
    Audit(#[from] audit::Error),
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
            Self::Audit(error) => error.category(),
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
    let audit = Audit::open(&settings.telemetry.audit, metrics.clone())?;
    audit.follow_hangups(shutdown.soft())?;
    let limits = Limits::stdio(&settings.limits, metrics.clone());
    let soft = shutdown.soft();
    let saved = Saved::offered(&settings, Transport::Stdio, soft.clone());
    let client = Arc::new(OnlyClient::default());
    let handler = Handler::new(&settings.names, jobs, saved, metrics)
        .serving(Eras::All)
        .serving_only(Arc::clone(&client) as _)
        .auditing(audit)
        .limiting(&limits);
    tracing::info!("speaking MCP on stdin and stdout");
    // Not with the signal's own token: rmcp would answer the calls that this ends, to a client that has left. It closes
    // stdin, waits two seconds or so, sends SIGTERM, and may take an answer then for a fault of its own.
    let conversation = async {
        let (stdin, stdout) = stdio_pipes();
        let gone = client.ended();
        let stdin = Input { stdin, client };
        let service = WhileThere { handler, gone };
        let running = serve_server_with_ct(service, (stdin, stdout), CancellationToken::new()).await?;
        Ok(running.waiting().await)
    };
    let ended = tokio::select! {
        ended = conversation => ended,
        () = soft.cancelled() => return Ok(()),
    };
    match ended {
        Ok(ended) => {
            ended?;
            Ok(())
        }
        // A client that opens and closes without a word, as some do to see whether the command exists.
        Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => Ok(()),
        Err(error) => Err(Error::Handshake(error.to_string())),
    }
}

/// Standard input, which tells the client's end: rmcp waits five seconds then for all that is not answered yet, and
/// what waits for the client never will be.
#[derive(Debug)]
struct Input<R> {
    stdin: R,
    client: Arc<OnlyClient>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Input<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        let read = ready!(Pin::new(&mut self.stdin).poll_read(cx, buf));
        if read.is_err() || (room > 0 && buf.filled().len() == before) {
            self.client.left();
        }
        Poll::Ready(read)
    }
}

/// The handler, whose subscriptions end with the client. rmcp sends notifications no more once stdin has ended, and tells
/// nobody: whatever waits for one to be sent, such as a subscription that is just acknowledged, would wait for those five
/// seconds, and clients give two.
struct WhileThere {
    handler: Handler,
    gone: CancellationToken,
}

impl Service<RoleServer> for WhileThere {
    async fn handle_request(
        &self,
        request: ClientRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        if !matches!(request, ClientRequest::SubscriptionsListenRequest(_)) {
            return self.handler.handle_request(request, context).await;
        }
        let id = context.id.clone();
        let listening = self.handler.handle_request(request, context);
        self.gone
            .run_until_cancelled(listening)
            .await
            .unwrap_or_else(|| Ok(SubscriptionsListenResult::complete(id).into()))
    }

    async fn handle_notification(
        &self,
        notification: ClientNotification,
        context: NotificationContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.handler.handle_notification(notification, context).await
    }

    fn get_info(&self) -> ServerConfig {
        Service::get_info(&self.handler)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Service::supported_protocol_versions(&self.handler)
    }
}
