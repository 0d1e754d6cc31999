//! Several servers that share their keys.

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use iam_mcp_server::{
    config::{ReplicaSettings, Settings},
    keyring::KeyRing,
};

use super::TestServer;

/// A folder with the key that replicas share.
pub(crate) struct Replicas {
    _folder: tempfile::TempDir,
    pub(crate) key_file: PathBuf,
}

impl Replicas {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let key_file = folder.path().join("session-key");
        std::fs::write(&key_file, [7; 32]).expect("written");
        Self {
            _folder: folder,
            key_file,
        }
    }

    /// Those that are sealed with now.
    pub(crate) fn keys(&self) -> KeyRing {
        KeyRing::load(&self.key_file).expect("a key")
    }

    /// One more of them.
    pub(crate) async fn start(&self, number: u8) -> TestServer {
        self.start_with(number, &[], |_| {}).await
    }

    /// One more, with these variables and these changes.
    pub(crate) async fn start_with(
        &self,
        number: u8,
        environment: &[(&str, &str)],
        change: impl FnOnce(&mut Settings),
    ) -> TestServer {
        TestServer::start_with(environment, |settings| {
            settings.sessions.keys = Some(self.keys());
            settings.sessions.replica = Some(ReplicaSettings {
                address: Ipv4Addr::LOCALHOST.into(),
                port: 0,
                uid: [number; 16],
                uid_text: format!("pod-{number}"),
            });
            // Tests do not wait for Services to notice.
            settings.sessions.drain.accept = Duration::from_millis(300);
            change(settings);
        })
        .await
    }
}
