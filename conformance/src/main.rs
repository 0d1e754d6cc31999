//! `conformance-server`: what the official conformance suite asks of a server under test, behind the HTTP stack of
//! `iam-mcp-server`. It is started like that one (`conformance-server http`, with the same settings) and differs in
//! the handler alone.

mod fixtures;

use std::process::ExitCode;

use anyhow::Context as _;
use iam_mcp_runtime::{shutdown::Shutdown, telemetry};
use iam_mcp_server::{app::Server, config::Settings};

use self::fixtures::Fixtures;

/// What a bad argument or setting exits with.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    if std::env::args().skip(1).ne(["http".to_owned()]) {
        eprintln!("usage: conformance-server http\nThe settings are those of iam-mcp-server.");
        return ExitCode::from(USAGE);
    }
    match Settings::from_env() {
        Err(invalid) => {
            eprintln!("{invalid}");
            ExitCode::from(USAGE)
        }
        Ok(settings) => match run(settings) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}

#[tokio::main]
async fn run(settings: Settings) -> anyhow::Result<()> {
    telemetry::init(&settings.log.level, settings.log.format)?;
    let shutdown = Shutdown::install_for_drain().context("cannot watch for signals")?;
    let server = Server::bind(settings).await?;
    server.run_with(shutdown, |_| Fixtures::new()).await?;
    Ok(())
}
