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
        iam-mcp-operator render -f mcpserver.yaml | kubectl diff -f -\n  \
        iam-mcp-operator explain jobs -n mcp\n\n\
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
    /// Print what the operator would do now to the children of a McpServer, field by field; nothing is written
    Explain(ExplainArgs),
    /// Print versions: of the operator, of the API it serves, of the server's image
    Version(VersionArgs),
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

    /// Look after the servers whose spec.operatorClass is this; default: those without one. Operators of different
    /// classes can share a cluster, each with a Lease of its own
    #[arg(long, env = "OPERATOR_CLASS", value_name = "NAME", value_parser = class)]
    pub class: Option<String>,

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

    /// The operator's own namespace: where its Lease is, and from where a NetworkPolicy lets it in
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

    /// Move the servers that run pods of an earlier operator to what this one renders, so many at a time, and no further
    /// once one of them fails; 0: leave each as it is until its spec changes
    #[arg(long, env = "ROLL_DEFAULT_IMAGE", value_name = "N", default_value_t = 0)]
    pub roll_default_image: usize,

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

/// A class, as the schema of `McpServer` allows it.
fn class(given: &str) -> Result<String, String> {
    let fits = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (bytes, ends) = (given.as_bytes(), |end: Option<&u8>| end.is_some_and(fits));
    if bytes.len() <= 40
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| fits(byte) || *byte == b'-')
    {
        Ok(given.to_owned())
    } else {
        Err("write it as at most 40 lower-case letters, digits and '-', such as blue".to_owned())
    }
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

    /// Namespace of the operator, from where a NetworkPolicy lets it in
    #[arg(
        long,
        env = "POD_NAMESPACE",
        value_name = "NS",
        default_value = "iam-mcp-system"
    )]
    pub operator_namespace: String,
}

/// What to explain.
#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    /// Name of the McpServer
    pub name: String,

    /// Its namespace; default: the one that the kubeconfig names
    #[arg(short, long, value_name = "NS")]
    pub namespace: Option<String>,

    /// Kubeconfig to use; default: the KUBECONFIG variable, ~/.kube/config, or the pod's service account
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Image of servers whose resource names none; give what the operator runs with
    #[arg(long, env = "IAM_MCP_SERVER_IMAGE", value_name = "IMAGE", default_value = DEFAULT_SERVER_IMAGE)]
    pub server_image: String,

    /// Namespace of the operator, from where a NetworkPolicy lets it in
    #[arg(
        long,
        env = "POD_NAMESPACE",
        value_name = "NS",
        default_value = "iam-mcp-system"
    )]
    pub operator_namespace: String,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How versions are printed.
#[derive(Args, Clone, Debug)]
pub struct VersionArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
