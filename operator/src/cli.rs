//! Arguments and their environment twins.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// The image that a server gets when its resource names none.
pub const DEFAULT_SERVER_IMAGE: &str = concat!("ghcr.io/iam-mcp/iam-mcp-server:", env!("CARGO_PKG_VERSION"));

/// Reconciles McpServer resources: everything one MCP server needs in a cluster.
#[derive(Debug, Parser)]
#[command(
    name = "iam-mcp-operator",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
        iam-mcp-operator run --kubeconfig ~/.kube/config --watch-namespaces mcp\n  \
        iam-mcp-operator render -f mcpserver.yaml | kubectl diff -f -\n\n\
        Without a subcommand the operator runs. In a cluster, install it with the Helm chart charts/iam-mcp-operator."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Arguments of `run`, which is what happens without a subcommand.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch McpServer resources and reconcile them until SIGTERM (default)
    Run(RunArgs),
    /// Print the children of McpServer resources as YAML, without a cluster
    Render(RenderArgs),
}

/// How the operator runs.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Kubeconfig to use; default: the KUBECONFIG variable, ~/.kube/config, or the pod's service account
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Watch these namespaces only, separated by commas; default: all
    #[arg(long, env = "WATCH_NAMESPACES", value_name = "NS,...", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,

    /// Address of /livez, /readyz and /metrics; 0 turns them off
    #[arg(
        long,
        env = "METRICS_BIND",
        value_name = "ADDR",
        default_value = "0.0.0.0:8080"
    )]
    pub metrics_bind: String,

    /// Act only while holding a Lease, so that several operators can stand by
    #[arg(long, env = "LEADER_ELECT")]
    pub leader_elect: bool,

    /// Namespace of the Lease
    #[arg(
        long,
        env = "POD_NAMESPACE",
        value_name = "NS",
        default_value = "iam-mcp-system"
    )]
    pub lease_namespace: String,

    /// This operator's name in the Lease and in events; default: the host name and a random suffix
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub identity: Option<String>,

    /// Image of servers whose resource names none
    #[arg(long, env = "IAM_MCP_SERVER_IMAGE", value_name = "IMAGE", default_value = DEFAULT_SERVER_IMAGE)]
    pub server_image: String,

    /// Ask each server over MCP once in so many seconds whether it is well; 0 turns it off
    #[arg(
        long,
        env = "PROTOCOL_HEALTH_INTERVAL",
        value_name = "SECONDS",
        default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(0..=86_400)
    )]
    pub protocol_health_interval: u64,

    /// ERROR, WARN, INFO, DEBUG, TRACE, or a filter such as info,kube=debug
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub log_level: String,

    /// json or text
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT", default_value = "json")]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum LogFormat {
    /// A JSON object a line.
    Json,
    /// For people.
    Text,
}

impl From<LogFormat> for iam_mcp_runtime::telemetry::LogFormat {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Text => Self::Text,
        }
    }
}

/// What to render.
#[derive(Args, Clone, Debug)]
pub struct RenderArgs {
    /// File with one or more McpServer documents; - reads standard input
    #[arg(short, long, value_name = "FILE")]
    pub filename: PathBuf,

    /// Namespace of resources that name none
    #[arg(short, long, value_name = "NS", default_value = "default")]
    pub namespace: String,

    /// Image of servers whose resource names none
    #[arg(long, env = "IAM_MCP_SERVER_IMAGE", value_name = "IMAGE", default_value = DEFAULT_SERVER_IMAGE)]
    pub server_image: String,
}
