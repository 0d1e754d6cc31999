//! A McpServer with another uid than before: a backup was brought back, or it was deleted and its children were not.

use std::collections::BTreeMap;

use iam_mcp_crds::{ConditionType, McpServer, Reason};
use iam_mcp_e2e::{
    children,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
    servers::{NAME, server},
};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, PostParams, PropagationPolicy},
};
use serde_json::{Value, json};

use crate::full;

/// What a backup has of an object: all but what the API server gave it in the cluster that it came from.
fn backed_up(object: &DynamicObject) -> DynamicObject {
    let mut copy = object.clone();
    let metadata = &mut copy.metadata;
    metadata.uid = None;
    metadata.resource_version = None;
    metadata.creation_timestamp = None;
    metadata.generation = None;
    metadata.managed_fields = None;
    if let Some(spec) = copy.data.get_mut("spec").and_then(Value::as_object_mut) {
        // Addresses and ports that the cluster gives a Service.
        spec.retain(|field, _| !["clusterIP", "clusterIPs"].contains(&field.as_str()));
    }
    copy
}

async fn delete(sandbox: &Sandbox, how: PropagationPolicy) {
    let params = DeleteParams {
        propagation_policy: Some(how),
        ..DeleteParams::default()
    };
    sandbox.api::<McpServer>().delete(NAME, &params).await.unwrap();
    eventually(SOON, "the server to be gone", || async {
        let found = sandbox
            .api::<McpServer>()
            .get_opt(NAME)
            .await
            .map_err(|e| e.to_string())?;
        when(found.is_none(), "it is there")
    })
    .await;
}

/// Waits until all children belong to `server`, and gives them.
async fn belong_to(sandbox: &Sandbox, server: &McpServer) -> BTreeMap<&'static str, DynamicObject> {
    let uid = server.uid();
    eventually(SOON, "all children to belong to the new server", || async {
        let children = sandbox.children(NAME).await;
        let owners: Vec<_> = children
            .iter()
            .map(|(kind, child)| {
                let owners = child.owner_references().iter();
                (*kind, owners.map(|owner| owner.uid.clone()).collect::<Vec<_>>())
            })
            .collect();
        let all = owners.len() == 7 && owners.iter().all(|(_, uids)| uids.iter().eq(uid.iter()));
        if all {
            Ok(children)
        } else {
            Err(format!("{owners:?}"))
        }
    })
    .await
}

fn uids(children: &BTreeMap<&'static str, DynamicObject>) -> BTreeMap<&'static str, Option<String>> {
    children
        .iter()
        .map(|(kind, child)| (*kind, child.uid()))
        .collect()
}

#[tokio::test]
async fn children_without_an_owner_are_taken_back_as_they_are() {
    let sandbox = Sandbox::new("restore").await;
    sandbox.serve(NAME, full()).await;
    let before = sandbox.children(NAME).await;
    delete(&sandbox, PropagationPolicy::Orphan).await;
    sandbox.quiet().await;
    assert_eq!(
        uids(&sandbox.children(NAME).await),
        uids(&before),
        "nobody touches orphans"
    );

    let again = sandbox.submit(NAME, full()).await;
    let after = belong_to(&sandbox, &again).await;
    assert_eq!(uids(&after), uids(&before), "none was made anew");
    assert_eq!(
        after["Secret"].data["data"], before["Secret"].data["data"],
        "the keys are the same"
    );
    // A change of the template would have been a new generation, and with it new pods.
    assert_eq!(
        after["Deployment"].data["spec"]["template"],
        before["Deployment"].data["spec"]["template"]
    );
    let note = sandbox.event(NAME, "Adopted", &["Deployment/jobs"]).await;
    assert!(note.contains("that is gone"), "{note}");
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
    sandbox.settle(NAME).await;
    let settled = sandbox.versions(NAME).await;
    sandbox.passes(NAME, 2).await;
    let mut now = sandbox.versions(NAME).await;
    // Touched by the test itself.
    now.insert("Deployment", settled["Deployment"].clone());
    assert_eq!(now, settled, "nothing is left to write");
}

#[tokio::test]
async fn an_orphan_that_another_wrote_is_left_alone() {
    let sandbox = Sandbox::new("restore").await;
    sandbox.serve(NAME, json!({})).await;
    let service = sandbox.children(NAME).await.remove("Service").unwrap();
    delete(&sandbox, PropagationPolicy::Background).await;
    eventually(SOON, "the children to be gone", || async {
        let kinds: Vec<_> = sandbox.children(NAME).await.into_keys().collect();
        when(kinds.is_empty(), kinds)
    })
    .await;
    // With all our labels, and no word of whose it was: a person applied a copy of it.
    let mut copy = backed_up(&service);
    copy.metadata.owner_references = None;
    sandbox
        .create::<Service>(serde_json::to_value(&copy).unwrap())
        .await;
    sandbox.submit(NAME, json!({})).await;
    let message = sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::NameConflict)
        .await;
    assert!(message.contains("Service/jobs"), "{message}");
    let live = sandbox.api::<Service>().get(NAME).await.unwrap();
    assert_eq!(live.metadata.owner_references, None);
}

/// The whole of a backup comes back while the operator is at work: the server first, then its children, which name the uid
/// that it had. The garbage collector deletes such children, unless they are taken back before.
#[tokio::test]
async fn a_backup_comes_to_order_whoever_is_faster() {
    let sandbox = Sandbox::new("restore").await;
    sandbox.serve(NAME, full()).await;
    let backup = sandbox.children(NAME).await;
    delete(&sandbox, PropagationPolicy::Background).await;
    eventually(SOON, "the children to be gone", || async {
        let kinds: Vec<_> = sandbox.children(NAME).await.into_keys().collect();
        when(kinds.is_empty(), kinds)
    })
    .await;
    let api: Api<McpServer> = sandbox.api();
    let again = api
        .create(&PostParams::default(), &server(NAME, full()))
        .await
        .unwrap();
    let mut taken_back = 0;
    let mut brought = BTreeMap::new();
    for (kind, resource, name) in children::kinds(NAME) {
        let Some(child) = backup.get(kind) else { continue };
        let api: Api<DynamicObject> =
            Api::namespaced_with(sandbox.client.clone(), sandbox.namespace(), &resource);
        match api.create(&PostParams::default(), &backed_up(child)).await {
            Ok(made) => {
                brought.insert(kind, made.uid());
            }
            // The operator was faster, and made one.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => panic!("{kind}/{name} cannot be brought back: {error}"),
        }
    }
    let after = belong_to(&sandbox, &again).await;
    for (kind, uid) in uids(&after) {
        taken_back += usize::from(brought.get(kind) == Some(&uid));
    }
    println!(
        "{taken_back} of {} that were brought back were kept",
        brought.len()
    );
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
    // Once it belongs to the new server nobody deletes it.
    sandbox.settle(NAME).await;
    assert_eq!(uids(&sandbox.children(NAME).await), uids(&after), "they stay");
}

/// What has to be in a backup for open sessions to survive: the Secret, without its owner. `docs/operator.md` says so.
#[tokio::test]
async fn keys_that_a_person_brings_back_are_taken_when_they_are_handed_over() {
    let sandbox = Sandbox::new("restore").await;
    sandbox.serve(NAME, json!({})).await;
    let keys = sandbox.children(NAME).await.remove("Secret").unwrap();
    delete(&sandbox, PropagationPolicy::Background).await;
    eventually(SOON, "the children to be gone", || async {
        let kinds: Vec<_> = sandbox.children(NAME).await.into_keys().collect();
        when(kinds.is_empty(), kinds)
    })
    .await;
    let mut copy = backed_up(&keys);
    copy.metadata.owner_references = None;
    sandbox
        .create::<Secret>(serde_json::to_value(&copy).unwrap())
        .await;
    let again = sandbox.submit(NAME, json!({})).await;
    let message = sandbox
        .condition(NAME, ConditionType::Degraded, true, Reason::NameConflict)
        .await;
    assert!(message.contains("Secret/jobs-keys"), "{message}");

    let owner = json!({
        "apiVersion": "iam-mcp.dev/v1alpha1", "kind": "McpServer", "name": NAME, "uid": again.uid(), "controller": true,
    });
    let patch = json!({"metadata": {"ownerReferences": [owner]}});
    sandbox.patch::<Secret>("jobs-keys", "a-person", patch).await;
    sandbox
        .condition(NAME, ConditionType::Degraded, false, Reason::AsExpected)
        .await;
    let live = sandbox.children(NAME).await.remove("Secret").unwrap();
    assert_eq!(
        live.data["data"], keys.data["data"],
        "the sessions' key is the old one"
    );
}
