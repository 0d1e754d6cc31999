//! `iam-mcp-server`: reads arguments and settings, then hands over to the library.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use iam_mcp_runtime::{shutdown::Shutdown, telemetry};
use iam_mcp_server::{
    app,
    cli::Cli,
    config::{Settings, Transport},
    transport::stdio,
};

/// What a bad argument or setting exits with, as clap does.
const USAGE: u8 = 2;

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
