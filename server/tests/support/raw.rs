//! HTTP by hand: what no well-behaved client sends.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::DEADLINE;

/// A connection.
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("connected"))
    }

    /// Sends bytes; a server that has answered already need not take them.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// Whether the server has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        match self.0.try_read(&mut [0; 64]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }

    /// All that comes until the server closes; what a reset takes away was not needed.
    pub(crate) async fn rest(&mut self) -> String {
        let mut all = Vec::new();
        let read = async {
            let mut some = [0; 4096];
            while let Ok(length @ 1..) = self.0.read(&mut some).await {
                all.extend_from_slice(&some[..length]);
            }
        };
        tokio::time::timeout(DEADLINE, read)
            .await
            .expect("closed in time");
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Reads until `text` has come.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let mut all = Vec::new();
        let read = async {
            let mut some = [0; 4096];
            while !String::from_utf8_lossy(&all).contains(text) {
                let length = self.0.read(&mut some).await.expect("read");
                assert_ne!(length, 0, "closed after {}", String::from_utf8_lossy(&all));
                all.extend_from_slice(&some[..length]);
            }
        };
        tokio::time::timeout(DEADLINE, read).await.expect("read in time");
        String::from_utf8_lossy(&all).into_owned()
    }
}

/// A request for a message, up to its body.
pub(crate) fn head(path: &str, more: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{more}\r\n")
}

/// Sends one request whose connection then closes.
pub(crate) async fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut raw = Raw::connect(address).await;
    raw.send(request).await;
    raw.rest().await
}
