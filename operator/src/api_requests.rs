//! Requests to the API server, each counted and a span: by what it does, with what, and how it ended.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::{Method, Request, Response};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tower::{Layer, Service};
use tracing::{Instrument as _, field::Empty};

/// Resources that are told apart; all others are `other`.
const RESOURCES: [&str; 20] = [
    "configmaps",
    "customresourcedefinitions",
    "deployments",
    "events",
    "horizontalpodautoscalers",
    "httproutes",
    "ingresses",
    "leases",
    "mcpservers",
    "namespaces",
    "networkpolicies",
    "persistentvolumeclaims",
    "poddisruptionbudgets",
    "podmonitors",
    "pods",
    "replicasets",
    "secrets",
    "serviceaccounts",
    "servicemonitors",
    "services",
];

/// The labels of a request.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Labels {
    verb: &'static str,
    resource: &'static str,
    code: u16,
}

/// Counts the requests that pass through it. The code of one that was not answered is 0.
#[derive(Clone, Debug, Default)]
pub struct ApiRequests(Family<Labels, Counter>);

impl ApiRequests {
    /// What is counted, to be registered.
    #[must_use]
    pub fn family(
        &self,
    ) -> Family<impl EncodeLabelSet + Clone + Eq + std::hash::Hash + std::fmt::Debug + use<>, Counter> {
        self.0.clone()
    }
}

impl<S> Layer<S> for ApiRequests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            inner,
            requests: self.clone(),
        }
    }
}

/// A client whose requests are counted.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    requests: ApiRequests,
}

impl<S, A, B> Service<Request<A>> for Counted<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let (verb, resource) = meaning(&request);
        // The names are OpenTelemetry's. At this level it is made for traces, or for whoever debugs.
        let span = tracing::debug_span!(
            "api_request",
            otel.name = format_args!("{verb} {resource}"),
            otel.kind = "client",
            otel.status_code = Empty,
            http.request.method = request.method().as_str(),
            url.path = request.uri().path(),
            http.response.status_code = Empty,
        );
        let requests = self.requests.clone();
        let answer = self.inner.call(request);
        let counted = async move {
            let answer = answer.await;
            let code = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
            requests.0.get_or_create(&Labels { verb, resource, code }).inc();
            let span = tracing::Span::current();
            span.record("http.response.status_code", code);
            if !(100..400).contains(&code) {
                span.record("otel.status_code", "ERROR");
            }
            answer
        };
        Box::pin(counted.instrument(span))
    }
}

/// The API's verb, and the resource (see "Request verbs" in Kubernetes' documentation of authorization).
fn meaning<B>(request: &Request<B>) -> (&'static str, &'static str) {
    let mut parts = request.uri().path().trim_matches('/').split('/');
    // /api/v1/… and /apis/GROUP/VERSION/…
    let version = match parts.next() {
        Some("api") => parts.next(),
        Some("apis") => parts.next().and_then(|_| parts.next()),
        _ => None,
    };
    if version.is_none() {
        return (verb(request, false), "other");
    }
    let mut resource = parts.next();
    let mut name = parts.next();
    if resource == Some("namespaces") {
        // What is in a namespace, not the namespace.
        let (of, called) = (parts.next(), parts.next());
        if of.is_some() {
            (resource, name) = (of, called);
        }
    }
    let known = RESOURCES.into_iter().find(|known| Some(*known) == resource);
    (verb(request, name.is_some()), known.unwrap_or("other"))
}

fn verb<B>(request: &Request<B>, named: bool) -> &'static str {
    let watches = || {
        let query = request.uri().query().unwrap_or_default();
        query
            .split('&')
            .any(|pair| matches!(pair, "watch=true" | "watch=1"))
    };
    match *request.method() {
        Method::GET if watches() => "watch",
        Method::GET if named => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if named => "delete",
        Method::DELETE => "deletecollection",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_means_is_told_by_its_method_and_its_path() {
        for (method, uri, expected) in [
            ("GET", "/api/v1/pods?limit=500", ("list", "pods")),
            (
                "GET",
                "/apis/iam-mcp.dev/v1alpha1/mcpservers?&watch=true&timeoutSeconds=290",
                ("watch", "mcpservers"),
            ),
            (
                "GET",
                "/apis/apps/v1/namespaces/mcp/deployments/jobs",
                ("get", "deployments"),
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/mcp/deployments/jobs?fieldManager=x",
                ("patch", "deployments"),
            ),
            (
                "PATCH",
                "/apis/iam-mcp.dev/v1alpha1/namespaces/mcp/mcpservers/jobs/status",
                ("patch", "mcpservers"),
            ),
            (
                "PUT",
                "/api/v1/namespaces/mcp/services/jobs",
                ("update", "services"),
            ),
            (
                "POST",
                "/apis/events.k8s.io/v1/namespaces/mcp/events",
                ("create", "events"),
            ),
            (
                "DELETE",
                "/api/v1/namespaces/mcp/secrets/jobs",
                ("delete", "secrets"),
            ),
            (
                "DELETE",
                "/api/v1/namespaces/mcp/secrets",
                ("deletecollection", "secrets"),
            ),
            ("GET", "/api/v1/namespaces/mcp", ("get", "namespaces")),
            ("GET", "/api/v1/namespaces", ("list", "namespaces")),
            (
                "GET",
                "/apis/example.org/v1/namespaces/mcp/whatever/it",
                ("get", "other"),
            ),
            ("GET", "/apis/gateway.networking.k8s.io/v1", ("list", "other")),
            ("GET", "/version", ("list", "other")),
        ] {
            let request = Request::builder()
                .method(method)
                .uri(uri)
                .body(())
                .expect("valid");
            assert_eq!(meaning(&request), expected, "{method} {uri}");
        }
    }
}
