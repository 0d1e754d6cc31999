//! `kubectl port-forward` as a child process.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Child,
    time::timeout,
};

use crate::kubectl;

/// Time for the first connection.
const START: Duration = Duration::from_secs(30);

/// A tunnel from a port of this machine to a pod, closed when dropped.
pub struct PortForward {
    // Killed on drop.
    _child: Child,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
}

impl PortForward {
    /// Opens a tunnel to `target`, such as `service/jobs`, at its port `port`.
    pub async fn open(namespace: &str, target: &str, port: u16) -> Self {
        let mut child = kubectl::command(&[
            "--namespace",
            namespace,
            "port-forward",
            target,
            &format!(":{port}"),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("kubectl is in PATH");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = timeout(START, lines.next_line())
            .await
            .expect("kubectl port-forward begins in time");
        let line = line
            .expect("readable")
            .unwrap_or_else(|| panic!("kubectl port-forward {target} ended"));
        // "Forwarding from 127.0.0.1:41205 -> 8080"
        let address = line.split_whitespace().nth(2).expect("an address");
        let url = format!("http://{address}");
        // It writes a line for each connection, and would stop at a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { _child: child, url }
    }
}
