//! `iam-mcp-server`: reads arguments and settings, then hands over to the library.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser as _;
use iam_mcp_runtime::{
    shutdown::Shutdown,
    telemetry::{self, LogFormat, LogLevel, otlp::Traces},
};
use iam_mcp_server::{
    app, bridge,
    cli::{Cli, Task},
    commands::{health, install, search},
    config::{Settings, Transport},
    transport::stdio,
};

/// What a bad argument or setting exits with, as clap does.
const USAGE: u8 = 2;

/// How long the last traces may take; within the time that stopping has.
const LAST_TRACES: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let settings = Settings::from_env();
    let task = cli.task(
        settings
            .as_ref()
            .map_or(Transport::Stdio, |settings| settings.transport),
    );
    let settings = match settings {
        Ok(settings) => settings,
        Err(invalid) => {
            eprintln!("{invalid}");
            // Container runtimes know 0 and 1, and nothing else.
            return if matches!(task, Task::Health(_)) {
                ExitCode::FAILURE
            } else {
                ExitCode::from(USAGE)
            };
        }
    };
    let result = match task {
        Task::Serve(Transport::Stdio) => run(Way::Stdio, settings).map(|()| ExitCode::SUCCESS),
        Task::Serve(Transport::Http) => run(Way::Http, settings).map(|()| ExitCode::SUCCESS),
        Task::Bridge(arguments) => run(Way::Bridge(arguments), settings).map(|()| ExitCode::SUCCESS),
        Task::Install(arguments) => install::run(&arguments).map_err(anyhow::Error::from).map(|path| {
            println!("{}", path.display());
            ExitCode::SUCCESS
        }),
        Task::Search(arguments) => {
            quiet(&settings).and_then(|()| command(search::run(&arguments, &settings)))
        }
        Task::Health(arguments) => command(health::run(&arguments, &settings)),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// For a person at a terminal: readable, and warnings only, unless `LOG_LEVEL` asks for more.
fn quiet(settings: &Settings) -> anyhow::Result<()> {
    let level = match settings.log.level.as_str() {
        level if level.eq_ignore_ascii_case("info") => "warn",
        level => level,
    };
    telemetry::init(level, LogFormat::Text)?;
    Ok(())
}

/// Does one thing and ends.
fn command(work: impl Future<Output = ExitCode>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let code = runtime.block_on(work);
    // What a cancelled search left behind is not waited for.
    runtime.shutdown_background();
    Ok(code)
}

/// How clients are served.
enum Way {
    Stdio,
    Http,
    Bridge(bridge::Arguments),
}

fn run(way: Way, settings: Settings) -> anyhow::Result<()> {
    let mut builder = match way {
        // One client, one pipe: a second thread would only cost memory.
        Way::Stdio => tokio::runtime::Builder::new_current_thread(),
        Way::Http | Way::Bridge(_) => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let result = runtime.block_on(async {
        let (log_level, traces) = watch(&settings)?;
        let shutdown = match way {
            Way::Stdio => Shutdown::install(),
            Way::Http | Way::Bridge(_) => Shutdown::install_for_drain(),
        }
        .context("cannot watch for signals")?;
        let hard = shutdown.hard();
        let result = match way {
            Way::Stdio => Box::pin(stdio::run(settings, shutdown))
                .await
                .map_err(anyhow::Error::from),
            Way::Http => app::run(settings, shutdown, log_level)
                .await
                .map_err(anyhow::Error::from),
            Way::Bridge(arguments) => bridge::run(settings, arguments, shutdown, log_level)
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
