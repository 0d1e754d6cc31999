//! Pods without nodes: the API server is told that they run, at an address where the test answers for them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::{Binding, Node, Pod};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{
    fake_mcp::{self, Mcp},
    kubectl,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
};

/// The admin port of a server.
const ADMIN_PORT: u16 = 9090;
/// Longest time between two questions to a pod, and some.
const POLL: Duration = Duration::from_secs(80);

/// What a fake server says of itself, and what it was told.
#[derive(Clone, Debug, Default)]
pub struct Says {
    /// Open sessions.
    pub sessions: u32,
    /// When its drain ends.
    pub drain_until: Option<i64>,
    /// Id of the key that it seals with.
    pub sealing_key: String,
    /// Ids of the keys that it accepts.
    pub accepted_keys: Vec<String>,
    /// Ids of the tokens of clients that it takes.
    pub accepted_tokens: Vec<String>,
    /// Times that it was asked for its sessions.
    pub asked: u32,
    /// The queries of `POST /drain`.
    pub drains: Vec<BTreeMap<String, String>>,
    /// What it says over MCP.
    pub mcp: Mcp,
}

/// A server's admin port and MCP port, on an address of its own.
pub struct FakeServer {
    /// Its address.
    pub ip: IpAddr,
    says: Arc<Mutex<Says>>,
    tasks: [JoinHandle<()>; 2],
}

impl FakeServer {
    /// A server that answers on an address that nobody else here uses.
    pub async fn start() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let process = std::process::id().to_be_bytes();
        let listener = loop {
            let last = NEXT.fetch_add(1, Ordering::Relaxed).clamp(1, 254);
            let ip = Ipv4Addr::new(127, process[2] | 1, process[3], last);
            if let Ok(listener) = TcpListener::bind((ip, ADMIN_PORT)).await {
                break listener;
            }
        };
        let ip = listener.local_addr().expect("an address").ip();
        let says = Arc::new(Mutex::new(Says {
            sealing_key: "0".repeat(16),
            ..Says::default()
        }));
        let shared = Arc::clone(&says);
        let admin = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&shared)));
            }
        });
        let mcp = TcpListener::bind((ip, fake_mcp::PORT))
            .await
            .expect("as free as the admin port");
        let mcp = tokio::spawn(fake_mcp::serve(mcp, Arc::clone(&says), |says| &mut says.mcp));
        Self {
            ip,
            says,
            tasks: [admin, mcp],
        }
    }

    /// What it says and was told until now.
    #[must_use]
    pub fn says(&self) -> Says {
        self.says.lock().expect("no panic before").clone()
    }

    /// Changes what it says.
    pub fn say(&self, change: impl FnOnce(&mut Says)) {
        change(&mut self.says.lock().expect("no panic before"));
    }

    /// Waits until it was asked once more.
    pub async fn asked_again(&self) {
        let before = self.says().asked;
        eventually(POLL, "the pod to be asked", || async {
            let asked = self.says().asked;
            when(asked > before, asked)
        })
        .await;
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn answer(mut stream: TcpStream, says: Arc<Mutex<Says>>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut part = [0; 1024];
        match stream.read(&mut part).await {
            Ok(read) if read > 0 && request.len() < 16_384 => request.extend_from_slice(&part[..read]),
            _ => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let line = request.lines().next().unwrap_or_default();
    let (status, body) = {
        let mut says = says.lock().expect("no panic before");
        respond(line, &mut says)
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

fn respond(line: &str, says: &mut Says) -> (&'static str, String) {
    if line.starts_with("GET /sessions ") {
        says.asked += 1;
        let body = json!({
            "sessions": says.sessions, "calls": 0, "draining": says.drain_until.is_some(), "drain_until": says.drain_until,
            "sealing_key": says.sealing_key, "accepted_keys": says.accepted_keys,
            "accepted_tokens": says.accepted_tokens,
        });
        return ("200 OK", body.to_string());
    }
    let Some(query) = line
        .strip_prefix("POST /drain?")
        .and_then(|rest| rest.split(' ').next())
    else {
        return ("404 Not Found", String::new());
    };
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let query: BTreeMap<_, _> = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    says.drain_until = query.get("until").and_then(|until| until.parse().ok());
    says.drains.push(query);
    ("204 No Content", String::new())
}

/// A node that is an entry in the API alone: nobody starts pods there, and nobody confirms that they ended. It
/// goes with the last pod on it. (Pods on a node that does not exist are deleted after some seconds.)
struct PaperNode {
    name: String,
}

impl PaperNode {
    async fn create(sandbox: &Sandbox) -> Self {
        static COUNT: AtomicU8 = AtomicU8::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{count}", sandbox.namespace());
        let node = json!({"metadata": {"name": name}, "spec": {"unschedulable": true}});
        let node = serde_json::from_value(node).expect("a node");
        let api: Api<Node> = Api::all(sandbox.client.clone());
        let created = api.create(&PostParams::default(), &node).await;
        created.expect("the API server takes the node");
        Self { name }
    }
}

impl Drop for PaperNode {
    fn drop(&mut self) {
        kubectl::delete_quietly(&["node", &self.name]);
    }
}

/// A pod of a server in a sandbox, which runs as far as the API server knows.
pub struct RunningPod {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Who answers for it.
    pub server: FakeServer,
    _node: Arc<PaperNode>,
}

impl Sandbox {
    /// Waits for `count` pods of a server that nobody plays yet, and lets them run. What each says first is
    /// chosen by `says`.
    pub async fn run_pods(
        &self,
        server: &str,
        count: usize,
        says: impl Fn(usize, &mut Says),
    ) -> Vec<RunningPod> {
        let label = format!("app={server}");
        let waiting = eventually(SOON, "pods that wait for a node", || async {
            let list = self
                .api::<Pod>()
                .list(&ListParams::default().labels(&label))
                .await;
            let mut pods = list.map_err(|e| e.to_string())?.items;
            pods.retain(|pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_none()));
            if pods.len() < count {
                return Err(format!("{} of {count}", pods.len()));
            }
            Ok(pods)
        })
        .await;
        let node = Arc::new(PaperNode::create(self).await);
        let mut running = Vec::new();
        for (number, pod) in waiting.into_iter().take(count).enumerate() {
            let server = FakeServer::start().await;
            server.say(|what| says(number, what));
            self.run(&pod.name_any(), server.ip, &node.name).await;
            running.push(RunningPod {
                name: pod.name_any(),
                uid: pod.uid().expect("a uid"),
                server,
                _node: Arc::clone(&node),
            });
        }
        running
    }

    async fn run(&self, pod: &str, ip: IpAddr, node: &str) {
        let binding: Binding = serde_json::from_value(
            json!({"metadata": {"name": pod}, "target": {"kind": "Node", "name": node}}),
        )
        .expect("a binding");
        let bound: Result<Value, _> = self
            .api::<Pod>()
            .create_subresource("binding", pod, &PostParams::default(), &binding)
            .await;
        bound.expect("the API server binds the pod");
        self.say_of_pod(
            pod,
            json!({
                "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                "conditions": [{"type": "Ready", "status": "True"}],
            }),
        )
        .await;
    }

    /// What the kubelet says of a pod; conditions that it does not name stay.
    pub async fn say_of_pod(&self, pod: &str, status: Value) {
        let patch = Patch::Strategic(json!({"status": status}));
        self.api::<Pod>()
            .patch_status(pod, &PatchParams::default(), &patch)
            .await
            .expect("the API server takes the status");
    }

    /// The pod as it is, if it is there.
    pub async fn pod(&self, name: &str) -> Option<Pod> {
        self.api::<Pod>().get_opt(name).await.expect("a readable pod")
    }

    /// Asks a pod to stop within `grace` seconds.
    pub async fn stop_pod(&self, pod: &RunningPod, grace: u32) {
        let params = DeleteParams {
            grace_period_seconds: Some(grace),
            preconditions: Some(Preconditions {
                uid: Some(pod.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        self.api::<Pod>()
            .delete(&pod.name, &params)
            .await
            .expect("a delete");
    }

    /// What the kubelet does when a pod has ended.
    pub async fn end_pod(&self, pod: &RunningPod) {
        let params = DeleteParams::default().grace_period(0);
        self.api::<Pod>()
            .delete(&pod.name, &params)
            .await
            .expect("a delete");
    }
}
