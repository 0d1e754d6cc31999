//! Messages a second for each client (protocol, server/tools: servers MUST rate limit tool invocations).

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};

use super::refusal::{Refusal, RefusalCode};
use crate::metrics::Metrics;

/// Clients remembered before those that are at rest are looked for and forgotten.
const SWEEP_ABOVE: usize = 4096;

/// How many checks lie between two such searches; it is what makes their cost small.
const SWEEP_EVERY: u32 = 4096;

/// The limit, and what each client has left of it.
#[derive(Debug)]
pub struct RateLimit {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    checks: AtomicU32,
    metrics: Metrics,
}

impl RateLimit {
    /// `per_second` messages for each client, and twice that at once; `None` for 0, which is no limit.
    #[must_use]
    pub fn new(per_second: u32, metrics: Metrics) -> Option<Self> {
        let rate = NonZeroU32::new(per_second)?;
        let burst = rate.saturating_add(rate.get());
        let limiter = RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst));
        Some(Self {
            limiter,
            checks: AtomicU32::new(0),
            metrics,
        })
    }

    /// Counts one message.
    ///
    /// # Errors
    /// How long to wait, when it is one too many.
    pub fn check(&self, client: IpAddr) -> Result<(), Duration> {
        if self
            .checks
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(SWEEP_EVERY)
            && self.limiter.len() > SWEEP_ABOVE
        {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter
            .check_key(&bucket(client))
            .map_err(|early| early.wait_time_from(self.limiter.clock().now()))
    }
}

/// Whose limit a client draws on. IPv6 users own a /64, and could else be a new client each time.
fn bucket(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The layer; streams and preflights are not messages.
pub async fn layer(State(limit): State<Arc<RateLimit>>, request: Request, next: Next) -> Response {
    if request.method() == Method::POST
        && let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>()
        && let Err(wait) = limit.check(peer.ip())
    {
        limit.metrics.rate_limited.inc();
        let message = "too many messages from this address; see Retry-After";
        return Refusal::new(StatusCode::TOO_MANY_REQUESTS, RefusalCode::Unavailable, message)
            .because("rate")
            .with_retry_after(wait)
            .into();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(per_second: u32) -> Option<RateLimit> {
        RateLimit::new(per_second, Metrics::new().0)
    }

    #[test]
    fn twice_the_rate_may_come_at_once_and_no_more() {
        let limit = limit(5).expect("a limit");
        let client = IpAddr::from([192, 0, 2, 1]);
        assert_eq!((0..20).filter(|_| limit.check(client).is_ok()).count(), 10);
        let wait = limit.check(client).expect_err("spent");
        assert!(wait <= Duration::from_millis(200), "{wait:?}");
        assert!(
            limit.check(IpAddr::from([192, 0, 2, 2])).is_ok(),
            "others are not touched"
        );
    }

    #[test]
    fn zero_is_no_limit() {
        assert!(limit(0).is_none());
    }

    #[test]
    fn an_ipv6_network_is_one_client_and_a_mapped_address_is_its_ipv4_one() {
        let parse = |text: &str| text.parse::<IpAddr>().expect(text);
        assert_eq!(bucket(parse("2001:db8::1")), bucket(parse("2001:db8::ffff:1")));
        assert_ne!(bucket(parse("2001:db8::1")), bucket(parse("2001:db8:0:1::1")));
        assert_eq!(bucket(parse("::ffff:192.0.2.1")), parse("192.0.2.1"));
    }

    #[test]
    fn clients_at_rest_are_forgotten() {
        let limit = limit(1_000_000).expect("a limit");
        for client in 0..SWEEP_EVERY * 4 {
            let _ = limit.check(IpAddr::from(client.to_be_bytes()));
        }
        assert!(limit.limiter.len() < 3 * SWEEP_ABOVE, "{}", limit.limiter.len());
    }
}
