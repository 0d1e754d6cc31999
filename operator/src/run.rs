//! `run`: wires the client, the admin port, the Lease and the controller, and stops them in order.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use iam_mcp_runtime::{
    admin::{self, Health},
    serve,
    shutdown::Shutdown,
    telemetry::{
        self,
        otlp::{
            Traces,
            settings::{self, Rejected},
        },
    },
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, CustomResourceExt as _, ResourceExt as _};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::RunArgs,
    connect,
    controller::{
        self,
        context::{Context, jitter},
        events::Events,
        health::ledger::Ledger,
        roll::Roll,
        validate::Defaults,
        watch::chain,
    },
    definition,
    fence::{self, Fence},
    leader::Elector,
    metrics::Metrics,
};

/// Threads that run everything. The operator waits for the API server far more than it works; and each thread keeps an
/// arena of memory of its own, on a large node as many as it has CPUs.
const WORKERS: usize = 2;
/// Pause between looks for the `CustomResourceDefinition`.
const CRD_POLL: Duration = Duration::from_secs(2);
/// Time for reconciles in flight after SIGTERM; below the chart's grace period.
const DRAIN: Duration = Duration::from_secs(10);

/// How long the last traces may take; within the time that stopping has.
const LAST_TRACES: Duration = Duration::from_secs(2);

/// Runs the operator until SIGTERM. A lost Lease is a failure: the process ends at once, and its pod
/// starts anew as a standby.
///
/// # Errors
/// When it cannot start.
pub fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    block_on(async {
        let traces = watch(&args)?;
        let code = operate(args).await;
        if let Some(traces) = traces {
            traces.flush(LAST_TRACES).await;
        }
        code
    })
}

/// Sets up the log, and traces where the environment names a collector.
fn watch(args: &RunArgs) -> anyhow::Result<Option<Traces>> {
    let (level, format) = (&args.log_level, args.log_format.into());
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let asked = settings::read(variable, crate::OPERATOR).map_err(|rejected| {
        let told = rejected.into_iter().map(
            |Rejected {
                 variable,
                 value,
                 advice,
             }| {
                let value = value.map(|value| format!("={value:?}")).unwrap_or_default();
                format!("\n  {variable}{value}: {advice}")
            },
        );
        anyhow::anyhow!("settings are not valid:{}", told.collect::<String>())
    })?;
    let Some(asked) = asked else {
        telemetry::init(level, format)?;
        return Ok(None);
    };
    let traces = Traces::new(asked.service, env!("CARGO_PKG_VERSION"))?;
    telemetry::init_with_traces(level, format, &traces)?;
    Ok(Some(traces))
}

/// Runs `work` to its end.
///
/// # Errors
/// Those of `work`, and when the system gives no threads.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?
        .block_on(work)
}

async fn operate(args: RunArgs) -> anyhow::Result<ExitCode> {
    // Without `..`: a flag that is not used does not compile cleanly.
    let RunArgs {
        kubeconfig,
        watch_namespaces,
        class,
        metrics_bind,
        leader_elect,
        lease_namespace,
        identity,
        server_image,
        roll_default_image,
        protocol_health_interval,
        log_level: _,
        log_format: _,
    } = args;
    let shutdown = Shutdown::install().context("cannot listen for signals")?;
    let namespaces: Vec<String> = watch_namespaces.into_iter().filter(|ns| !ns.is_empty()).collect();
    let identity = identity.unwrap_or_else(|| format!("{}-{}", hostname(), jitter(u64::MAX)));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        server_image,
        identity,
        ?namespaces,
        class,
        leader_elect,
        "starting"
    );

    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let health = Health::new();
    // The admin port outlives `soft`, so that probes are answered while reconciles drain.
    let admin_stop = CancellationToken::new();
    let admin = start_admin(
        &metrics_bind,
        health.clone(),
        registry,
        admin_stop.clone(),
        shutdown.hard(),
    )
    .await?;

    let fence = Fence::default();
    let client = fence::client(
        connect::config(kubeconfig.as_deref()).await?,
        &fence,
        &metrics.api_requests,
    )?;
    let soft = shutdown.soft();
    if !wait_for_definition(&client, &soft).await {
        return Ok(ExitCode::SUCCESS);
    }
    let events = Events::new(client.clone(), &identity);
    let mut context = Context::new(
        client.clone(),
        Defaults {
            server_image,
            operator_namespace: lease_namespace.clone(),
        },
        class.clone(),
        Roll::new(roll_default_image),
        events,
        Arc::clone(&metrics),
    );
    context.health = Ledger::new(Duration::from_secs(protocol_health_interval));
    let context = Arc::new(context);

    let code = if leader_elect {
        // A standby is ready: it can take over at any moment.
        health.set_ready(true);
        lead(
            Elector::new(client, class.as_deref(), &lease_namespace, &identity, fence),
            context,
            &namespaces,
            &metrics,
            &shutdown,
        )
        .await
    } else {
        metrics.set_leader(true);
        act(context, &namespaces, soft, || health.set_ready(true)).await;
        ExitCode::SUCCESS
    };
    admin_stop.cancel();
    if let Some(admin) = admin {
        let _ = tokio::time::timeout(Duration::from_secs(1), admin).await;
    }
    tracing::info!("stopped");
    Ok(code)
}

/// Waits for the Lease, acts while it holds, gives it up at the end.
async fn lead(
    mut elector: Elector,
    context: Arc<Context>,
    namespaces: &[String],
    metrics: &Metrics,
    shutdown: &Shutdown,
) -> ExitCode {
    let soft = shutdown.soft();
    if !elector.acquire(&soft).await {
        return ExitCode::SUCCESS;
    }
    tracing::info!("this operator leads");
    metrics.set_leader(true);
    let held_until = CancellationToken::new();
    let acting = act(context, namespaces, soft.clone(), || {});
    tokio::pin!(acting);
    let held = tokio::select! {
        // First the Lease: a leader that lost it must not take another step.
        biased;
        held = elector.hold(&held_until) => held,
        () = &mut acting => true,
    };
    metrics.set_leader(false);
    if !held {
        tracing::error!("the Lease is lost; stopping at once so that two operators never act");
        return ExitCode::FAILURE;
    }
    elector.release().await;
    ExitCode::SUCCESS
}

/// Runs the controller until `stop`, and then for as long as reconciles in flight may take.
async fn act(
    context: Arc<Context>,
    namespaces: &[String],
    stop: CancellationToken,
    on_synced: impl FnOnce(),
) {
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        () = controller::run(context, namespaces, stop.clone(), on_synced) => {}
        () = late => tracing::warn!("reconciles in flight did not end in time"),
    }
}

async fn start_admin(
    bind: &str,
    health: Health,
    registry: Registry,
    stop: CancellationToken,
    hard: CancellationToken,
) -> anyhow::Result<Option<tokio::task::JoinHandle<()>>> {
    if bind == "0" {
        return Ok(None);
    }
    let listener = TcpListener::bind(bind)
        .await
        .with_context(|| format!("--metrics-bind: cannot listen on {bind} (use HOST:PORT, or 0 for off)"))?;
    let app = admin::router(health, Arc::new(registry));
    Ok(Some(tokio::spawn(async move {
        if let Err(error) = serve::serve(listener, app, serve::Options::default(), stop, hard).await {
            tracing::error!(error = %chain(&error), "the admin port failed");
        }
    })))
}

/// Waits until the definition of `McpServer` is established; `false` when told to stop meanwhile.
async fn wait_for_definition(client: &Client, stop: &CancellationToken) -> bool {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = iam_mcp_crds::McpServer::crd_name();
    let mut told = false;
    loop {
        let missing = match api.get_opt(name).await {
            Ok(Some(crd)) if is_established(&crd) => {
                let lacks = definition::lacks(&crd);
                if !lacks.is_empty() {
                    tracing::warn!(
                        "the installed McpServer definition is older than this operator, and the API server drops {}: \
                         upgrade it with the chart, or kubectl apply --server-side -f crds/",
                        lacks.join(", ")
                    );
                }
                return true;
            }
            Ok(Some(crd)) => format!("{} is not established yet", crd.name_any()),
            Ok(None) => format!("{name} is not installed: kubectl apply -f crds/, or install the chart"),
            Err(error) => chain(&error),
        };
        if !std::mem::replace(&mut told, true) {
            tracing::warn!("waiting for the McpServer definition: {missing}");
        }
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(CRD_POLL) => {}
        }
    }
}

fn is_established(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd
        .status
        .as_ref()
        .and_then(|s| s.conditions.as_deref())
        .unwrap_or_default();
    conditions
        .iter()
        .any(|c| c.type_ == "Established" && c.status == "True")
}

fn hostname() -> String {
    std::env::var("HOSTNAME")
        .ok()
        .or_else(|| std::fs::read_to_string("/etc/hostname").ok())
        .map_or_else(|| crate::OPERATOR.to_owned(), |name| name.trim().to_owned())
}
