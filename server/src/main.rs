//! `iam-mcp-server`: reads arguments and settings, then hands over to the library.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser as _;
use iam_mcp_runtime::{
    shutdown::Shutdown,
    telemetry::{self, LogLevel, otlp::Traces},
};
use iam_mcp_server::{
    app,
    cli::Cli,
    config::{Settings, Transport},
    transport::stdio,
};

/// What a bad argument or setting exits with, as clap does.
const USAGE: u8 = 2;

/// How long the last traces may take; within the time that stopping has.
const LAST_TRACES: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let settings = match Settings::from_env() {
        Ok(settings) => settings,
        Err(invalid) => {
            eprintln!("{invalid}");
            return ExitCode::from(USAGE);
        }
    };
    let transport = cli.transport(settings.transport);
    match run(transport, settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(transport: Transport, settings: Settings) -> anyhow::Result<()> {
    let mut builder = match transport {
        // One client, one pipe: a second thread would only cost memory.
        Transport::Stdio => tokio::runtime::Builder::new_current_thread(),
        Transport::Http => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let result = runtime.block_on(async {
        let (log_level, traces) = watch(&settings)?;
        let shutdown = match transport {
            Transport::Stdio => Shutdown::install(),
            Transport::Http => Shutdown::install_for_drain(),
        }
        .context("cannot watch for signals")?;
        let hard = shutdown.hard();
        let result = match transport {
            Transport::Stdio => stdio::run(settings, shutdown).await.map_err(anyhow::Error::from),
            Transport::Http => app::run(settings, shutdown, log_level)
                .await
                .map_err(anyhow::Error::from),
        };
        if let Some(traces) = traces {
            // Whoever insists on the end does not wait for a collector.
            let limit = if hard.is_cancelled() {
                LAST_TRACES / 10
            } else {
                LAST_TRACES
            };
            traces.flush(limit).await;
        }
        result
    });
    // Not the usual drop: that waits for blocking threads, and one may be stuck reading a terminal.
    runtime.shutdown_background();
    result
}

/// Sets up the log, and traces where they are asked for.
fn watch(settings: &Settings) -> anyhow::Result<(LogLevel, Option<Traces>)> {
    let (level, format) = (&settings.log.level, settings.log.format);
    let Some(asked) = &settings.telemetry.traces else {
        return Ok((telemetry::init(level, format)?, None));
    };
    let traces = Traces::new(asked.service.clone(), env!("CARGO_PKG_VERSION"))?;
    let level = telemetry::init_with_traces(level, format, &traces)?;
    Ok((level, Some(traces)))
}
