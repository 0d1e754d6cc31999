//! Many servers at once, and whether all of what belongs to them is there, once and as it should be.

use std::{collections::BTreeMap, fmt::Debug};

use iam_mcp_crds::McpServer;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{Secret, Service, ServiceAccount},
        networking::v1::{Ingress, NetworkPolicy},
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{Api, Resource, ResourceExt as _, api::DeleteParams, api::ListParams};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{conditions, sandbox::Sandbox};

/// Servers without pods, by name, with the image that each asks for.
pub struct Fleet<'a> {
    sandbox: &'a Sandbox,
    images: BTreeMap<String, String>,
}

impl<'a> Fleet<'a> {
    /// Makes `count` servers of one image.
    pub async fn new(sandbox: &'a Sandbox, count: usize, image: &str) -> Self {
        let mut fleet = Self {
            sandbox,
            images: BTreeMap::new(),
        };
        for number in 0..count {
            fleet.add(&format!("s{number:03}"), image).await;
        }
        fleet
    }

    /// Makes one server.
    pub async fn add(&mut self, name: &str, image: &str) {
        self.sandbox
            .submit(name, json!({"replicas": 0, "image": image}))
            .await;
        self.images.insert(name.to_owned(), image.to_owned());
    }

    /// Deletes one server.
    ///
    /// # Panics
    /// When the API server refuses.
    pub async fn remove(&mut self, name: &str) {
        self.sandbox
            .api::<McpServer>()
            .delete(name, &DeleteParams::background())
            .await
            .expect("a server that can be deleted");
        self.images.remove(name);
    }

    /// Gives one server another image.
    pub async fn change(&mut self, name: &str, image: &str) {
        self.sandbox.change(name, json!({"image": image})).await;
        self.images.insert(name.to_owned(), image.to_owned());
    }

    /// Gives all servers another image.
    pub async fn change_all(&mut self, image: &str) {
        for name in self.names() {
            self.change(&name, image).await;
        }
    }

    /// The names of the servers.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.images.keys().cloned().collect()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Whether every server has its children, each once, owned by it and of its image; whether nothing else is there;
    /// and whether each status says so of the current spec.
    ///
    /// # Errors
    /// What is not so.
    pub async fn in_order(&self) -> Result<(), String> {
        let servers = self.list::<McpServer>().await?;
        let uids: BTreeMap<String, String> = servers
            .iter()
            .map(|server| (server.name_any(), server.uid().unwrap_or_default()))
            .collect();
        let names: Vec<&String> = uids.keys().collect();
        if names != self.images.keys().collect::<Vec<_>>() {
            return Err(format!("the servers are {names:?}"));
        }
        let deployments = self.list::<Deployment>().await?;
        each_once(&deployments, &uids, "")?;
        each_once(&self.list::<Service>().await?, &uids, "")?;
        each_once(&self.list::<Secret>().await?, &uids, "-keys")?;
        let mut accounts = self.list::<ServiceAccount>().await?;
        // Kubernetes makes this one in every namespace.
        accounts.retain(|account| account.name_any() != "default");
        each_once(&accounts, &uids, "")?;
        // There is none of these for a server without pods.
        let none = BTreeMap::new();
        each_once(&self.list::<PodDisruptionBudget>().await?, &none, "")?;
        each_once(&self.list::<HorizontalPodAutoscaler>().await?, &none, "")?;
        each_once(&self.list::<Ingress>().await?, &none, "")?;
        each_once(&self.list::<NetworkPolicy>().await?, &none, "")?;
        for deployment in deployments {
            let name = deployment.name_any();
            let spec = deployment.spec.unwrap_or_default();
            let pod = spec.template.spec.unwrap_or_default();
            let image = pod
                .containers
                .first()
                .and_then(|container| container.image.clone());
            if image.as_ref() != self.images.get(&name) {
                return Err(format!("Deployment/{name} has {image:?}"));
            }
        }
        servers.iter().try_for_each(|server| {
            let said = |type_: &str, status: &str| {
                let conditions = server.status.iter().flat_map(|known| &known.conditions);
                conditions.clone().any(|c| {
                    c.type_ == type_
                        && c.status == status
                        && c.observed_generation == server.metadata.generation
                })
            };
            let status = server.status.as_ref();
            let current = status.and_then(|s| s.observed_generation) == server.metadata.generation;
            let image = status.and_then(|status| status.image.as_ref());
            let right = current
                && image == self.images.get(&server.name_any())
                && said("Accepted", "True")
                && said("Degraded", "False")
                && said("Progressing", "False");
            if right {
                Ok(())
            } else {
                Err(format!(
                    "{}: {image:?} {}",
                    server.name_any(),
                    conditions::tell(server)
                ))
            }
        })
    }

    async fn list<K>(&self) -> Result<Vec<K>, String>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = self.sandbox.api();
        let list = api.list(&ListParams::default()).await;
        list.map(|list| list.items).map_err(|error| error.to_string())
    }
}

/// Whether there is one object for each of `owners`, owned by it alone, and no other.
fn each_once<K>(objects: &[K], owners: &BTreeMap<String, String>, suffix: &str) -> Result<(), String>
where
    K: Resource<DynamicType = ()>,
{
    let kind = K::kind(&());
    let mut found = BTreeMap::new();
    for object in objects {
        let name = object.name_any();
        let references = object.owner_references();
        let [owner] = references else {
            return Err(format!("{kind}/{name} has the owners {references:?}"));
        };
        found.insert(name, owner.uid.clone());
    }
    let wanted: BTreeMap<String, String> = owners
        .iter()
        .map(|(name, uid)| (format!("{name}{suffix}"), uid.clone()))
        .collect();
    if found == wanted {
        return Ok(());
    }
    let missing: Vec<_> = wanted
        .iter()
        .filter(|(name, uid)| found.get(*name) != Some(uid))
        .collect();
    let more: Vec<_> = found.keys().filter(|name| !wanted.contains_key(*name)).collect();
    Err(format!(
        "{kind}: missing or not theirs {missing:?}, too many {more:?}"
    ))
}
