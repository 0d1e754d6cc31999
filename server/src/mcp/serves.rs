//! What transports ask of a handler. There is one, [`Handler`]; the fixtures of the official conformance suite are
//! another, served by this same code.

use rmcp::ServerHandler;

use super::{Eras, Handler};

/// A handler that transports clone for each request.
pub trait Serves: ServerHandler + Clone + std::fmt::Debug + 'static {
    /// The same handler, for a transport that carries `eras`.
    #[must_use]
    fn serving(self, eras: Eras) -> Self;
}

impl Serves for Handler {
    fn serving(self, eras: Eras) -> Self {
        Self::serving(self, eras)
    }
}
