//! The way from `v1alpha1` to `v1beta1` and back, as `docs/api-growth.md` has it, on the real API server: a made-up second
//! version of our own definition, in a group of its own so that other tests are not disturbed.

use std::collections::BTreeMap;

use iam_mcp_crds::McpServer;
use iam_mcp_e2e::{
    cluster::{self, TestNamespace},
    kubectl,
    poll::{SOON, eventually},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, CustomResourceExt as _, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::full;

const OLD: &str = "v1alpha1";
const NEW: &str = "v1beta1";

/// A copy of our definition in a group of its own, deleted when dropped, with all its objects.
struct Definition {
    client: Client,
    group: String,
    name: String,
}

impl Definition {
    /// With the old version alone, as it is now.
    async fn install(client: &Client, namespace: &str) -> Self {
        let group = format!("{namespace}.iam-mcp.test");
        let definition = Self {
            client: client.clone(),
            name: format!("mcpservers.{group}"),
            group,
        };
        definition.apply(&[(OLD, true)]).await;
        definition
    }

    /// Applies the definition with these versions, each served; `true` is the one that is stored.
    async fn try_apply(&self, versions: &[(&str, bool)]) -> Result<(), kube::Error> {
        let mut crd = serde_json::to_value(McpServer::crd()).unwrap();
        crd["metadata"]["name"] = json!(self.name);
        crd["spec"]["group"] = json!(self.group);
        // Those of the real one.
        crd["spec"]["names"]["shortNames"] = Value::Null;
        crd["spec"]["names"]["categories"] = Value::Null;
        crd["spec"]["conversion"] = json!({"strategy": "None"});
        let ours = crd["spec"]["versions"][0].clone();
        assert_eq!(ours["name"], OLD, "the way is written down from here");
        let of = |(name, stored): &(&str, bool)| {
            let mut version = ours.clone();
            version["name"] = json!(name);
            version["storage"] = json!(stored);
            version
        };
        crd["spec"]["versions"] = versions.iter().map(of).collect();
        self.apply_as_it_is(&crd).await
    }

    async fn apply_as_it_is(&self, crd: &Value) -> Result<(), kube::Error> {
        let api: Api<DynamicObject> = Api::all_with(
            self.client.clone(),
            &ApiResource::erase::<CustomResourceDefinition>(&()),
        );
        let params = PatchParams::apply("iam-mcp-e2e").force();
        api.patch(&self.name, &params, &Patch::Apply(crd)).await.map(drop)
    }

    /// The same, and waits until the API server serves them.
    async fn apply(&self, versions: &[(&str, bool)]) {
        self.try_apply(versions)
            .await
            .expect("the API server takes the definition");
        for (version, _) in versions {
            eventually(SOON, "the version to be served", || async {
                let listed = self.all(version).list(&ListParams::default()).await;
                listed.map(drop).map_err(|error| error.to_string())
            })
            .await;
        }
    }

    fn crds(&self) -> Api<CustomResourceDefinition> {
        Api::all(self.client.clone())
    }

    async fn stored(&self) -> Vec<String> {
        let crd = self.crds().get(&self.name).await.unwrap();
        crd.status
            .and_then(|status| status.stored_versions)
            .unwrap_or_default()
    }

    /// Notes that objects are stored in this version alone.
    async fn forget_all_but(&self, version: &str) {
        let patch = json!({"status": {"storedVersions": [version]}});
        let crds = self.crds();
        crds.patch_status(&self.name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .expect("the API server takes the clean-up");
    }

    fn resource(&self, version: &str) -> ApiResource {
        ApiResource {
            group: self.group.clone(),
            version: version.to_owned(),
            api_version: format!("{}/{version}", self.group),
            kind: "McpServer".to_owned(),
            plural: "mcpservers".to_owned(),
        }
    }

    fn all(&self, version: &str) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &self.resource(version))
    }

    fn within(&self, namespace: &str, version: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &self.resource(version))
    }

    /// Writes every object as it is, so that it is stored in the version that is stored now. This is what a
    /// `StorageVersionMigration` does where a cluster offers it.
    async fn rewrite_all(&self, namespace: &str, version: &str) {
        let api = self.within(namespace, version);
        for object in api.list(&ListParams::default().limit(500)).await.unwrap() {
            let mut object = object;
            // A conflict means that somebody else wrote it meanwhile, and so in the new version: that is as good.
            object.types = Some(kube::api::TypeMeta {
                api_version: format!("{}/{version}", self.group),
                kind: "McpServer".to_owned(),
            });
            match api
                .replace(&object.name_any(), &PostParams::default(), &object)
                .await
            {
                Ok(written) => assert_ne!(
                    written.resource_version(),
                    object.resource_version(),
                    "{} was not rewritten",
                    object.name_any()
                ),
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => panic!("{} cannot be rewritten: {error}", object.name_any()),
            }
        }
    }
}

impl Drop for Definition {
    fn drop(&mut self) {
        kubectl::delete_quietly(&["customresourcedefinition", &self.name]);
    }
}

/// What an object says, whatever the version it is read in.
type Content = BTreeMap<String, Value>;

async fn contents(api: &Api<DynamicObject>) -> Content {
    let list = api.list(&ListParams::default()).await.unwrap();
    let content = list.into_iter().map(|object| {
        let metadata = json!({
            "uid": object.uid(),
            "generation": object.metadata.generation,
            "labels": object.labels(),
            "annotations": object.annotations(),
        });
        (
            object.name_any(),
            json!({"metadata": metadata, "spec": object.data["spec"], "status": object.data["status"]}),
        )
    });
    content.collect()
}

async fn create(definition: &Definition, namespace: &str, version: &str, name: &str, spec: Value) {
    let object: DynamicObject = serde_json::from_value(json!({
        "apiVersion": format!("{}/{version}", definition.group),
        "kind": "McpServer",
        "metadata": {"name": name, "labels": {"team": "a"}, "annotations": {"example.com/note": "kept"}},
        "spec": spec,
    }))
    .unwrap();
    let api = definition.within(namespace, version);
    api.create(&PostParams::default(), &object).await.unwrap();
    let status = json!({"status": {"observedGeneration": 1, "url": "http://jobs", "readyPods": "1/1"}});
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status))
        .await
        .unwrap();
}

/// Applies `spec` as a client of `version`, and gives the object as it answers.
async fn set(
    definition: &Definition,
    namespace: &str,
    version: &str,
    name: &str,
    spec: Value,
) -> DynamicObject {
    try_set(definition, namespace, version, name, spec).await.unwrap()
}

async fn try_set(
    definition: &Definition,
    namespace: &str,
    version: &str,
    name: &str,
    spec: Value,
) -> Result<DynamicObject, kube::Error> {
    let api = definition.within(namespace, version);
    let patch = json!({
        "apiVersion": format!("{}/{version}", definition.group),
        "kind": "McpServer",
        "metadata": {"name": name},
        "spec": spec,
    });
    let params = PatchParams::apply("a-client").force();
    api.patch(name, &params, &Patch::Apply(patch)).await
}

#[tokio::test]
async fn a_second_version_comes_is_stored_and_goes_again_and_nothing_is_lost() {
    let client = cluster::client().await;
    let place = TestNamespace::create(&client, "growth", &[]).await;
    let namespace = &place.name;
    let definition = Definition::install(&client, namespace).await;
    let (old, new) = (
        definition.within(namespace, OLD),
        definition.within(namespace, NEW),
    );
    create(&definition, namespace, OLD, "small", json!({})).await;
    create(&definition, namespace, OLD, "full", full()).await;
    let spec = json!({"podTemplate": {"spec": {"runtimeClassName": "sandboxed"}}, "env": [{"name": "A", "value": ""}]});
    create(&definition, namespace, OLD, "patched", spec).await;
    let before = contents(&old).await;

    // 1. The new version is served beside the old one, which is stored still.
    definition.apply(&[(OLD, true), (NEW, false)]).await;
    assert_eq!(
        contents(&new).await,
        before,
        "what old clients wrote, new ones read"
    );
    create(&definition, namespace, NEW, "born-new", full()).await;
    set(&definition, namespace, OLD, "small", json!({"logLevel": "WARN"})).await;
    let seen = set(
        &definition,
        namespace,
        NEW,
        "small",
        json!({"logLevel": "DEBUG", "replicas": 2}),
    )
    .await;
    assert_eq!(seen.data["spec"], json!({"logLevel": "DEBUG", "replicas": 2}));
    // The same manager gives a field up in the version in which it did not take it.
    set(&definition, namespace, OLD, "small", json!({"replicas": 3})).await;
    let small = new.get("small").await.unwrap();
    assert_eq!(small.data["spec"], json!({"replicas": 3}));
    let grown = contents(&new).await;
    assert_eq!(contents(&old).await, grown, "both see the same");
    assert_eq!(grown.len(), 4);
    assert_eq!(definition.stored().await, [OLD]);

    // 2. The new one is stored. Objects that are there stay as they are until somebody writes them.
    definition.apply(&[(OLD, false), (NEW, true)]).await;
    assert_eq!(definition.stored().await, [OLD, NEW]);
    let refused = definition
        .try_apply(&[(NEW, true)])
        .await
        .expect_err("objects may be stored in the old one");
    assert!(refused.to_string().contains("storedVersions"), "{refused}");

    // 3. All are rewritten, and then the old one may be forgotten. No generation changes, so nobody has anything to do.
    definition.rewrite_all(namespace, NEW).await;
    definition.forget_all_but(NEW).await;
    assert_eq!(contents(&old).await, grown, "old clients read on");
    assert_eq!(contents(&new).await, grown);
    set(&definition, namespace, OLD, "small", json!({"replicas": 4})).await;
    let small = new.get("small").await.unwrap();
    assert_eq!(small.data["spec"], json!({"replicas": 4}), "and write on");
    let grown = contents(&new).await;

    // 4. Without the old one, an object that were still stored in it could not be read.
    definition.apply(&[(NEW, true)]).await;
    assert_eq!(contents(&new).await, grown);
    eventually(SOON, "the old version to be served no longer", || async {
        match old.get("small").await {
            // In plain text, since nobody serves it.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    // The way back is the same way: served, stored, rewritten, forgotten, gone.
    definition.apply(&[(OLD, false), (NEW, true)]).await;
    definition.apply(&[(OLD, true), (NEW, false)]).await;
    definition.rewrite_all(namespace, OLD).await;
    definition.forget_all_but(OLD).await;
    definition.apply(&[(OLD, true)]).await;
    assert_eq!(contents(&old).await, grown, "nothing is lost on the way back");
    for (name, content) in &before {
        if name != "small" {
            assert_eq!(&grown[name], content, "{name} was never changed");
        }
    }
}

/// Why a field has to be added to both versions: with the strategy None nothing keeps it for clients of the other.
#[tokio::test]
async fn a_field_of_one_version_alone_is_lost_by_a_client_of_the_other() {
    let client = cluster::client().await;
    let place = TestNamespace::create(&client, "growth", &[]).await;
    let namespace = &place.name;
    let definition = Definition::install(&client, namespace).await;
    definition.apply(&[(OLD, false), (NEW, true)]).await;
    let crd = definition.crds().get(&definition.name).await.unwrap();
    let mut crd = serde_json::to_value(crd).unwrap();
    crd["metadata"] = json!({"name": definition.name});
    crd.as_object_mut().unwrap().remove("status");
    crd["apiVersion"] = json!("apiextensions.k8s.io/v1");
    crd["kind"] = json!("CustomResourceDefinition");
    let versions = crd["spec"]["versions"].as_array_mut().unwrap();
    let newer = versions
        .iter_mut()
        .find(|version| version["name"] == NEW)
        .unwrap();
    newer["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["madeUp"] =
        json!({"type": "string"});
    definition.apply_as_it_is(&crd).await.unwrap();

    let (old, new) = (
        definition.within(namespace, OLD),
        definition.within(namespace, NEW),
    );
    // Until the API server has taken the new schema in, it does not know the field.
    eventually(SOON, "the new field to be kept", || async {
        let spec = json!({"madeUp": "value"});
        let made = try_set(&definition, namespace, NEW, "jobs", spec).await;
        made.map(drop).map_err(|error| error.to_string())
    })
    .await;
    let made = new.get("jobs").await.unwrap();
    assert_eq!(made.data["spec"]["madeUp"], "value");
    // A client that knows the old version reads the object and writes it back.
    let object = old.get("jobs").await.unwrap();
    old.replace("jobs", &PostParams::default(), &object)
        .await
        .unwrap();
    let now = new.get("jobs").await.unwrap();
    assert_eq!(
        now.data["spec"]["madeUp"],
        Value::Null,
        "so schemas have to be the same"
    );
}
