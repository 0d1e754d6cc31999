//! Tells the client of a search how far it is.

use std::pin::pin;

use rmcp::{
    RoleServer,
    model::{ProgressNotificationParam, ProgressToken},
    service::RequestContext,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::jobs::Progress;

/// Hears of pages. What is not told before the next one comes is left out: the search waits for nobody.
pub(super) struct Pages(watch::Sender<(usize, usize)>);

impl Progress for Pages {
    fn pages(&self, done: usize, total: usize) {
        self.0.send_replace((done, total));
    }
}

/// Whom to tell.
pub(super) struct Told<'a> {
    token: ProgressToken,
    context: &'a RequestContext<RoleServer>,
    gone: CancellationToken,
}

/// Whom to tell of `pages`, until it is `gone`: nobody, unless the client asked and there are several. An answer over HTTP that
/// begins with progress is a stream, which costs more than a single message.
pub(super) fn wanted(
    context: &RequestContext<RoleServer>,
    gone: CancellationToken,
    pages: usize,
) -> Option<Told<'_>> {
    let token = context.meta.get_progress_token().filter(|_| pages > 1)?;
    Some(Told { token, context, gone })
}

impl Told<'_> {
    /// Runs a search that tells of its pages. Nothing is told after it has ended, as the protocol asks.
    pub(super) async fn during<T>(self, search: impl AsyncFnOnce(&Pages) -> T) -> T {
        let (sender, news) = watch::channel((0, 0));
        let pages = Pages(sender);
        // Owns the sender: with the search ends the telling.
        let mut search = pin!(async move { search(&pages).await });
        let mut telling = pin!(self.tell(news));
        tokio::select! {
            biased;
            found = search.as_mut() => {
                // What is on its way must be there before the answer.
                telling.await;
                found
            }
            // The client is gone, or the search is over.
            () = telling.as_mut() => search.await,
        }
    }

    async fn tell(self, mut news: watch::Receiver<(usize, usize)>) {
        let mut last = 0;
        while news.changed().await.is_ok() {
            let (done, total) = *news.borrow_and_update();
            // The protocol asks that it grows.
            if done <= last {
                continue;
            }
            last = done;
            let message = format!("page {done} of {total}");
            #[expect(clippy::cast_precision_loss, reason = "ten pages at most")]
            let params = ProgressNotificationParam::new(self.token.clone(), done as f64)
                .with_total(total as f64)
                .with_message(message);
            let told = self.context.peer.notify_progress(params);
            // rmcp does not say that it sends nothing more once stdin has ended; the answer would wait for this.
            if !matches!(self.gone.run_until_cancelled(told).await, Some(Ok(()))) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
