//! The load client: HTTP/1.1 by hand on one thread, so that what is measured is the server.
//!
//!     load http  PORT CONNECTIONS SECONDS REQUEST EXPECT [--rate N] [--calls N]
//!     load sse   PORT SESSIONS SECONDS MESSAGE EXPECT [--calls N]
//!     load idle  PORT SESSIONS
//!     load visit PORT CLIENTS SECONDS INITIALIZE REQUEST EXPECT --rate N
//!
//! REQUEST, INITIALIZE and MESSAGE are files: whole HTTP requests (for `http` several, parted by zero bytes), and for
//! `sse` a JSON-RPC message with `@ID@` for its id. EXPECT must be in an answer. A line of JSON says what was measured;
//! `idle` prints `ready`, and ends with its input. Latencies are from the first byte written to the last one read.

use std::{io, process::ExitCode, time::Duration};

mod calls;
mod http1;
mod session;
mod timing;

use crate::timing::Load;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match tokio::task::LocalSet::new().block_on(&runtime, run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &io::Error) -> ExitCode {
    eprintln!("load: {error}");
    ExitCode::FAILURE
}

/// An error in words.
fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::other(what.into())
}

async fn run(arguments: &[String]) -> io::Result<()> {
    let (mut places, mut rate, mut calls) = (Vec::new(), None, None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--rate" => rate = Some(number::<f64>(rest.next())?),
            "--calls" => calls = Some(number::<u64>(rest.next())?),
            _ => places.push(argument.clone()),
        }
    }
    let place = |index: usize| places.get(index);
    let port: u16 = number(place(1))?;
    let clients: usize = number(place(2))?;
    let file = |index: usize| {
        let path = place(index).ok_or_else(|| wrong("a file is missing"))?;
        std::fs::read(path).map_err(|error| wrong(format!("{path}: {error}")))
    };
    let text = |index: usize| {
        place(index)
            .cloned()
            .ok_or_else(|| wrong("an argument is missing"))
    };
    let load = || -> io::Result<Load> {
        let seconds = Duration::from_secs_f64(number(place(3))?);
        Ok(Load::new(clients, seconds, rate, calls))
    };
    let measured = match places.first().map(String::as_str) {
        Some("http") => calls::http(port, load()?, file(4)?, text(5)?).await?,
        Some("visit") => calls::visit(port, load()?, file(4)?, file(5)?, text(6)?).await?,
        Some("sse") => {
            let message = String::from_utf8(file(4)?).map_err(|_| wrong("the message is no text"))?;
            session::calls(port, load()?, message, text(5)?).await?
        }
        Some("idle") => return session::idle(port, clients).await,
        _ => {
            return Err(wrong(
                "say http, sse, idle or visit; the source says what follows",
            ));
        }
    };
    println!("{measured}");
    Ok(())
}

fn number<T: std::str::FromStr>(text: Option<&String>) -> io::Result<T> {
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| wrong("a number is missing"))
}
