//! What transports ask of a handler. There is one, [`Handler`]; the fixtures of the official conformance suite are
//! another, served by this same code.

use std::sync::Arc;

use rmcp::{ServerHandler, model::CallToolRequestParams};

use super::{Eras, Handler, conversation::Client, resources::subscriptions::Hears};
use crate::http::principal::Principal;

/// A handler that transports clone for each request.
pub trait Serves: ServerHandler + Clone + std::fmt::Debug + 'static {
    /// The same handler, for a transport that carries `eras`.
    #[must_use]
    fn serving(self, eras: Eras) -> Self;

    /// Has the client of a session that goes on hear what it heard before; nothing, where there is nothing to hear.
    fn resubscribe(
        &self,
        _owner: Principal,
        _client: &Arc<dyn Client>,
        _hears: &Hears,
    ) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Whether this call is answered without a word to the client before: no progress, no question. Then transports
    /// may answer it in a shorter way. No header may repeat an argument of the tool (`x-mcp-header`, SEP-2243).
    fn answers_alone(&self, _call: &CallToolRequestParams) -> bool {
        false
    }
}

impl Serves for Handler {
    fn serving(self, eras: Eras) -> Self {
        Self::serving(self, eras)
    }

    async fn resubscribe(&self, owner: Principal, client: &Arc<dyn Client>, hears: &Hears) {
        Self::resubscribe(self, owner, client, hears).await;
    }

    fn answers_alone(&self, call: &CallToolRequestParams) -> bool {
        Self::answers_alone(self, call)
    }
}
