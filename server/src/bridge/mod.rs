//! `bridge`: serves a program that speaks MCP on stdin and stdout over HTTP, by the same stack as this project's own server.
//!
//! Such a program is one conversation. So each session, over Streamable HTTP of 2025 ([`session`]) or HTTP+SSE of 2024, gets a
//! process of its own, whose messages pass as they are, and which ends with it. Requests of 2026-07-28 stand alone: one
//! process answers them all ([`shared`]), under ids of the bridge's; where the program knows older versions only, they are
//! translated ([`modern`]).
//!
//! Messages are passed on, not parsed into types and written again: what this project does not know of them stays in them.

mod child;
mod message;
mod metrics;
mod modern;
mod respond;
mod routes;
mod session;
mod sessions;
mod shared;

use std::{ffi::OsString, sync::Arc, time::Duration};

use clap::{Args, ValueEnum};
use iam_mcp_runtime::{admin::Health, shutdown::Shutdown, telemetry::LogLevel};
use tokio_util::task::TaskTracker;

use self::{
    child::{Nursery, Program},
    routes::Bridge,
    sessions::Sessions,
    shared::Shared,
};
use crate::{
    app::{Error, Server, Stage},
    audit::Audit,
    config::Settings,
    drain::Drain,
    http::{auth, router::Shell},
    keyring::KeyRing,
    limits::Limits,
    metrics::Metrics,
};

/// How long all processes together may take to end: each is asked, and told twice.
const ALL_ENDED: Duration = Duration::from_secs(6);
/// Pause between two tries to have the program say what it speaks.
const PAUSE: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
The program runs once for each session, and once more for requests that need none (MCP 2026-07-28). Its stderr goes
to the log. It has this process's environment without its settings (see iam-mcp-server --help: HOST, PORT, AUTH,
LOG_LEVEL and so on count here as they do for http); for one of the same name: bridge -- env PORT=1 PROGRAM

Examples:
  iam-mcp-server bridge -- npx -y @modelcontextprotocol/server-everything stdio
                                   serve http://127.0.0.1:8080/mcp and /sse
  PORT=9999 iam-mcp-server bridge --protocol legacy --max-sessions 8 -- ./my-server --root /srv
                                   ask it with initialize alone, and run it 9 times at most";

/// Which versions the program speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Protocol {
    /// It is asked, when it is first needed: with server/discover, then with initialize.
    Auto,
    /// 2026-07-28 alone: there are no sessions.
    Stateless,
    /// Those that begin with initialize: it is never asked with anything else first.
    Legacy,
}

/// What `bridge` is told.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Which versions of MCP the program speaks.
    #[arg(long, value_enum, default_value_t = Protocol::Auto)]
    protocol: Protocol,

    /// Most sessions at a time, each with a process of its own. Beyond it: 503.
    #[arg(long, env = "BRIDGE_MAX_SESSIONS", default_value_t = 32, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    max_sessions: u32,

    /// Seconds after which a session ends that is silent and has no stream open.
    #[arg(long, env = "BRIDGE_SESSION_IDLE_SECONDS", default_value_t = 1800, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=604_800))]
    session_idle_seconds: u32,

    /// The program that speaks MCP on stdin and stdout, and its arguments.
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

/// Serves the program over HTTP until a signal comes. `log_level` can be changed by the admin port.
///
/// # Errors
/// When a port or the audit log cannot be had, or no key can be made.
pub async fn run(
    settings: Settings,
    arguments: Arguments,
    shutdown: Shutdown,
    log_level: LogLevel,
) -> Result<(), Error> {
    let mut server = Server::bind(settings).await?;
    server.log_level = Some(log_level);
    server.bridge(shutdown, arguments).await
}

impl Server {
    /// Serves a program that speaks MCP on stdin and stdout, in the same way.
    ///
    /// # Errors
    /// When no key can be made, or a listener fails.
    pub async fn bridge(self, shutdown: Shutdown, arguments: Arguments) -> Result<(), Error> {
        let Self {
            settings,
            listener,
            admin,
            log_level,
            ..
        } = self;
        let keys = match settings.sessions.keys.clone() {
            Some(keys) => keys,
            None => KeyRing::random()?,
        };
        let (metrics, mut registry) = Metrics::new();
        let mut command = arguments.command.into_iter();
        let nursery = Nursery {
            program: Arc::new(Program {
                command: command.next().unwrap_or_default(),
                arguments: command.collect(),
            }),
            tasks: TaskTracker::new(),
            metrics: metrics::Metrics::register(&mut registry),
        };
        let tasks = nursery.tasks.clone();
        let most = usize::try_from(arguments.max_sessions).unwrap_or(usize::MAX);
        let sessions = Arc::new(Sessions::new(nursery.clone(), most));
        let shared = Arc::new(Shared::new(nursery, arguments.protocol));
        let drain = Drain::new(settings.sessions.drain);
        let closing = shutdown.hard().child_token();
        let routes = routes::router(Bridge {
            protocol: arguments.protocol,
            sessions: Arc::clone(&sessions),
            shared: Arc::clone(&shared),
            drain: drain.clone(),
        });
        let tokens = auth::tokens(&settings.http);
        let shell = Shell {
            tokens: tokens.clone(),
            drain: drain.clone(),
            limits: Limits::http(&settings.limits, metrics.clone()),
            proxies: settings.limits.proxies.clone(),
        };
        let name = settings.names.app.as_str().into();
        let app = shell.around(routes, &settings.http, name, &metrics);
        let audit = Audit::open(&settings.telemetry.audit, metrics.clone())?;
        let idle = Duration::from_secs(arguments.session_idle_seconds.into());
        tokio::spawn({
            let (sessions, closing) = (Arc::clone(&sessions), closing.clone());
            async move { sessions.sweep(idle, closing).await }
        });
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
            closing,
        };
        let wait = settings.http.verify_at_start.unwrap_or(true);
        let check = |_, health: &Health| {
            let (shared, health, stop) = (Arc::clone(&shared), health.clone(), shutdown.soft());
            if wait {
                tokio::spawn(
                    async move { stop.run_until_cancelled(until_it_speaks(&shared, &health)).await },
                );
            } else {
                health.set_ready(true);
            }
        };
        let live = Arc::clone(&sessions);
        let served = stage.run(&settings, &shutdown, app, live, false, check).await;
        sessions.end();
        shared.end().await;
        tasks.close();
        if tokio::time::timeout(ALL_ENDED, tasks.wait()).await.is_err() {
            tracing::warn!("processes of the program are still running; they are killed with this one");
        }
        served?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Ready is who has a program that speaks.
async fn until_it_speaks(shared: &Shared, health: &Health) {
    loop {
        match shared.wake().await {
            Ok(()) => {
                tracing::info!("the program speaks MCP: ready");
                health.set_ready(true);
                return;
            }
            Err(error) => tracing::warn!(%error, "not ready: the program does not speak MCP"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
