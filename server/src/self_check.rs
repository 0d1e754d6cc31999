//! At its start the server speaks MCP with itself, over its own port, and is ready only then: a build that starts and
//! does not serve never takes traffic, and a rollout stops at it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use iam_mcp_runtime::admin::Health;
use tokio_util::sync::CancellationToken;

use crate::{
    commands::health,
    config::{AuthSettings, HttpSettings},
};

/// Pause between two tries. Who waits for `/readyz` decides when it is too late.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest conversation.
const LIMIT: Duration = Duration::from_secs(5);

/// Says that the server which listens at `address` is ready: at once, or where it is a replica once it has spoken MCP
/// with itself, unless it is told to stop before. Its listener need not be served yet.
pub fn start(
    http: &HttpSettings,
    replica: bool,
    address: SocketAddr,
    ready: &Health,
    stop: CancellationToken,
) {
    // Without an admin port nobody asks whether it is ready.
    if http.admin_port.is_none() || !http.verify_at_start.unwrap_or(replica) {
        ready.set_ready(true);
        return;
    }
    let speaks = until_it_speaks(address, http.auth.clone(), ready.clone());
    tokio::spawn(async move { stop.run_until_cancelled(speaks).await });
}

/// Says that the server which listens at `address` is ready, once it has spoken MCP with itself.
async fn until_it_speaks(address: SocketAddr, auth: AuthSettings, ready: Health) {
    loop {
        match once(address, &auth).await {
            Ok(told) => {
                tracing::info!(told, "the server speaks MCP with itself: ready");
                ready.set_ready(true);
                return;
            }
            Err(error) => tracing::warn!(%error, "not ready: the server does not speak MCP with itself"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn once(address: SocketAddr, auth: &AuthSettings) -> Result<String, health::Error> {
    let mut outcome = Err(health::Error::NoPort);
    for host in hosts(address.ip()) {
        outcome = health::of_itself(SocketAddr::new(host, address.port()), auth, LIMIT).await;
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// Where this machine reaches what listens on `host`. `::` is IPv4 too, also where loopback has no IPv6.
fn hosts(host: IpAddr) -> Vec<IpAddr> {
    match host {
        IpAddr::V4(host) if host.is_unspecified() => vec![Ipv4Addr::LOCALHOST.into()],
        IpAddr::V6(host) if host.is_unspecified() => {
            vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]
        }
        host => vec![host],
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn where_a_server_reaches_itself() {
        let hosts = |text: &str| hosts(text.parse().expect("an address"));
        assert_eq!(hosts("10.0.0.7"), [IpAddr::from([10, 0, 0, 7])]);
        assert_eq!(hosts("0.0.0.0"), [IpAddr::from([127, 0, 0, 1])]);
        assert_eq!(
            hosts("::"),
            [IpAddr::from(Ipv6Addr::LOCALHOST), IpAddr::from([127, 0, 0, 1])]
        );
    }

    #[tokio::test]
    async fn what_does_not_speak_never_becomes_ready() {
        // It takes connections, and answers nothing.
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let ready = Health::new();
        let trying = until_it_speaks(address, AuthSettings::None, ready.clone());
        let ended = tokio::time::timeout(Duration::from_millis(300), trying).await;
        assert!(ended.is_err() && !ready.is_ready());
    }
}
