//! Watches the number of pods through a change.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
};

use iam_mcp_e2e::{
    kubectl,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// The lowest `spec.replicas` that a Deployment had since the watch began.
pub(crate) struct Lowest {
    seen: Arc<Mutex<Vec<i32>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Lowest {
    pub(crate) async fn watch(sandbox: &Sandbox, name: &str) -> Self {
        let api = sandbox.api::<Deployment>();
        let list = api
            .list(&ListParams::default().fields(&format!("metadata.name={name}")))
            .await
            .unwrap();
        let seen = Arc::new(Mutex::new(vec![
            list.items[0].spec.as_ref().unwrap().replicas.unwrap(),
        ]));
        let kubectl = kubectl::command(&[
            "--namespace",
            sandbox.namespace(),
            "get",
            "deployment",
            name,
            "--watch",
            "--output=jsonpath={.spec.replicas}{\"\\n\"}",
        ])
        .stdout(Stdio::piped())
        .spawn();
        let mut kubectl = kubectl.expect("kubectl is in PATH");
        let out = kubectl.stdout.take().expect("piped");
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                let mut lines = BufReader::new(out).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    seen.lock().unwrap().push(line.trim().parse().expect("a number"));
                }
                drop(kubectl);
            }
        });
        let lowest = Self { seen, task };
        eventually(SOON, "the watch to begin", || async {
            when(lowest.seen.lock().unwrap().len() > 1, "nothing")
        })
        .await;
        lowest
    }

    pub(crate) fn until_now(&self) -> i32 {
        *self.seen.lock().unwrap().iter().min().unwrap()
    }
}

impl Drop for Lowest {
    fn drop(&mut self) {
        self.task.abort();
    }
}
