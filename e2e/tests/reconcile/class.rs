//! Two operators of different classes share a namespace, and a server moves from one to the other.

use iam_mcp_crds::{ConditionType, McpServer, Reason};
use iam_mcp_e2e::{
    operator::Operator,
    poll::{SOON, eventually, when},
    sandbox::Sandbox,
};
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::json;

#[tokio::test]
async fn each_operator_looks_after_its_class_and_a_server_moves_unnoticed() {
    let sandbox = Sandbox::new("class").await;
    let blue = Operator::start_with(sandbox.namespace(), &["--class", "blue"]).await;
    let done = |name: &'static str| {
        sandbox.condition(name, ConditionType::Progressing, false, Reason::RolloutComplete)
    };
    sandbox.submit("plain", json!({"replicas": 0})).await;
    done("plain").await;
    assert_eq!(blue.writes().await, 0, "a server without a class is not blue's");

    let before = sandbox.operator().writes().await;
    sandbox
        .submit("azure", json!({"replicas": 0, "operatorClass": "blue"}))
        .await;
    done("azure").await;
    assert!(blue.writes().await > 0);

    let (versions, passes, written) = (
        sandbox.versions("plain").await,
        blue.passes().await,
        blue.writes().await,
    );
    sandbox.change("plain", json!({"operatorClass": "blue"})).await;
    eventually(SOON, "blue to look at it", || async {
        let now = blue.passes().await;
        when(now > passes, now)
    })
    .await;
    eventually(SOON, "blue to say that it has seen it", || async {
        let server = sandbox.api::<McpServer>().get("plain").await.unwrap();
        let seen = server.status.and_then(|status| status.observed_generation);
        when(seen == server.metadata.generation, seen)
    })
    .await;
    assert_eq!(sandbox.versions("plain").await, versions, "no child is written");
    assert_eq!(
        blue.writes().await,
        written + 1,
        "but the status, which speaks of the new generation"
    );

    let service: Api<Service> = sandbox.api();
    let old = service.get("plain").await.unwrap();
    service.delete("plain", &DeleteParams::default()).await.unwrap();
    sandbox
        .child::<Service>("plain", "blue to make it again", |now| {
            now.metadata.uid != old.metadata.uid
        })
        .await;
    assert_eq!(
        sandbox.operator().writes().await,
        before,
        "the other operator has let it go"
    );
}

#[tokio::test]
async fn a_class_is_a_name() {
    let sandbox = Sandbox::without_operator("class").await;
    let create = async |class: &str| {
        let server = iam_mcp_e2e::servers::server("jobs", json!({"operatorClass": class}));
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        sandbox.api::<McpServer>().create(&params, &server).await
    };
    for class in ["blue", "v1-2", "a", &"a".repeat(40)] {
        create(class).await.expect(class);
    }
    for class in ["", "Blue", "-a", "a-", "a.b", &"a".repeat(41)] {
        let refused = create(class).await.expect_err(class).to_string();
        assert!(refused.contains("operatorClass"), "{refused}");
    }
}
