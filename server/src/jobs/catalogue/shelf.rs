//! The index in use, and the one that takes its place when files change.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::{
    Error,
    files::{Files, Own},
    samples,
};
use crate::{
    jobs::index::{Builder, Index},
    metrics::JobMetrics,
};

/// How often files are looked at, at most, and only while somebody searches.
const LOOK: Duration = Duration::from_secs(2);

/// Memory for the samples on their way into the index: the least that tantivy takes.
const SAMPLE_BYTES: usize = 15_000_000;

/// Postings to search in.
#[derive(Debug)]
pub(super) struct Stock {
    pub(super) index: Index,
    /// Whether they are the samples.
    pub(super) samples: bool,
    /// Lines of files that are no postings.
    pub(super) bad_lines: u64,
    files: Files,
}

/// Where the stock lies. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Shelf(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    stock: RwLock<Option<Arc<Stock>>>,
    /// Grows with each stock that takes another's place.
    generation: AtomicU64,
    looked: Mutex<Option<Instant>>,
    /// Whether a task makes a stock now.
    making: AtomicBool,
    /// Why the last one could not be made, told to those who wait for it.
    made: watch::Sender<Option<Error>>,
    metrics: JobMetrics,
}

impl Shelf {
    /// An empty shelf; nothing is read yet.
    pub(super) fn new(folder: PathBuf, metrics: JobMetrics) -> Self {
        Self(Arc::new(Inner {
            folder,
            stock: RwLock::default(),
            generation: AtomicU64::default(),
            looked: Mutex::default(),
            making: AtomicBool::default(),
            made: watch::Sender::default(),
            metrics,
        }))
    }

    /// Grows when there are other postings than before. Has files looked at, but waits for nothing.
    pub(super) fn generation(&self) -> u64 {
        let stocked = self.0.stock.read().is_some();
        if stocked && self.0.is_time_to_look() {
            self.make();
        }
        self.0.generation.load(Ordering::Acquire)
    }

    /// The postings at this moment; waits only while there are none at all.
    pub(super) async fn stock(&self) -> Result<Arc<Stock>, Error> {
        let mut made = self.0.made.subscribe();
        loop {
            made.mark_unchanged();
            if let Some(stock) = self.0.stock.read().clone() {
                return Ok(stock);
            }
            self.make();
            // The sender lives as long as this shelf.
            let _ = made.changed().await;
            if let Some(error) = made.borrow().clone() {
                return Err(error);
            }
        }
    }

    /// Has a stock made unless one is being made, in a task of its own: whoever waits for it may leave.
    fn make(&self) {
        if self.0.making.swap(true, Ordering::AcqRel) {
            return;
        }
        let inner = self.0.clone();
        tokio::spawn(async move {
            let making = inner.clone();
            let made = tokio::task::spawn_blocking(move || making.make()).await;
            let result = made.unwrap_or_else(|error| Err(Error::Build(Arc::new(error))));
            if let Err(error) = &result {
                tracing::warn!(%error, "the catalogue cannot be read");
            }
            inner.making.store(false, Ordering::Release);
            inner.made.send_replace(result.err());
        });
    }
}

impl Inner {
    fn is_time_to_look(&self) -> bool {
        let Some(mut looked) = self.looked.try_lock() else {
            return false;
        };
        if looked.is_some_and(|at| at.elapsed() < LOOK) {
            return false;
        }
        *looked = Some(Instant::now());
        true
    }

    /// Makes a stock, unless the files are those of the stock in use.
    fn make(&self) -> Result<(), Error> {
        let files = Files::list(&self.folder).map_err(|error| Error::Folder(Arc::new(error)))?;
        if self
            .stock
            .read()
            .as_ref()
            .is_some_and(|stock| stock.files == files)
        {
            return Ok(());
        }
        let start = Instant::now();
        let stock = if files.is_empty() {
            Stock {
                index: samples()?,
                samples: true,
                bad_lines: 0,
                files,
            }
        } else {
            let Own { index, bad_lines } = files.read()?;
            let (postings, milliseconds) = (index.count(), start.elapsed().as_millis());
            tracing::info!(postings, bad_lines, milliseconds, "read the catalogue's files");
            Stock {
                index,
                samples: false,
                bad_lines,
                files,
            }
        };
        self.metrics.catalogue(stock.index.count(), stock.bad_lines);
        if self.stock.write().replace(Arc::new(stock)).is_some() {
            self.generation.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }
}

fn samples() -> Result<Index, Error> {
    let mut builder = Builder::new(SAMPLE_BYTES)?;
    for sample in samples::all().map_err(|error| Error::Data(Arc::new(error)))? {
        builder.add(&sample)?;
    }
    Ok(builder.finish()?)
}
