//! Stopping in two steps: the first signal asks, the second insists.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Tokens every part of a process watches.
///
/// *Soft*: take nothing new, finish what is under way. *Hurry*: end what is still open, but cleanly. *Hard*: drop
/// everything now. Hard implies soft.
#[derive(Debug, Clone)]
pub struct Shutdown {
    soft: CancellationToken,
    hurry: CancellationToken,
    hard: CancellationToken,
}

impl Shutdown {
    /// Watches SIGTERM and SIGINT: the first of either is soft, the next is hard.
    ///
    /// Needs a running tokio runtime.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn install() -> Result<Self, std::io::Error> {
        Self::watch(false)
    }

    /// As [`install`](Self::install), for a process that may take long over a soft stop: its second SIGTERM is a
    /// hurry. Some container runtimes send another one when a pod's grace period is shortened.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn install_for_drain() -> Result<Self, std::io::Error> {
        Self::watch(true)
    }

    fn watch(drains: bool) -> Result<Self, std::io::Error> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = Self::manual();
        let ours = shutdown.clone();
        tokio::spawn(async move {
            let name = next(&mut terminate, &mut interrupt).await;
            tracing::info!(signal = name, "stopping: finishing what is under way");
            ours.stop();
            let mut name = next(&mut terminate, &mut interrupt).await;
            if drains && name == TERMINATE {
                tracing::info!(signal = name, "second signal: ending what is still open");
                ours.hurry.cancel();
                name = next(&mut terminate, &mut interrupt).await;
            }
            tracing::warn!(signal = name, "another signal: stopping at once");
            ours.force();
        });
        Ok(shutdown)
    }

    /// No signals: for tests, and for processes that stop for reasons of their own.
    #[must_use]
    pub fn manual() -> Self {
        let hard = CancellationToken::new();
        // A child, so that forcing an exit also reaches everything that only watches the soft token.
        Self {
            soft: hard.child_token(),
            hurry: CancellationToken::new(),
            hard,
        }
    }

    /// Cancelled when the process should finish what it is doing.
    #[must_use]
    pub fn soft(&self) -> CancellationToken {
        self.soft.clone()
    }

    /// Cancelled when what is still open should be ended, cleanly.
    #[must_use]
    pub fn hurry(&self) -> CancellationToken {
        self.hurry.clone()
    }

    /// Cancelled when the process should end at once.
    #[must_use]
    pub fn hard(&self) -> CancellationToken {
        self.hard.clone()
    }

    /// What the first signal does.
    pub fn stop(&self) {
        self.soft.cancel();
    }

    /// What the second signal does.
    pub fn force(&self) {
        self.hard.cancel();
    }
}

const TERMINATE: &str = "SIGTERM";

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => TERMINATE,
        _ = interrupt.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_leaves_hard_alone_and_hard_implies_soft() {
        let shutdown = Shutdown::manual();
        shutdown.stop();
        assert!(shutdown.soft().is_cancelled());
        assert!(!shutdown.hard().is_cancelled());

        let shutdown = Shutdown::manual();
        shutdown.force();
        assert!(shutdown.soft().is_cancelled());
        assert!(shutdown.hard().is_cancelled());
    }
}
