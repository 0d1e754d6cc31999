//! `iam-mcp-server search`: the search of `search_jobs`, for people and scripts.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use clap::Args;
use rmcp::model::JsonObject;
use terminal_size::{Width, terminal_size};

use super::table;
use crate::{
    config::Settings,
    jobs::{
        self, Jobs, Progress,
        request::{MAX_JOBS, MAX_PAGES},
    },
    mcp::tools::{Answer, arguments},
    metrics::Metrics,
};

/// A terminal that does not say how wide it is.
const WIDTH: usize = 80;

/// How long a search may be silent.
const SILENCE: Duration = Duration::from_secs(2);

/// Between two lines of progress.
const TICK: Duration = Duration::from_millis(500);

/// What `--help` says at its end.
const HELP: &str = "\
A terminal shows a table as wide as it is, with each job's link below it; a pipe gets a line a job, columns \
separated by tabs, nothing cut. Notes and errors go to stderr. Which job boards are asked, and with which key, the \
environment says: see iam-mcp-server --help.

Exit status:
  0  jobs were found
  1  nothing was found, or the search failed
  2  the arguments or the settings are not valid

Examples:
  iam-mcp-server search \"rust engineer\" --city Berlin --country Germany
  iam-mcp-server search nurse --location \"Oslo, Norway\" --platform linkedin --num 20
  iam-mcp-server search baker --json | jq -r '.jobs[].apply_link'
  iam-mcp-server search baker | cut -f 1,2,7";

/// The arguments.
#[derive(Debug, Clone, Args)]
#[command(after_help = HELP)]
pub struct Arguments {
    /// What to look for: a job title, perhaps with a skill or two
    #[arg(required = true)]
    role: Vec<String>,
    /// City to work in; needs --country
    #[arg(long)]
    city: Option<String>,
    /// Country to work in: its English name or its two-letter code, like Germany or DE
    #[arg(long)]
    country: Option<String>,
    /// Where to work, as people write it, like "Berlin, Germany" or "remote"; instead of --city and --country
    #[arg(long, conflicts_with_all = ["city", "country"])]
    location: Option<String>,
    /// Job board that postings should come from: linkedin, indeed or glassdoor
    #[arg(long)]
    platform: Option<String>,
    /// How many jobs to show, 1 to 20 [default: 5, or ten for each of --pages]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_JOBS as u64))]
    num: Option<u64>,
    /// How many pages of ten jobs to look through, 1 to 10
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_PAGES as u64))]
    pages: Option<u64>,
    /// Print what clients get as the tool's structured answer, descriptions included
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// As a client would give them to the tool, which checks them.
    fn for_tool(&self) -> JsonObject {
        let mut arguments = JsonObject::new();
        arguments.insert("role".to_owned(), self.role.join(" ").into());
        let texts = [
            ("city", &self.city),
            ("country", &self.country),
            ("location", &self.location),
            ("platform", &self.platform),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                arguments.insert(name.to_owned(), text.as_str().into());
            }
        }
        for (name, number) in [("num_jobs", self.num), ("num_pages", self.pages)] {
            if let Some(number) = number {
                arguments.insert(name.to_owned(), number.into());
            }
        }
        arguments
    }
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The arguments do not make a search.
    #[error(transparent)]
    Arguments(#[from] arguments::Error),
    /// No job board answered.
    #[error(transparent)]
    Search(#[from] jobs::Error),
    /// The reader is gone, or the disk is full.
    #[error("the answer cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Arguments(_) => "arguments",
            Self::Search(error) => error.category(),
            Self::Output(_) => "output",
        }
    }

    /// 2 where the command line is wrong, as clap does it.
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Arguments(_) => ExitCode::from(2),
            // `search | head -1` has what it wanted.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Self::Search(_) | Self::Output(_) => ExitCode::FAILURE,
        }
    }
}

/// Searches and prints; the process's exit status says whether anything was found.
pub async fn run(arguments: &Arguments, settings: &Settings) -> ExitCode {
    match search(arguments, settings).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let code = error.exit_code();
            if code != ExitCode::SUCCESS {
                tell(&format!("error: {error}"));
            }
            code
        }
    }
}

/// Whether it found something.
async fn search(arguments: &Arguments, settings: &Settings) -> Result<bool, Error> {
    let parsed = arguments::parse(&arguments.for_tool())?;
    let (metrics, _) = Metrics::new();
    let jobs = Jobs::new(&settings.jobs, metrics);
    let waiting = Waiting::default();
    let found = tokio::select! {
        found = jobs.search(&parsed.request, &waiting) => found,
        never = waiting.tell() => match never {},
    };
    waiting.clear();
    let found = found?;
    let answer = Answer::new(&found, &parsed);
    let mut out = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &answer).map_err(io::Error::from)?;
        writeln!(out)?;
    } else if !answer.jobs.is_empty() {
        let text = if out.is_terminal() {
            let width = terminal_size().map_or(WIDTH, |(Width(width), _)| usize::from(width));
            table::for_terminal(&answer.jobs, width)
        } else {
            table::for_pipe(&answer.jobs)
        };
        out.write_all(text.as_bytes())?;
    }
    out.flush()?;
    if answer.jobs.is_empty() {
        tell(&format!("No job found for {}.", parsed.request));
    }
    if let Some(note) = &answer.note {
        tell(note);
    }
    Ok(!answer.jobs.is_empty())
}

/// Whoever closed stderr wants to hear nothing.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// How far the search is, told on a terminal once it takes long.
#[derive(Default)]
struct Waiting {
    done: AtomicUsize,
    total: AtomicUsize,
    told: AtomicUsize,
}

impl Progress for Waiting {
    fn pages(&self, done: usize, total: usize) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }
}

impl Waiting {
    /// Rewrites one line of stderr; ends with the search.
    async fn tell(&self) -> std::convert::Infallible {
        let begun = Instant::now();
        tokio::time::sleep(SILENCE).await;
        loop {
            if io::stderr().is_terminal() {
                let (done, total) = (
                    self.done.load(Ordering::Relaxed),
                    self.total.load(Ordering::Relaxed),
                );
                let pages = if total > 1 {
                    format!(", {done} of {total} pages")
                } else {
                    String::new()
                };
                let _ = write!(
                    io::stderr(),
                    "\r\u{1b}[KSearching, {} s{pages}",
                    begun.elapsed().as_secs()
                );
                self.told.store(1, Ordering::Relaxed);
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn clear(&self) {
        if self.told.load(Ordering::Relaxed) > 0 {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}
