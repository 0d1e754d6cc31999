//! A way to the API server that can break: a TCP proxy, which sees no more than TLS records. Behind it is the real API
//! server, and the operator's `kubeconfig` points at it.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// It passes.
    Open,
    /// It passes after this long, towards the API server: a slow API server, or a slow etcd behind it.
    Slow(Duration),
    /// Nothing passes and nobody is told, as behind a firewall that drops packets.
    Silent,
    /// Connections are ended as soon as they are made: there is no API server.
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct State {
    way: Way,
    /// Connections of an earlier count are ended.
    cuts: u64,
    /// How many connections there were.
    connections: u64,
}

/// A running proxy; it ends when dropped.
pub struct ApiProxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

impl ApiProxy {
    /// A proxy to the API server at `upstream`, such as `10.250.0.1:6443`.
    ///
    /// # Panics
    /// When this machine gives no port.
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (state, seen) = watch::channel(State {
            way: Way::Open,
            cuts: 0,
            connections: 0,
        });
        let (upstream, told) = (upstream.to_owned(), state.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                told.send_modify(|state| state.connections += 1);
                tokio::spawn(carry(client, upstream.clone(), seen.clone()));
            }
        });
        Self {
            address,
            state,
            accepting,
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what becomes of what is sent, on connections that are there too.
    pub fn set(&self, way: Way) {
        self.state.send_modify(|state| state.way = way);
    }

    /// Ends all connections, in the middle of whatever they carry.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// How many connections were made.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.borrow().connections
    }
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn carry(client: TcpStream, upstream: String, mut state: watch::Receiver<State>) {
    let born = state.borrow().cuts;
    let pumping = pump(client, upstream, state.clone());
    let ended = state.wait_for(|now| now.cuts != born || now.way == Way::Gone);
    // What is dropped is closed.
    tokio::select! {
        _ = ended => {}
        _ = pumping => {}
    }
}

async fn pump(client: TcpStream, upstream: String, mut state: watch::Receiver<State>) -> io::Result<()> {
    passing(&mut state).await;
    let server = TcpStream::connect(upstream).await?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(
        copy(from_client, to_server, state.clone(), true),
        copy(from_server, to_client, state, false),
    )?;
    Ok(())
}

/// Copies in one direction until its end; `up` is towards the API server.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    up: bool,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        let way = passing(&mut state).await;
        if let Way::Slow(by) = way
            && up
        {
            tokio::time::sleep(by).await;
        }
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
    }
}

/// Waits while nothing passes.
async fn passing(state: &mut watch::Receiver<State>) -> Way {
    match state.wait_for(|now| now.way != Way::Silent).await {
        Ok(now) => now.way,
        // The proxy is gone, and this goes with it.
        Err(_) => Way::Gone,
    }
}
