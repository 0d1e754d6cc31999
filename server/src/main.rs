//! `iam-mcp-server`: reads arguments and settings, then hands over to the library.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use iam_mcp_runtime::{
    shutdown::Shutdown,
    telemetry::{self, LogFormat},
};
use iam_mcp_server::{
    app,
    cli::{Cli, Task},
    commands::{health, search},
    config::{Settings, Transport},
    transport::stdio,
};

/// What a bad argument or setting exits with, as clap does.
const USAGE: u8 = 2;

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
        Task::Serve(transport) => run(transport, settings).map(|()| ExitCode::SUCCESS),
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
    Ok(telemetry::init(level, LogFormat::Text)?)
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

fn run(transport: Transport, settings: Settings) -> anyhow::Result<()> {
    telemetry::init(&settings.log.level, settings.log.format)?;
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
        let shutdown = match transport {
            Transport::Stdio => Shutdown::install(),
            Transport::Http => Shutdown::install_for_drain(),
        }
        .context("cannot watch for signals")?;
        match transport {
            Transport::Stdio => stdio::run(settings, shutdown).await.map_err(anyhow::Error::from),
            Transport::Http => app::run(settings, shutdown).await.map_err(anyhow::Error::from),
        }
    });
    // Not the usual drop: that waits for blocking threads, and one may be stuck reading a terminal.
    runtime.shutdown_background();
    result
}
