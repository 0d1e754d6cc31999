//! What can go wrong in a reconcile.

use std::time::Duration;

use iam_mcp_crds::Reason;

/// Why a reconcile did not end. What a person has to change in a resource is not here: that is told
/// in the resource's status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call of the API server failed.
    #[error("{action}")]
    Api {
        /// What was tried, with the object's name.
        action: String,
        /// The failure.
        #[source]
        source: Box<kube::Error>,
    },
    /// An object could not be written as JSON.
    #[error("cannot write an object as JSON")]
    Json(#[from] serde_json::Error),
    /// No randomness for a new key.
    #[error("the system gives no random bytes for a new key")]
    Random,
    /// What was read of a server is older than the cluster: another one has its name now, or none.
    #[error("the McpServer is gone, or another one has its name, and this operator's watch is yet to tell")]
    Superseded,
    /// The reconcile took too long.
    #[error("gave up after {} s", .0.as_secs())]
    Timeout(Duration),
}

impl Error {
    /// Wraps a failed call.
    pub fn api(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Api {
            action,
            source: Box::new(source),
        }
    }

    /// Whether the namespace is being deleted, or is gone before the news of its servers' end has come:
    /// nothing can be made in it any more, and nothing need be.
    #[must_use]
    pub fn namespace_is_going(&self) -> bool {
        let Self::Api { source, .. } = self else {
            return false;
        };
        let kube::Error::Api(status) = source.as_ref() else {
            return false;
        };
        let details = status.details.iter();
        let mut causes = details.clone().flat_map(|details| &details.causes);
        match status.code {
            403 => causes.any(|cause| cause.reason == "NamespaceTerminating"),
            404 => details.into_iter().any(|details| details.kind == "namespaces"),
            _ => false,
        }
    }

    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => match status.code {
                    401 | 403 => "api_forbidden",
                    404 => "api_not_found",
                    409 => "api_conflict",
                    422 | 400 => "api_invalid",
                    429 => "api_too_many_requests",
                    _ => "api_error",
                },
                _ => "api_unreachable",
            },
            Self::Json(_) => "json",
            Self::Random => "random",
            Self::Superseded => "superseded",
            Self::Timeout(_) => "timeout",
        }
    }
}

/// A child that could not be made as the resource asks, and will not be until a person acts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Blocked {
    /// [`Reason::NameConflict`] or [`Reason::ChildRejected`].
    pub reason: Reason,
    /// What is in the way, and the way out.
    pub message: String,
}
