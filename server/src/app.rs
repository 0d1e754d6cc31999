//! Wires the parts together, serves, and stops.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::Router;
use iam_mcp_runtime::{
    admin::{self, Health, log_level, token::AdminToken},
    serve::{self, Options},
    shutdown::Shutdown,
    telemetry::LogLevel,
};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{self as sessions_admin, Admin},
    audit::{self, Audit},
    config::{HttpSettings, Settings, Transport},
    drain::{Drain, Live},
    http::{
        auth,
        router::{Transports, router},
        tokens::Tokens,
    },
    jobs::Jobs,
    keyring::{self, KeyRing},
    limits::Limits,
    mcp::{Handler, Serves},
    metrics::Metrics,
    peer::{pool::Peers, serve as peer},
    saved::Saved,
    self_check,
    transport::{
        sse::{NoRandom, Sse, registry::Sessions, session_id::Owner},
        streamable_http::StreamableHttp,
    },
};

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
    /// No key could be made.
    #[error("session ids cannot be sealed: {0}")]
    SessionKey(#[from] keyring::Error),
    /// No name could be made.
    #[error(transparent)]
    Random(#[from] NoRandom),
    /// The audit log cannot be written.
    #[error(transparent)]
    Audit(#[from] audit::Error),
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
            Self::SessionKey(_) => "session_key",
            Self::Random(_) => "random",
            Self::Audit(error) => error.category(),
            Self::Serve(error) => error.category(),
        }
    }
}

/// Serves HTTP until a signal comes. `log_level` can be changed by the admin port.
///
/// # Errors
/// When a port or the audit log cannot be had, or the session key is unusable.
pub async fn run(settings: Settings, shutdown: Shutdown, log_level: LogLevel) -> Result<(), Error> {
    let mut server = Server::bind(settings).await?;
    server.log_level = Some(log_level);
    server.run(shutdown).await
}

/// What a handler can be made with.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// As the server was started.
    pub settings: &'a Settings,
    /// To be counted in.
    pub metrics: &'a Metrics,
    /// Where tool calls are noted.
    pub audit: &'a Audit,
    /// How much each client may do.
    pub limits: &'a Limits,
    /// Cancelled when what waits for news has to end.
    pub closing: &'a CancellationToken,
}

/// A server that listens, but does not serve yet.
#[derive(Debug)]
pub struct Server {
    pub(crate) settings: Settings,
    pub(crate) listener: TcpListener,
    pub(crate) admin: Option<TcpListener>,
    peer: Option<TcpListener>,
    pub(crate) log_level: Option<LogLevel>,
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
        let peer = match &settings.sessions.replica {
            Some(replica) => Some(listen(host, replica.port, "PEER_PORT").await?),
            None => None,
        };
        Ok(Self {
            settings,
            listener,
            admin,
            peer,
            log_level: None,
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

    /// Where other replicas are served, if there are any.
    #[must_use]
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.peer.as_ref()?.local_addr().ok()
    }

    /// Serves jobs until `shutdown`, and then drains ([`Drain`]).
    ///
    /// # Errors
    /// When no session key can be made, or a listener fails.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Error> {
        self.run_with(shutdown, |given| {
            let jobs = Jobs::new(&given.settings.jobs, given.metrics.clone());
            let saved = Saved::offered(given.settings, Transport::Http, given.closing.clone());
            Handler::new(&given.settings.names, jobs, saved, given.metrics.clone())
                .auditing(given.audit.clone())
                .limiting(given.limits)
        })
        .await
    }

    /// Serves what `handler` makes, in the same way.
    ///
    /// # Errors
    /// When no session key can be made, or a listener fails.
    pub async fn run_with<H: Serves>(
        self,
        shutdown: Shutdown,
        handler: impl FnOnce(Given<'_>) -> H,
    ) -> Result<(), Error> {
        let Self {
            settings,
            listener,
            admin,
            peer,
            log_level,
        } = self;
        let http = &settings.http;
        let keys = settings.sessions.keys.clone().map_or_else(KeyRing::random, Ok)?;
        let (metrics, registry) = Metrics::new();
        let audit = Audit::open(&settings.telemetry.audit, metrics.clone())?;
        let limits = Limits::http(&settings.limits, metrics.clone());
        let closing = shutdown.hard().child_token();
        let handler = handler(Given {
            settings: &settings,
            metrics: &metrics,
            audit: &audit,
            limits: &limits,
            closing: &closing,
        });
        let drain = Drain::new(settings.sessions.drain);
        let owner = owner(&settings, peer.as_ref())?;
        let limit = http.max_sessions;
        let sessions = Arc::new(Sessions::new(owner, keys.clone(), limit, metrics.clone()));
        let peers = peer
            .as_ref()
            .map(|_| Arc::new(Peers::new(owner, metrics.clone())));
        let sse = Sse::new(&handler, Arc::clone(&sessions), peers.clone(), metrics.clone());
        let tokens = auth::tokens(http);
        let transports = Transports {
            streamable: StreamableHttp::new(&handler, &shutdown.hard(), drain.give_up()),
            sse: sse.clone(),
            drain: drain.clone(),
            limits,
            proxies: settings.limits.proxies.clone(),
            tokens: tokens.clone(),
        };
        let app = router(http, settings.names.app.as_str().into(), transports, &metrics);

        let replica = peer.is_some();
        let stage = Stage {
            listener,
            admin,
            log_level,
            registry,
            keys,
            metrics,
            audit,
            drain,
            tokens,
            closing: closing.clone(),
        };
        let peer_task = peer.zip(peers).map(|(listener, peers)| {
            tokio::spawn(peer::serve(
                listener,
                sse,
                peers,
                closing.clone(),
                shutdown.hard(),
            ))
        });
        let check = |address, health: &Health| {
            self_check::start(&settings.http, replica, address, health, shutdown.soft());
        };
        let served = stage
            .run(&settings, &shutdown, app, sessions, replica, check)
            .await;
        if let Some(task) = peer_task {
            let _ = task.await;
        }
        served?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// A server whose parts are made, and that only has to serve.
pub(crate) struct Stage {
    pub(crate) listener: TcpListener,
    pub(crate) admin: Option<TcpListener>,
    pub(crate) log_level: Option<LogLevel>,
    pub(crate) registry: Registry,
    pub(crate) keys: KeyRing,
    pub(crate) metrics: Metrics,
    pub(crate) audit: Audit,
    pub(crate) drain: Drain,
    /// The tokens that clients may show, if they stand in a file.
    pub(crate) tokens: Option<Arc<Tokens>>,
    pub(crate) closing: CancellationToken,
}

impl Stage {
    /// Serves `app` until `shutdown`, and then drains `sessions`. `check` is given the address and has to say, now or
    /// later, that the server is ready. As a `replica` it stays ready while it drains.
    pub(crate) async fn run<L: Live>(
        self,
        settings: &Settings,
        shutdown: &Shutdown,
        app: Router,
        sessions: Arc<L>,
        replica: bool,
        check: impl FnOnce(SocketAddr, &Health),
    ) -> Result<(), Error> {
        let Self {
            listener,
            admin,
            log_level,
            registry,
            keys,
            metrics,
            audit,
            drain,
            tokens,
            closing,
        } = self;
        let admin_address = admin.as_ref().and_then(|listener| listener.local_addr().ok());
        let health = Health::new();
        // Probes are answered to the very end, so the admin port has tokens of its own.
        let admin_stop = CancellationToken::new();
        audit.follow_hangups(admin_stop.clone())?;
        let admin_task = admin.map(|listener| {
            let sessions = Admin {
                sessions: Arc::clone(&sessions),
                keys: keys.clone(),
                drain: drain.clone(),
                metrics: metrics.clone(),
                pod_uid: pod_uid(settings),
                tokens,
            };
            let mut app = admin::router(health.clone(), Arc::new(registry));
            app = app.merge(sessions_admin::router(sessions));
            if let Some(level) = log_level {
                let token = AdminToken::new(settings.telemetry.admin_token.clone());
                app = app.merge(log_level::router(level, token));
            }
            let (stop, hard) = (admin_stop.clone(), admin_stop.clone());
            tokio::spawn(serve::serve(listener, app, Options::default(), stop, hard))
        });
        tokio::spawn(keys.follow(admin_stop.clone()));
        announce(&listener, admin_address, settings);

        let address = listener.local_addr().map_err(serve::Error::Listener)?;
        check(address, &health);
        let draining = tokio::spawn({
            let (shutdown, closing, health) = (shutdown.clone(), closing.clone(), health.clone());
            async move {
                shutdown.soft().cancelled().await;
                // Kubernetes takes a pod that is told to stop out of its Service by itself, and falls back on
                // it where there is no other that is ready: so one of several replicas stays ready to its end.
                health.set_ready(replica && health.is_ready());
                drain.run(shutdown, sessions, metrics, closing, replica).await;
            }
        });
        let options = Options {
            max_connections: settings.http.max_connections,
            ..Options::default()
        };
        let served = serve::serve(listener, app, options, closing, shutdown.hard()).await;
        health.set_ready(false);
        draining.abort();
        admin_stop.cancel();
        if let Some(task) = admin_task {
            let _ = task.await;
        }
        served?;
        Ok(())
    }
}

/// Who this process is to the operator; nobody, where it is no replica.
fn pod_uid(settings: &Settings) -> String {
    let replica = settings.sessions.replica.as_ref();
    replica
        .map(|replica| replica.uid_text.clone())
        .unwrap_or_default()
}

/// Who this process is to the other replicas.
fn owner(settings: &Settings, peer: Option<&TcpListener>) -> Result<Owner, Error> {
    let (Some(replica), Some(listener)) = (&settings.sessions.replica, peer) else {
        return Ok(Owner::alone()?);
    };
    let port = listener.local_addr().map_err(serve::Error::Listener)?.port();
    Ok(Owner {
        uid: replica.uid,
        address: Some(SocketAddr::new(replica.address, port)),
    })
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

fn announce(listener: &TcpListener, admin: Option<SocketAddr>, settings: &Settings) {
    if let Ok(address) = listener.local_addr() {
        let admin = admin.map(tracing::field::display);
        tracing::info!(%address, admin, "serving MCP at /mcp and /sse");
    }
    if settings.sessions.keys.is_none() {
        tracing::debug!("session ids are sealed with a key of this process only");
    }
}
