//! Word of changes among resources, in both eras: `resources/subscribe` and `list_changed` for clients that
//! can be told something between their calls (up to 2025-11-25), `subscriptions/listen` for all (2026-07-28).

use std::{
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use rmcp::{
    ErrorData,
    model::{
        ErrorCode, ResourceListChangedNotification, ResourceUpdatedNotification,
        ResourceUpdatedNotificationParam, ServerNotification, SubscriptionFilter,
    },
    service::SubscriptionContext,
};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{not_found, uri};
use crate::{
    http::principal::Principal,
    mcp::conversation::Client,
    saved::{JobKey, ListenError, Listener, News, Saved, Wants, store::MOST_JOBS},
};

/// rmcp acknowledges a `subscriptions/listen` before we hear of it, and a client may save at once: what changed
/// so shortly before is told too. The client then reads once more than it must.
const BEFORE: Duration = Duration::from_secs(1);

/// What a client of a session wants to hear of: enough to go on with it elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hears {
    /// Whether saved jobs come or go.
    pub list: bool,
    /// What happens to these.
    pub uris: Vec<String>,
}

impl From<Wants> for Hears {
    fn from(wants: Wants) -> Self {
        let mut uris: Vec<_> = wants.jobs.into_keys().collect();
        uris.sort_unstable();
        Self {
            list: wants.list,
            uris,
        }
    }
}

/// What of a wish can be had: news of the list, and of saved jobs, whether they are there already or not.
#[must_use]
pub fn accepted(requested: &SubscriptionFilter) -> SubscriptionFilter {
    let uris = requested.resource_subscriptions.iter().flatten();
    let mut accepted = SubscriptionFilter::new();
    accepted.resources_list_changed = requested.resources_list_changed;
    accepted.resource_subscriptions = Some(
        uris.filter(|uri| uri::job_id(uri).is_some())
            .take(MOST_JOBS)
            .cloned()
            .collect(),
    );
    accepted
}

/// `subscriptions/listen`, until the client closes it, or the server stops.
///
/// # Errors
/// When too many listen, or the saved jobs cannot be looked at.
pub async fn listen(
    saved: &Saved,
    owner: Principal,
    subscription: SubscriptionContext,
) -> Result<(), ErrorData> {
    let accepted = subscription.accepted();
    let uris = accepted.resource_subscriptions.iter().flatten();
    let wants = wants(accepted.resources_list_changed == Some(true), uris);
    let since = SystemTime::now().checked_sub(BEFORE);
    let listener = saved
        .listen(owner, wants, since)
        .await
        .map_err(|error| refused(&error))?;
    loop {
        let news = tokio::select! {
            // Ending with a result says that the server stops, and the client may listen elsewhere.
            () = saved.ending().cancelled() => return Ok(()),
            () = subscription.cancelled() => return Ok(()),
            news = listener.next() => news,
        };
        for notification in notifications(news) {
            if subscription.sink().send(notification).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Goes on with what the client of a session wanted to hear before its stream ended, here or on another replica. What
/// happened in between nobody knows, so all of it is news.
pub async fn restore(saved: &Saved, owner: Principal, client: &Arc<dyn Client>, hears: &Hears) {
    let wants = wants(hears.list, &hears.uris);
    // What fails is logged; the client reads on its own.
    let _ = listener_for(saved, owner, client, wants, Some(SystemTime::UNIX_EPOCH)).await;
}

fn wants<'a>(list: bool, uris: impl IntoIterator<Item = &'a String>) -> Wants {
    let key = |uri: &'a String| Some((uri.clone(), JobKey::of(&uri::job_id(uri)?)));
    Wants {
        list,
        jobs: uris.into_iter().filter_map(key).collect(),
    }
}

/// A client that lists resources hears when the list changes. Where that cannot be, it has the list all the same.
pub async fn follow_list(saved: &Saved, owner: Principal, client: &Arc<dyn Client>) {
    if let Ok(listener) = listener(saved, owner, client).await {
        listener.want_list();
    }
}

/// `resources/subscribe`.
///
/// # Errors
/// When there is no such saved job, or a client wants too many.
pub async fn subscribe(
    saved: &Saved,
    owner: Principal,
    client: &Arc<dyn Client>,
    uri: &str,
) -> Result<(), ErrorData> {
    let job_id = uri::job_id(uri).ok_or_else(|| not_found(uri))?;
    let listener = listener(saved, owner, client).await?;
    let key = JobKey::of(&job_id);
    // A damaged one is there too, and its repair is news.
    if matches!(saved.get(owner, job_id).await, Ok(None)) {
        return Err(not_found(uri));
    }
    if listener.want(uri, key) {
        Ok(())
    } else {
        let message = format!("{MOST_JOBS} subscriptions are the most for one client");
        Err(ErrorData::invalid_params(message, None))
    }
}

/// `resources/unsubscribe`; from what there was no subscription, there is none afterwards.
pub fn unsubscribe(client: &Arc<dyn Client>, uri: &str) {
    if let Some(listener) = client.hears().get() {
        listener.unwant(uri);
    }
}

/// The client's own, which a task passes on to it from now on.
async fn listener(saved: &Saved, owner: Principal, client: &Arc<dyn Client>) -> Result<Listener, ErrorData> {
    listener_for(saved, owner, client, Wants::default(), None).await
}

/// The same; a new one wants this at once, and hears what happened since.
async fn listener_for(
    saved: &Saved,
    owner: Principal,
    client: &Arc<dyn Client>,
    wants: Wants,
    since: Option<SystemTime>,
) -> Result<Listener, ErrorData> {
    let listening = client.hears().get_or_try_init(|| async {
        let listener = saved.listen(owner, wants, since).await?;
        tokio::spawn(pass_on(Arc::downgrade(client), client.ended(), listener.clone()));
        Ok(listener)
    });
    listening
        .await
        .cloned()
        .map_err(|error: ListenError| refused(&error))
}

/// Does not keep the client: a session's stream ends with its last holder.
async fn pass_on(client: Weak<dyn Client>, ended: CancellationToken, listener: Listener) {
    while let Some(news) = ended.run_until_cancelled(listener.next()).await {
        for notification in notifications(news) {
            let Some(client) = client.upgrade() else { return };
            if !client.tell(notification).await {
                return;
            }
        }
    }
}

fn notifications(news: News) -> impl Iterator<Item = ServerNotification> {
    let list = news.list.then(|| {
        ServerNotification::ResourceListChangedNotification(ResourceListChangedNotification::default())
    });
    let updated = news.jobs.into_iter().map(|uri| {
        let params = ResourceUpdatedNotificationParam::new(uri);
        ServerNotification::ResourceUpdatedNotification(ResourceUpdatedNotification::new(params))
    });
    list.into_iter().chain(updated)
}

fn refused(error: &ListenError) -> ErrorData {
    tracing::warn!(cause = error.category(), "a client cannot be told of changes");
    match error {
        // The implementation-defined range of JSON-RPC.
        ListenError::TooMany => ErrorData::new(ErrorCode(-32000), error.to_string(), None),
        ListenError::Store(_) => ErrorData::internal_error(error.to_string(), None),
    }
}
