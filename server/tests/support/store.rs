//! A real Valkey or Redis, on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Instant,
};

use super::DEADLINE;

/// What it is called, newest first.
const PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];

/// What must show nowhere.
pub(crate) const PASSWORD: &str = "s3cret-of-the-store";

/// The server; it ends with the test.
pub(crate) struct StoreServer {
    port: u16,
    folder: tempfile::TempDir,
    process: Option<Child>,
}

impl StoreServer {
    pub(crate) async fn start() -> Self {
        let mut server = Self {
            port: free_port(),
            folder: tempfile::tempdir().expect("temporary folder"),
            process: None,
        };
        server.start_again().await;
        server
    }

    /// With its password.
    pub(crate) fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}/3", self.port)
    }

    /// At the same port, with nothing in it.
    pub(crate) async fn start_again(&mut self) {
        let port = self.port.to_string();
        let started = PROGRAMS.iter().find_map(|program| {
            Command::new(program)
                .args(["--port", &port, "--bind", "127.0.0.1", "--requirepass", PASSWORD])
                .args(["--save", "", "--appendonly", "no"])
                .current_dir(self.folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .ok()
        });
        let started = started.expect(
            "this test needs Valkey or Redis: install the package redis-server (Debian) or valkey, or run ops/test unit as root",
        );
        self.process = Some(started);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let start = Instant::now();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            assert!(start.elapsed() < DEADLINE, "the store does not start");
            tokio::task::yield_now().await;
        }
    }

    /// Ends it, and with it all that is in it.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Has it hang (`STOP`), or go on (`CONT`): its port is open, but nothing is answered.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.process.as_ref().expect("running").id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.expect("kill").success());
    }
}

impl Drop for StoreServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("bound").port()
}
