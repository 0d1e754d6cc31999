//! `iam-mcp-server health`: asks a server whether it is well, for containers that have no curl.

use std::{
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::http::{self, Server};
use crate::{
    config::{AuthSettings, HttpSettings, Settings},
    http::tokens,
};

/// The version that is spoken with `/mcp`: the last one that says hello.
const VERSION: &str = "2025-11-25";

/// What `--help` says at its end.
const HELP: &str = "\
Without --url it asks the server that this environment starts: HOST and PORT, and for --mcp with AUTH=bearer the \
first token of AUTH_TOKENS_FILE. Where that cannot give a token, --mcp is content with being asked for one. It prints \
one line.

Exit status:
  0  healthy
  1  not healthy, not there, or the settings are not valid
  2  the arguments are not valid

Examples:
  iam-mcp-server health
  iam-mcp-server health --mcp --timeout 5
  iam-mcp-server health --url http://127.0.0.1:9999";

/// The arguments.
#[derive(Debug, Clone, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// The server's address, without https [default: HOST and PORT of the environment]
    #[arg(long)]
    url: Option<String>,
    /// Also speak MCP with it: initialize and tools/list
    #[arg(long)]
    mcp: bool,
    /// Give up after so many seconds, 1 to 60
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

/// Why a server is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--url` cannot be asked.
    #[error(
        "{0:?} is not an address that can be asked: use one like http://127.0.0.1:8080 (https is not spoken here)"
    )]
    Url(String),
    /// The server took any free port.
    #[error("PORT is 0, so the server is at a port that nobody but it knows: give --url")]
    NoPort,
    /// There is no answer.
    #[error("{url} {source}")]
    NoAnswer {
        /// What was asked.
        url: String,
        /// Why not, as the end of the sentence.
        source: http::Error,
    },
    /// Nothing came in time.
    #[error("{url} did not answer within {seconds} s")]
    Slow {
        /// What was asked.
        url: String,
        /// How long was waited.
        seconds: u64,
    },
    /// An answer, but not of a healthy server.
    #[error("{url} answered {status}{told}")]
    Refused {
        /// What was asked.
        url: String,
        /// The answer's status.
        status: StatusCode,
        /// What stands in the answer, if it is short and readable; begins with a colon.
        told: String,
    },
    /// Something else lives there.
    #[error("{url} does not answer as this server does")]
    Stranger {
        /// What was asked.
        url: String,
    },
    /// It speaks MCP, but offers nothing.
    #[error("{url} offers no tool")]
    NoTools {
        /// What was asked.
        url: String,
    },
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::NoPort => "no_port",
            Self::NoAnswer { source, .. } => source.category(),
            Self::Slow { .. } => "slow",
            Self::Refused { .. } => "refused",
            Self::Stranger { .. } => "stranger",
            Self::NoTools { .. } => "no_tools",
        }
    }
}

/// Asks, and prints what came of it.
pub async fn run(arguments: &Arguments, settings: &Settings) -> ExitCode {
    match check(arguments, settings).await {
        Ok(told) => {
            let _ = writeln!(io::stdout(), "healthy: {told}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "unhealthy: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn check(arguments: &Arguments, settings: &Settings) -> Result<String, Error> {
    let own = arguments.url.is_none();
    let server = match &arguments.url {
        Some(url) => Server::at(url).ok_or_else(|| Error::Url(url.clone()))?,
        None => itself(&settings.http)?,
    };
    let asking = async {
        let name = health(&server).await?;
        if !arguments.mcp {
            return Ok(name);
        }
        let auth = if own {
            &settings.http.auth
        } else {
            &AuthSettings::None
        };
        mcp(&server, auth).await.map(|told| format!("{name}, {told}"))
    };
    let seconds = arguments.timeout;
    let answered = tokio::time::timeout(Duration::from_secs(seconds), asking).await;
    answered.unwrap_or_else(|_| {
        Err(Error::Slow {
            url: server.url(""),
            seconds,
        })
    })
}

/// Speaks MCP with the server of this process, which listens at `address`; gives what it offers.
///
/// # Errors
/// Why it is not healthy.
pub async fn of_itself(address: SocketAddr, auth: &AuthSettings, limit: Duration) -> Result<String, Error> {
    let url = format!("http://{address}");
    let server = Server::at(&url).ok_or_else(|| Error::Url(url.clone()))?;
    let seconds = limit.as_secs();
    let answered = tokio::time::timeout(limit, mcp(&server, auth)).await;
    answered.unwrap_or(Err(Error::Slow { url, seconds }))
}

/// Where the server of these settings is, for this machine.
fn itself(settings: &HttpSettings) -> Result<Server, Error> {
    if settings.port == 0 {
        return Err(Error::NoPort);
    }
    let host = match settings.host {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    let url = format!("http://{}", SocketAddr::new(host, settings.port));
    Server::at(&url).ok_or(Error::Url(url))
}

/// The server's name.
async fn health(server: &Server) -> Result<String, Error> {
    let answer = asked(server, "/health", None, None, None).await?;
    let stranger = || Error::Stranger {
        url: server.url("/health"),
    };
    match (answer["status"].as_str(), answer["service"].as_str()) {
        (Some("healthy"), Some(name)) => Ok(format!("{name} at {}", server.url(""))),
        _ => Err(stranger()),
    }
}

/// What it offers, for people.
async fn mcp(server: &Server, auth: &AuthSettings) -> Result<String, Error> {
    let token = if let AuthSettings::Bearer { tokens } = auth {
        tokens::first(tokens)
    } else {
        None
    };
    let token = token.as_deref();
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": VERSION,
        "capabilities": {},
        "clientInfo": { "name": "iam-mcp-server health", "version": env!("CARGO_PKG_VERSION") },
    }});
    let answer = match asked(server, "/mcp", Some(&hello), token, None).await {
        // Its check of tokens is at work, and nobody here has one.
        Err(Error::Refused {
            status: StatusCode::UNAUTHORIZED,
            ..
        }) if token.is_none() && *auth != AuthSettings::None => {
            return Ok("/mcp asks for a token".to_owned());
        }
        answer => answer?,
    };
    let url = || server.url("/mcp");
    let version = answer["result"]["protocolVersion"]
        .as_str()
        .ok_or_else(|| Error::Stranger { url: url() })?;
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {} });
    let answer = asked(server, "/mcp", Some(&list), token, Some(version)).await?;
    match answer["result"]["tools"].as_array().map(Vec::len) {
        None => Err(Error::Stranger { url: url() }),
        Some(0) => Err(Error::NoTools { url: url() }),
        Some(1) => Ok(format!("1 tool over MCP {version}")),
        Some(count) => Ok(format!("{count} tools over MCP {version}")),
    }
}

/// The JSON that it answers; anything but 200 is an error.
async fn asked(
    server: &Server,
    route: &str,
    message: Option<&Value>,
    token: Option<&str>,
    version: Option<&str>,
) -> Result<Value, Error> {
    let url = server.url(route);
    let answer = server.ask(route, message, token, version).await;
    let (status, body) = answer.map_err(|source| Error::NoAnswer {
        url: url.clone(),
        source,
    })?;
    let parsed: Option<Value> = serde_json::from_slice(&body).ok();
    if status != StatusCode::OK {
        let told = parsed
            .as_ref()
            .and_then(|answer| answer["error"]["message"].as_str());
        let told = told.map(|told| format!(": {told}")).unwrap_or_default();
        return Err(Error::Refused { url, status, told });
    }
    parsed.ok_or(Error::Stranger { url })
}
