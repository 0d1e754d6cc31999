//! Stopping in two steps: the first signal asks, the second insists.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Two tokens every part of a process watches.
///
/// *Soft*: take nothing new, finish what is under way. *Hard*: drop everything now. Hard implies soft.
#[derive(Debug, Clone)]
pub struct Shutdown {
    soft: CancellationToken,
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
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = Self::manual();
        let ours = shutdown.clone();
        tokio::spawn(async move {
            let name = next(&mut terminate, &mut interrupt).await;
            tracing::info!(signal = name, "stopping: finishing what is under way");
            ours.stop();
            let name = next(&mut terminate, &mut interrupt).await;
            tracing::warn!(signal = name, "second signal: stopping at once");
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
            hard,
        }
    }

    /// Cancelled when the process should finish what it is doing.
    #[must_use]
    pub fn soft(&self) -> CancellationToken {
        self.soft.clone()
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

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
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
