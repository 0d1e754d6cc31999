//! Traces to an OpenTelemetry collector, by OTLP over HTTP in protobuf.
//!
//! The SDK reads the standard variables itself: `OTEL_EXPORTER_OTLP_*`, `OTEL_RESOURCE_ATTRIBUTES`,
//! `OTEL_TRACES_SAMPLER` and `OTEL_BSP_*`. Spans leave in batches, from a thread of the SDK's; the connection is made
//! with the first of them. A collector that is away costs those spans and one log line.

pub mod settings;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    body::Bytes,
    http::{HeaderMap, Request, Response, uri::Scheme},
};
use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator as _},
    trace::{TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_http::{HeaderExtractor, HeaderInjector, HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracerProvider, Tracer},
};
use tokio::{runtime::Handle, sync::OnceCell};
use tracing::{Metadata, Span, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer as _, filter::FilterFn};

use super::BoxedLayer;

/// The longest an answer of the collector may take; what the specification has for `OTEL_EXPORTER_OTLP_TIMEOUT`.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The targets whose spans are traced: ours, and of libraries none, since nobody has read what they put in.
const OURS: &str = "iam_mcp";

/// Whether there is a collector, so that whoever asks need not have a [`Traces`].
static ON: AtomicBool = AtomicBool::new(false);

/// Why traces could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable of the SDK's is wrong.
    #[error("the OTEL_EXPORTER_OTLP_* variables do not go together: {0}")]
    Exporter(#[from] ExporterBuildError),
}

impl Error {
    /// A bounded name for metrics and logs.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Exporter(_) => "exporter",
        }
    }
}

/// The way to the collector.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: Tracer,
}

impl Traces {
    /// Makes what sends spans; nothing is sent or connected yet. `service` is the resource's `service.name`, or `None`
    /// where the environment has one.
    ///
    /// Needs a running tokio runtime, on which spans are sent.
    ///
    /// # Errors
    /// When a variable of the SDK's is wrong.
    pub fn new(service: Option<String>, version: &'static str) -> Result<Self, Error> {
        let client = Client(Arc::new(Inner {
            runtime: Handle::current(),
            client: OnceCell::new(),
            failing: AtomicBool::new(false),
        }));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .build()?;
        let mut resource =
            Resource::builder().with_attribute(opentelemetry::KeyValue::new("service.version", version));
        if let Some(service) = service {
            resource = resource.with_service_name(service);
        }
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_batch_exporter(exporter)
            .build();
        let tracer = provider.tracer(OURS);
        ON.store(true, Ordering::Relaxed);
        Ok(Self { provider, tracer })
    }

    /// The layer that turns our spans into OpenTelemetry's. Events stay log lines.
    pub(super) fn layer(&self) -> BoxedLayer {
        let ours = |metadata: &Metadata<'_>| metadata.is_span() && metadata.target().starts_with(OURS);
        tracing_opentelemetry::layer()
            .with_tracer(self.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(FilterFn::new(ours).with_max_level_hint(LevelFilter::DEBUG))
            .boxed()
    }

    /// Sends what is left, for at most `limit`.
    pub async fn flush(self, limit: Duration) {
        let provider = self.provider;
        // The exporter's thread waits for this runtime, so this thread must not.
        let sent = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(limit));
        if !matches!(tokio::time::timeout(limit, sent).await, Ok(Ok(Ok(())))) {
            tracing::warn!("the last traces were not delivered");
        }
    }
}

/// Whether spans go anywhere.
#[must_use]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Has `span` continue the trace of a request's `traceparent` and `tracestate` headers, if there is one.
pub fn continue_from_headers(span: &Span, headers: &HeaderMap) {
    if is_on() && !span.is_disabled() && headers.contains_key("traceparent") {
        continue_from(span, &HeaderExtractor(headers));
    }
}

/// Has `span` continue the trace that `field` says, by the names `traceparent` and `tracestate`; where it had a parent
/// already, it is linked with that.
pub fn continue_from_fields<'a>(span: &Span, field: impl Fn(&str) -> Option<&'a str>) {
    if !is_on() || span.is_disabled() {
        return;
    }
    let fields = Fields([
        ("traceparent", field("traceparent")),
        ("tracestate", field("tracestate")),
    ]);
    if fields.0[0].1.is_some() {
        let around = Span::current().context().span().span_context().clone();
        if continue_from(span, &fields) && around.is_valid() {
            span.add_link(around);
        }
    }
}

/// Whether there was a valid trace to continue.
fn continue_from(span: &Span, carrier: &dyn Extractor) -> bool {
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), carrier);
    parent.span().span_context().is_valid() && span.set_parent(parent).is_ok()
}

/// Puts the current span into headers of a request to somebody who continues its trace.
pub fn inject(headers: &mut HeaderMap) {
    if is_on() {
        let context = Span::current().context();
        TraceContextPropagator::new().inject_context(&context, &mut HeaderInjector(headers));
    }
}

struct Fields<'a>([(&'static str, Option<&'a str>); 2]);

impl Extractor for Fields<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(name, _)| *name == key)?;
        *value
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }
}

/// Sends on the process's runtime what the SDK's thread asks it to.
#[derive(Debug, Clone)]
struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    runtime: Handle,
    // Made on first use: reading the CA certificates takes longer than the rest of the start.
    client: OnceCell<reqwest::Client>,
    /// Whether the last try failed, so that it is said once and not with every batch.
    failing: AtomicBool,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let inner = Arc::clone(&self.0);
        // The SDK's thread has no reactor.
        self.0
            .runtime
            .spawn(async move { inner.send(request).await })
            .await?
    }
}

impl Inner {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.try_send(request).await;
        let delivered = matches!(&sent, Ok(answer) if answer.status().is_success());
        if self.failing.swap(!delivered, Ordering::Relaxed) == delivered {
            match &sent {
                Ok(answer) if delivered => {
                    tracing::info!(status = answer.status().as_u16(), "traces are delivered again");
                }
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    tracing::warn!(
                        status,
                        "the collector refuses traces; they are lost until it takes them"
                    );
                }
                // Not the error itself: its text holds the address, and that may hold a key.
                Err(_) => {
                    tracing::warn!("the collector cannot be reached; traces are lost until it can");
                }
            }
        }
        sent
    }

    async fn try_send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let tls = request.uri().scheme() != Some(&Scheme::HTTP);
        let client = self
            .client
            .get_or_try_init(|| async { tokio::task::spawn_blocking(move || build(tls)).await? })
            .await?;
        let answer = client.execute(request.try_into()?).await?;
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            headers.clone_from(answer.headers());
        }
        Ok(response.body(answer.bytes().await?)?)
    }
}

fn build(tls: bool) -> Result<reqwest::Client, HttpError> {
    // An error means that another part of the process was first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        // A redirect's target would be sent the headers, which may hold a key.
        .redirect(reqwest::redirect::Policy::none());
    if !tls {
        // Not one CA certificate is read for a collector beside us.
        client = client.tls_certs_only([]);
    }
    Ok(client.build()?)
}
