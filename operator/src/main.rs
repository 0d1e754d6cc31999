//! `iam-mcp-operator`: parse the arguments, call the library.

use std::process::ExitCode;

use clap::Parser as _;
use iam_mcp_operator::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Some(Command::Render(args)) => iam_mcp_operator::render::render(&args).map(|()| ExitCode::SUCCESS),
        Some(Command::Explain(args)) => {
            iam_mcp_operator::run::block_on(iam_mcp_operator::explain::explain(&args))
                .map(|()| ExitCode::SUCCESS)
        }
        Some(Command::Version(args)) => {
            iam_mcp_operator::version::print(&args);
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Run(args)) => iam_mcp_operator::run::run(args),
        None => iam_mcp_operator::run::run(cli.run),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("iam-mcp-operator: {error:#}");
        ExitCode::FAILURE
    })
}
