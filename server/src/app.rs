//! Wires the parts together, serves, and stops.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use iam_mcp_runtime::{
    admin::{self, Health},
    serve::{self, Options},
    shutdown::Shutdown,
};
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{HttpSettings, Settings},
    http::router::{Transports, router},
    jobs::Jobs,
    mcp::Handler,
    metrics::Metrics,
    transport::{
        sse::{Sse, registry::Sessions, session_id::Sealer},
        streamable_http::StreamableHttp,
    },
};

/// How long calls in flight may take once the process is asked to stop. A provider has 25 s for a search, but
/// most take one or two; a container's usual grace is 30 s, and must not be used up.
pub const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Why the server could not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port is taken, or the address is not this machine's.
    #[error("cannot listen on {address}: {source}. Choose another {variable}, or stop what uses it")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The setting that says so.
        variable: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The session key is unusable, or the system has no random numbers.
    #[error("session ids cannot be sealed: check SESSION_KEY_FILE")]
    SessionKey,
    /// The accept loop failed.
    #[error(transparent)]
    Serve(#[from] serve::Error),
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "listen",
            Self::SessionKey => "session_key",
            Self::Serve(error) => error.category(),
        }
    }
}

/// Serves HTTP until a signal comes.
///
/// # Errors
/// When a port cannot be had, or the session key is unusable.
pub async fn run(settings: Settings, shutdown: Shutdown) -> Result<(), Error> {
    Server::bind(settings).await?.run(shutdown).await
}

/// A server that listens, but does not serve yet.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    listener: TcpListener,
    admin: Option<TcpListener>,
}

impl Server {
    /// Takes the ports.
    ///
    /// # Errors
    /// When one cannot be had.
    pub async fn bind(settings: Settings) -> Result<Self, Error> {
        let HttpSettings {
            host,
            port,
            admin_port,
            ..
        } = settings.http;
        let listener = listen(host, port, "PORT").await?;
        let admin = match admin_port {
            Some(port) => Some(listen(host, port, "ADMIN_PORT").await?),
            None => None,
        };
        Ok(Self {
            settings,
            listener,
            admin,
        })
    }

    /// Where clients are served.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where probes and metrics are, if anywhere.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref()?.local_addr().ok()
    }

    /// Serves until `shutdown`: then no new connections and sessions; calls in flight are answered, streams
    /// end behind their last answer, and after [`STOP_DEADLINE`] what is left is dropped.
    ///
    /// # Errors
    /// When the session key is unusable, or a listener fails.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Error> {
        let Self {
            settings,
            listener,
            admin,
        } = self;
        let http = &settings.http;
        let key = http.session_key.as_ref().map(ExposeSecret::expose_secret);
        let sealer = Sealer::new(key).map_err(|_| Error::SessionKey)?;
        let (metrics, registry) = Metrics::new();
        let jobs = Jobs::new(&settings.jobs, metrics.clone());
        let handler = Handler::new(&settings.names, jobs, metrics.clone());
        let sessions = Arc::new(Sessions::new(sealer, http.max_sessions, metrics.clone()));
        let transports = Transports {
            streamable: StreamableHttp::new(&handler, &shutdown.hard()),
            sse: Sse::new(&handler, Arc::clone(&sessions)),
        };
        let app = router(http, settings.names.app.as_str().into(), transports, &metrics);

        let health = Health::new();
        // Probes are answered to the very end, so the admin port has tokens of its own.
        let admin_stop = CancellationToken::new();
        let admin_task = admin.map(|listener| {
            let app = admin::router(health.clone(), Arc::new(registry));
            let (stop, hard) = (admin_stop.clone(), admin_stop.clone());
            tokio::spawn(serve::serve(listener, app, Options::default(), stop, hard))
        });
        announce(&listener, http);

        health.set_ready(true);
        let stopping = tokio::spawn(stop(shutdown.clone(), health, Arc::clone(&sessions)));
        let options = Options {
            max_connections: http.max_connections,
            ..Options::default()
        };
        let served = serve::serve(listener, app, options, shutdown.soft(), shutdown.hard()).await;
        stopping.abort();
        admin_stop.cancel();
        if let Some(task) = admin_task {
            let _ = task.await;
        }
        served?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Waits for the signal, then closes what is open, and forces the rest after the deadline.
async fn stop(shutdown: Shutdown, health: Health, sessions: Arc<Sessions>) {
    shutdown.soft().cancelled().await;
    health.set_ready(false);
    tracing::info!(sessions = sessions.len(), "closing sessions");
    sessions.close();
    tokio::time::sleep(STOP_DEADLINE).await;
    tracing::warn!("calls are still running at the deadline; dropping them");
    shutdown.force();
}

/// Takes a port. `::` means all addresses; where the machine has no IPv6, that is `0.0.0.0`.
async fn listen(host: IpAddr, port: u16, variable: &'static str) -> Result<TcpListener, Error> {
    let address = SocketAddr::from((host, port));
    let bound = match TcpListener::bind(address).await {
        Err(error)
            if address.is_ipv6()
                && host.is_unspecified()
                && error.kind() != std::io::ErrorKind::AddrInUse =>
        {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        bound => bound,
    };
    bound.map_err(|source| Error::Listen {
        address,
        variable,
        source,
    })
}

fn announce(listener: &TcpListener, settings: &HttpSettings) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "serving MCP at /mcp and /sse");
    }
    if settings.session_key.is_none() {
        tracing::debug!("session ids are sealed with a key of this process only");
    }
}
