//! The children of any valid spec, judged by the API server.

use std::collections::BTreeMap;

use iam_mcp_anyspec::Source;
use iam_mcp_crds::McpServer;
use iam_mcp_e2e::{
    children,
    poll::{SOON, eventually, when},
    render,
    sandbox::Sandbox,
    servers::server,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, ListParams, PostParams},
};
use serde_json::{Value, json};

use super::{CLASS, GENERATED_FOR, a_second_pass_writes_nothing, first_seed, number, specs, without_pods};

/// Specs, unless `E2E_SPECS` says how many.
const SPECS: usize = 300;
/// Specs whose servers are made, unless `E2E_SPECS` says how many.
const MADE: usize = 30;

fn count(default: usize) -> usize {
    number("E2E_SPECS").map_or(default, |count| usize::try_from(count).unwrap())
}

/// Servers with any specs, and their children, in `namespace`; the seed is printed.
async fn any_servers(namespace: &str, count: usize) -> Vec<(McpServer, Vec<Value>)> {
    let seed = first_seed();
    println!("{count} specs, E2E_SEED={seed}");
    let mut source = Source::new(GENERATED_FOR, seed);
    let servers: Vec<McpServer> = (0..count)
        .map(|index| {
            let name = format!("any-{index}");
            let spec = specs(&mut source, &name, 1).pop().unwrap();
            let mut server = server(&name, spec);
            server.metadata.namespace = Some(namespace.to_owned());
            server
        })
        .collect();
    let mut rendered: BTreeMap<_, _> = render::children(&servers).await.unwrap();
    let children = |server: &McpServer| rendered.remove(&server.name_any()).unwrap();
    servers
        .iter()
        .map(children)
        .collect::<Vec<_>>()
        .into_iter()
        .zip(servers.clone())
        .map(|(c, s)| (s, c))
        .collect()
}

fn dry_run() -> PostParams {
    PostParams {
        dry_run: true,
        ..PostParams::default()
    }
}

#[tokio::test]
async fn the_api_server_takes_any_spec_and_all_its_children() {
    let sandbox = Sandbox::without_operator("any").await;
    let mut taken = 0;
    for (server, rendered) in any_servers(sandbox.namespace(), count(SPECS)).await {
        let spec = json!(server.spec);
        let api = sandbox.api::<McpServer>();
        api.create(&dry_run(), &server)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{spec}"));
        for child in rendered {
            let kind = child["kind"].as_str().unwrap().to_owned();
            let kinds = children::kinds("").into_iter();
            let (_, resource, _) = kinds.into_iter().find(|(known, _, _)| *known == kind).unwrap();
            // Not there unless another test has just installed them; the walks do so.
            if matches!(kind.as_str(), "HTTPRoute" | "PodMonitor") {
                continue;
            }
            let api: Api<DynamicObject> =
                Api::namespaced_with(sandbox.client.clone(), sandbox.namespace(), &resource);
            let object: DynamicObject = serde_json::from_value(child).unwrap();
            api.create(&dry_run(), &object)
                .await
                .unwrap_or_else(|error| panic!("{kind}: {error}\n{spec}"));
            taken += 1;
        }
    }
    println!("{taken} children taken");
}

/// Whether the Pod Security admission of the API server takes a pod of this template.
async fn admitted(client: &Client, namespace: &str, template: &Value) -> Result<(), String> {
    let mut pod = json!({
        "metadata": template["metadata"],
        "spec": template["spec"],
    });
    pod["metadata"]["name"] = json!("pod");
    // Of other admission plugins, which look for objects that are not there.
    pod["spec"]["serviceAccountName"] = json!("default");
    pod["spec"].as_object_mut().unwrap().remove("runtimeClassName");
    let pod: Pod = serde_json::from_value(pod).map_err(|e| e.to_string())?;
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    api.create(&dry_run(), &pod)
        .await
        .map(drop)
        .map_err(|e| e.to_string())
}

#[tokio::test]
async fn pods_of_any_spec_pass_the_restricted_profile() {
    let labels = [("pod-security.kubernetes.io/enforce", "restricted")];
    let sandbox = Sandbox::namespace_only("restricted", &labels).await;
    iam_mcp_e2e::cluster::default_account(&sandbox.client, sandbox.namespace()).await;
    let mut last = Value::Null;
    let mut passed = 0;
    for (server, rendered) in any_servers(sandbox.namespace(), count(SPECS)).await {
        let deployment = rendered
            .into_iter()
            .find(|child| child["kind"] == "Deployment")
            .unwrap();
        let template = deployment["spec"]["template"].clone();
        let answer = admitted(&sandbox.client, sandbox.namespace(), &template).await;
        answer.unwrap_or_else(|error| panic!("{error}\n{}", json!(server.spec)));
        passed += 1;
        last = template;
    }
    println!("{passed} pods admitted");
    // The judge can say no.
    last["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    let refused = admitted(&sandbox.client, sandbox.namespace(), &last)
        .await
        .unwrap_err();
    assert!(refused.contains("violates PodSecurity"), "{refused}");
}

#[tokio::test]
async fn a_second_pass_over_any_specs_writes_nothing() {
    let mut sandbox = without_pods("second-pass").await;
    sandbox.start_operator_with(&["--class", CLASS]).await;
    let servers = any_servers(sandbox.namespace(), count(MADE)).await;
    for (server, _) in &servers {
        let created = sandbox.api().create(&PostParams::default(), server).await;
        created.unwrap_or_else(|error| panic!("{error}\n{}", json!(server.spec)));
    }
    eventually(SOON, "a status of each server", || async {
        let list = sandbox
            .api::<McpServer>()
            .list(&ListParams::default())
            .await
            .map_err(|e| e.to_string())?;
        let waiting = list.items.iter().filter(|server| server.status.is_none()).count();
        when(waiting == 0, waiting)
    })
    .await;
    let made = u64::try_from(servers.len()).unwrap();
    assert!(
        sandbox.operator().writes().await > 4 * made,
        "the servers were made"
    );
    a_second_pass_writes_nothing(&mut sandbox, made).await;
}
