//! The command line. Settings are environment variables ([`crate::config`]); the arguments choose what is done.

use clap::{Parser, Subcommand};

use crate::{
    bridge,
    commands::{health, install, search},
    config::Transport,
};

/// The environment, for `--help`. The README's table says the same at more length.
const ENVIRONMENT: &str = "\
Environment, all optional:
  MCP_TRANSPORT         stdio (default) or http, when no command is given
  LOG_LEVEL             DEBUG, INFO (default), WARNING, ERROR, or a filter like info,rmcp=debug
  LOG_FORMAT            json (default) or text; logs always go to stderr
  AUDIT_LOG             a line for each tool call: off (default), stderr, or the absolute path of a file
  OTEL_EXPORTER_OTLP_ENDPOINT
                        a collector for traces, such as http://collector:4318 (default: none); the other
                        OTEL_* variables count too

  HOST                  address to listen on (default 127.0.0.1)
  PORT                  port to listen on (default 8080; 0 = any free one)
  ADMIN_PORT            /metrics, /livez, /readyz and /log-level (default 9090; 0 = off)
  ADMIN_TOKEN_FILE      a file with the token that lets others than this machine change the log level
  ALLOWED_HOSTS         Host names served besides localhost, separated by commas; *.example.com and * work
  ALLOWED_ORIGINS       browser origins served (default: localhost, the allowed hosts, CORS_ORIGINS)
  CORS_ORIGINS          origins that browsers may call from; * for any; unset = no CORS headers
  AUTH                  none (default), bearer or oidc: every request but /health needs a token
  AUTH_TOKENS_FILE      bearer: NAME TOKEN a line, at least 16 characters each; re-read on change
  OIDC_ISSUER           oidc: who makes the tokens, exactly as they say in iss
  OIDC_AUDIENCE         oidc: what tokens for this server say in aud; several: with commas
  OIDC_JWKS_URL         oidc: where the issuer's keys are (default: the issuer says so)
  OIDC_SCOPES           oidc: scopes that tokens must have, separated by spaces; a|b for one of them
  OIDC_PRINCIPAL_CLAIM  oidc: the claim that says whose a token is (default sub)
  PUBLIC_URL            oidc: the address that clients know (default: the one they ask for)
  BASE_PATH             a path such as /jobs, below which every address is served too
  RATE_LIMIT            messages a second from one client, twice that at once (default 100; 0 = off)
  TOOL_LIMITS           calls of a tool by one client, like search_jobs=10/s,*=60/minute; 0 for no
                        limit (default: half of RATE_LIMIT a second; over stdio none)
  TRUSTED_PROXIES       addresses and networks whose X-Forwarded-For is believed (default: none)
  LIMITS_URL            a Valkey or Redis where replicas count together (default: each for itself):
                        redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS
  MAX_SESSIONS          open SSE sessions (default 10000)
  MAX_CONNECTIONS       open connections (default 20000)
  VERIFY_AT_START       true: /readyz says so only after the server has spoken MCP with itself; false: at once
                        (default: true with PEER_PORT)
  SESSION_KEY_FILE      32 bytes, raw or base64, that seal SSE session ids (default: made at start);
                        FILE-next and FILE-previous beside it are accepted too
  PEER_PORT             port where other replicas pass messages on (default 0 = off); needs the next two
  POD_IP, POD_UID       address and uid of this replica's pod
  DRAIN_SECONDS         how long open streams live on after SIGTERM (default 0)
  DRAIN_IDLE_SECONDS    silence after which one may end earlier (default: never)

  JOB_PROVIDER          Auto (default: JSearch if there is a key), JSearch or Catalogue
  JOB_PROVIDERS         several at once, which wins: jsearch, catalogue, arbeitnow, remotive, greenhouse
  GREENHOUSE_BOARDS     companies whose boards greenhouse reads, like stripe,airbnb
  JSEARCH_BUDGET        requests the key is used for, like 100/hour or 200/month (default 1000/hour; off)
  JOB_CACHE_SECONDS     how long an equal search gets the same answer (default 300; 0 = off)
  JOB_CACHE_MB          memory for answers, in megabytes (default 32)
  ARBEITNOW_BASE_URL, REMOTIVE_BASE_URL, GREENHOUSE_BASE_URL
                        where the public boards are
  RAPIDAPI_KEY          your key for JSearch
  RAPIDAPI_KEY_FILE     a file with the key; wins over RAPIDAPI_KEY, read again when it changes
  RAPIDAPI_HOST         default jsearch.p.rapidapi.com
  RAPIDAPI_BASE_URL     default https://$RAPIDAPI_HOST

  APP_NAME              the name in /health and in the protocol (default iam-mcp-server)
  IAM_DATA_ROOT         the folder that the prompts save files in, and saved jobs are in (default data); your own
                        postings are its catalogue/*.jsonl
  SAVED_JOBS            auto (default: where this process is no replica and can write to IAM_DATA_ROOT), off,
                        local, or shared: all replicas have the same volume there
  RESUME_MESH_FILENAME  the name of the combined résumé (default resume_mesh)

Examples:
  iam-mcp-server                                 speak MCP on stdin and stdout, for a desktop client
  PORT=9999 iam-mcp-server http                  serve http://127.0.0.1:9999/mcp and /sse
  RAPIDAPI_KEY=... iam-mcp-server http           search real postings
  iam-mcp-server search \"rust engineer\" --city Berlin --country Germany
                                                 the same search, as a table in this terminal
  iam-mcp-server health                          for containers: is this environment's server well?
  iam-mcp-server bridge -- npx some-mcp-server   serve another program, which speaks on stdin and stdout, over HTTP

Each command has a --help of its own.";

/// Finds jobs for MCP clients, over stdio or HTTP.
#[derive(Debug, Parser)]
#[command(name = "iam-mcp-server", version, about, after_help = ENVIRONMENT)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Speak MCP on stdin and stdout; logs go to stderr.
    Stdio,
    /// Serve MCP over HTTP: /mcp, and /sse with /messages/.
    #[command(alias = "mcp_server_iam.server_http")]
    Http,
    /// Search for jobs, as clients do with the tool, and print them.
    Search(search::Arguments),
    /// Ask a server whether it is healthy, and exit with 0 if it is.
    Health(health::Arguments),
    /// Serve a program that speaks MCP on stdin and stdout over HTTP: /mcp, and /sse with /messages/.
    Bridge(bridge::Arguments),
    /// Put a copy of this binary into a directory, for a pod whose image has another program.
    Install(install::Arguments),
    /// What the Python server's image was started with: `MCP_TRANSPORT` decides.
    #[command(name = "mcp_server_iam", hide = true)]
    Compatible,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Task {
    /// Serve clients.
    Serve(Transport),
    /// Print jobs.
    Search(search::Arguments),
    /// Say whether a server is well.
    Health(health::Arguments),
    /// Serve somebody else's program.
    Bridge(bridge::Arguments),
    /// Copy this binary.
    Install(install::Arguments),
}

impl Cli {
    /// What the command says; without one, serving over `default`, which comes from `MCP_TRANSPORT`.
    #[must_use]
    pub fn task(self, default: Transport) -> Task {
        match self.command {
            Some(Command::Stdio) => Task::Serve(Transport::Stdio),
            Some(Command::Http) => Task::Serve(Transport::Http),
            Some(Command::Search(arguments)) => Task::Search(arguments),
            Some(Command::Health(arguments)) => Task::Health(arguments),
            Some(Command::Bridge(arguments)) => Task::Bridge(arguments),
            Some(Command::Install(arguments)) => Task::Install(arguments),
            Some(Command::Compatible) | None => Task::Serve(default),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(arguments: &[&str], default: Transport) -> Transport {
        let all = std::iter::once("iam-mcp-server").chain(arguments.iter().copied());
        match Cli::try_parse_from(all).expect("valid arguments").task(default) {
            Task::Serve(transport) => transport,
            task => panic!("{task:?}"),
        }
    }

    #[test]
    fn commands_win_over_the_environment() {
        assert_eq!(chosen(&["http"], Transport::Stdio), Transport::Http);
        assert_eq!(chosen(&["stdio"], Transport::Http), Transport::Stdio);
        assert_eq!(chosen(&[], Transport::Http), Transport::Http);
    }

    #[test]
    fn the_python_images_arguments_work() {
        assert_eq!(
            chosen(&["mcp_server_iam.server_http"], Transport::Stdio),
            Transport::Http
        );
        assert_eq!(chosen(&["mcp_server_iam"], Transport::Stdio), Transport::Stdio);
        assert_eq!(chosen(&["mcp_server_iam"], Transport::Http), Transport::Http);
    }

    #[test]
    fn unknown_arguments_exit_with_2() {
        let error = Cli::try_parse_from(["iam-mcp-server", "serve"]).expect_err("unknown");
        assert_eq!(error.exit_code(), 2);
    }
}
