//! Clients that can be told something between their calls: the one of stdio, and those with an SSE stream.

use std::sync::{Arc, OnceLock, Weak};

use futures::{FutureExt as _, future::BoxFuture};
use rmcp::{Peer, RoleServer, model::ServerNotification, service::RequestContext};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::saved::Listener;

/// Such a client.
pub trait Client: std::fmt::Debug + Send + Sync {
    /// Tells it something; false when it is gone.
    fn tell(&self, notification: ServerNotification) -> BoxFuture<'_, bool>;

    /// Cancelled when it is gone.
    fn ended(&self) -> CancellationToken;

    /// What it hears of saved jobs, once it wanted to.
    fn hears(&self) -> &OnceCell<Listener>;

    /// Notes the way to it, which a request showed.
    fn met(&self, _: &Peer<RoleServer>) {}
}

/// How the transport of an SSE session says, in a request's extensions, whose it is.
#[derive(Debug, Clone)]
pub struct Conversation(pub Weak<dyn Client>);

/// The client of a request, if it can be told something later. `only` is the process's one and only.
pub(super) fn client(
    only: Option<&Arc<dyn Client>>,
    context: &RequestContext<RoleServer>,
) -> Option<Arc<dyn Client>> {
    let Some(only) = only else {
        return context.extensions.get::<Conversation>()?.0.upgrade();
    };
    only.met(&context.peer);
    Some(Arc::clone(only))
}

/// The one client of a process that speaks over stdio.
#[derive(Debug, Default)]
pub struct OnlyClient {
    peer: OnceLock<Peer<RoleServer>>,
    hears: OnceCell<Listener>,
    ended: CancellationToken,
}

impl OnlyClient {
    /// Notes that it is gone.
    pub fn left(&self) {
        self.ended.cancel();
    }
}

impl Client for OnlyClient {
    fn tell(&self, notification: ServerNotification) -> BoxFuture<'_, bool> {
        async move {
            match self.peer.get() {
                Some(peer) => peer.send_notification(notification).await.is_ok(),
                None => false,
            }
        }
        .boxed()
    }

    fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    fn hears(&self) -> &OnceCell<Listener> {
        &self.hears
    }

    fn met(&self, peer: &Peer<RoleServer>) {
        let _ = self.peer.set(peer.clone());
    }
}
