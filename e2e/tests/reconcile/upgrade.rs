//! An upgrade of the operator is no change of a server: its pods are left alone until its spec changes, or until
//! the operator rolls its fleet.

use std::time::Duration;

use iam_mcp_crds::{ConditionType, McpServer, Reason};
use iam_mcp_e2e::{
    kubectl,
    operator::Operator,
    poll::{SOON, eventually, steady, when},
    sandbox::Sandbox,
    servers::{NAME, server},
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Resource as _,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

/// An operator whose default image is this.
async fn release(sandbox: &Sandbox, image: &str, more: &[&str]) -> Operator {
    let arguments = [&["--server-image", image], more].concat();
    Operator::start_with(sandbox.namespace(), &arguments).await
}

async fn image(sandbox: &Sandbox, name: &str) -> String {
    let live = sandbox.api::<Deployment>().get(name).await.unwrap();
    let pod = live.spec.and_then(|spec| spec.template.spec).unwrap();
    pod.containers[0].image.clone().unwrap()
}

/// Waits until the operator has said of `name` that it holds its update back.
async fn held_back(sandbox: &Sandbox, name: &str) {
    sandbox
        .condition(name, ConditionType::Progressing, false, Reason::UpdateHeldBack)
        .await;
}

async fn complete(sandbox: &Sandbox, name: &str) {
    sandbox
        .condition(name, ConditionType::Progressing, false, Reason::RolloutComplete)
        .await;
}

#[tokio::test]
async fn a_new_release_leaves_pods_alone_until_the_spec_changes() {
    let sandbox = Sandbox::without_operator("upgrade").await;
    let old = release(&sandbox, "image:1", &[]).await;
    sandbox.submit(NAME, json!({"replicas": 0})).await;
    complete(&sandbox, NAME).await;
    old.stop().await;
    let versions = sandbox.versions(NAME).await;

    let new = release(&sandbox, "image:2", &[]).await;
    held_back(&sandbox, NAME).await;
    assert_eq!(sandbox.versions(NAME).await, versions, "no child is written");
    let status = sandbox
        .api::<McpServer>()
        .get(NAME)
        .await
        .unwrap()
        .status
        .unwrap();
    assert_eq!(
        status.image.as_deref(),
        Some("image:1"),
        "the status says what runs"
    );
    let waiting = new
        .metrics()
        .await
        .sum("mcp_operator_outdated_servers", &[r#"state="waiting""#]);
    assert_eq!(waiting, 1);

    // What pods do not depend on changes beside them.
    sandbox
        .change(NAME, json!({"replicas": 2, "service": {"port": 8000}}))
        .await;
    sandbox
        .child::<Deployment>(NAME, "two pods", |deployment| {
            deployment.spec.as_ref().and_then(|spec| spec.replicas) == Some(2)
        })
        .await;
    assert_eq!(image(&sandbox, NAME).await, "image:1");

    sandbox.change(NAME, json!({"logLevel": "DEBUG"})).await;
    eventually(SOON, "the new release's template", || async {
        let image = image(&sandbox, NAME).await;
        when(image == "image:2", image)
    })
    .await;
}

#[tokio::test]
async fn drift_of_a_held_template_brings_the_new_one() {
    let sandbox = Sandbox::without_operator("upgrade").await;
    let old = release(&sandbox, "image:1", &[]).await;
    sandbox.submit(NAME, json!({"replicas": 0})).await;
    complete(&sandbox, NAME).await;
    old.stop().await;
    let _new = release(&sandbox, "image:2", &[]).await;
    held_back(&sandbox, NAME).await;
    let tampered =
        json!({"spec": {"template": {"spec": {"containers": [{"name": NAME, "image": "evil:1"}]}}}});
    let params = PatchParams {
        field_manager: Some("a-person".to_owned()),
        ..PatchParams::default()
    };
    sandbox
        .api::<Deployment>()
        .patch(NAME, &params, &Patch::Strategic(tampered))
        .await
        .unwrap();
    eventually(SOON, "what this operator renders", || async {
        let image = image(&sandbox, NAME).await;
        when(image == "image:2", image)
    })
    .await;
    complete(&sandbox, NAME).await;
}

#[tokio::test]
async fn a_fleet_is_rolled_one_by_one_and_no_further_than_the_first_that_does_not_end() {
    let sandbox = Sandbox::without_operator("upgrade").await;
    let old = release(&sandbox, "image:1", &[]).await;
    let ends = ["a", "b", "c"];
    for name in ends {
        sandbox.submit(name, json!({"replicas": 0})).await;
        complete(&sandbox, name).await;
    }
    old.stop().await;
    let new = release(&sandbox, "image:2", &["--roll-default-image", "1"]).await;
    for name in ends {
        eventually(SOON, "the whole fleet to be rolled", || async {
            let image = image(&sandbox, name).await;
            when(image == "image:2", image)
        })
        .await;
        complete(&sandbox, name).await;
    }
    // Without nodes the pods of these never become ready.
    let stay = ["d", "e"];
    for name in stay {
        sandbox.submit(name, json!({"replicas": 1})).await;
        sandbox.child::<Deployment>(name, "it to exist", |_| true).await;
        sandbox
            .condition(name, ConditionType::Progressing, true, Reason::RolloutInProgress)
            .await;
    }
    new.stop().await;
    let newest = release(&sandbox, "image:3", &["--roll-default-image", "1"]).await;
    let rolled = || async {
        let mut rolled = Vec::new();
        for name in ends.into_iter().chain(stay) {
            if image(&sandbox, name).await == "image:3" {
                rolled.push(name);
            }
        }
        rolled
    };
    let begun = || async {
        let rolled = rolled().await;
        rolled.into_iter().filter(|name| stay.contains(name)).count()
    };
    eventually(SOON, "one of the two that stay to begin", || async {
        let begun = begun().await;
        when(begun == 1, begun)
    })
    .await;
    let still = steady(SOON, Duration::from_secs(2), "the roll", rolled).await;
    assert_eq!(begun().await, 1, "the other waits for it: {still:?}");
    let metrics = newest.metrics().await;
    let of = |state: &str| metrics.sum("mcp_operator_outdated_servers", &[&format!("state={state:?}")]);
    assert_eq!(
        (of("rolling"), of("waiting")),
        (1, 5 - u64::try_from(still.len()).unwrap())
    );

    // When it is well, the rest follows.
    for name in stay {
        sandbox.change(name, json!({"replicas": 0})).await;
    }
    eventually(SOON, "the rest to follow", || async {
        let rolled = rolled().await;
        when(rolled.len() == 5, rolled)
    })
    .await;
}

#[tokio::test]
async fn what_the_first_release_made_is_left_alone() {
    const SERVER: &str = "small";
    let sandbox = Sandbox::without_operator("upgrade").await;
    let created = sandbox
        .api::<McpServer>()
        .create(&PostParams::default(), &server(SERVER, json!({})))
        .await
        .unwrap();
    let status = json!({"status": {"observedGeneration": created.metadata.generation}});
    sandbox
        .api::<McpServer>()
        .patch_status(SERVER, &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
    let mut deployment: serde_json::Value = serde_saphyr::from_str(
        &include_str!("upgrade/first_release.yaml").replace("NAMESPACE", sandbox.namespace()),
    )
    .unwrap();
    let mut owner = created.controller_owner_ref(&()).unwrap();
    owner.block_owner_deletion = Some(true);
    deployment["metadata"]["ownerReferences"] = json!([owner]);
    kubectl::run_with(
        &[
            "apply",
            "--server-side",
            "--field-manager=iam-mcp-operator",
            "-f",
            "-",
        ],
        &deployment.to_string(),
    )
    .await;
    let template = async || {
        let live = sandbox.api::<Deployment>().get(SERVER).await.unwrap();
        live.spec.map(|spec| spec.template)
    };
    let before = template().await;

    let operator = release(&sandbox, "image:2", &[]).await;
    sandbox
        .child::<k8s_openapi::api::core::v1::Service>(SERVER, "the rest to be made", |_| true)
        .await;
    eventually(SOON, "it to be held back", || async {
        let metrics = operator.metrics().await;
        let waiting = metrics.sum("mcp_operator_outdated_servers", &[r#"state="waiting""#]);
        when(waiting == 1, waiting)
    })
    .await;
    assert_eq!(
        template().await,
        before,
        "its pods are not made anew, though this release renders others"
    );
}
