//! Whether the installed definition of `McpServer` has all that this operator knows.

use std::collections::BTreeMap;

use iam_mcp_crds::McpServer;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::{CustomResourceExt as _, Resource as _};

/// Fields that this operator knows and `installed` lacks, such as `spec.verify`: the API server drops them. Of a field that
/// is missing, those below it are not named.
#[must_use]
pub fn lacks(installed: &CustomResourceDefinition) -> Vec<String> {
    let mut missing = Vec::new();
    if let (Some(ours), Some(theirs)) = (schema(&McpServer::crd()), schema(installed)) {
        compare(&ours, &theirs, "", &mut missing);
    }
    missing
}

fn schema(definition: &CustomResourceDefinition) -> Option<JSONSchemaProps> {
    let version = McpServer::version(&());
    let found = definition
        .spec
        .versions
        .iter()
        .find(|known| known.name == version)?;
    found.schema.as_ref()?.open_api_v3_schema.clone()
}

fn compare(ours: &JSONSchemaProps, theirs: &JSONSchemaProps, at: &str, missing: &mut Vec<String>) {
    if theirs.x_kubernetes_preserve_unknown_fields == Some(true) {
        return;
    }
    let none = BTreeMap::new();
    let known = theirs.properties.as_ref().unwrap_or(&none);
    for (name, property) in ours.properties.iter().flatten() {
        let path = if at.is_empty() {
            name.clone()
        } else {
            format!("{at}.{name}")
        };
        match known.get(name) {
            Some(known) => compare(property, known, &path, missing),
            None => missing.push(path),
        }
    }
    if let (Some(JSONSchemaPropsOrArray::Schema(ours)), Some(JSONSchemaPropsOrArray::Schema(theirs))) =
        (&ours.items, &theirs.items)
    {
        compare(ours, theirs, at, missing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(path: &[&str]) -> CustomResourceDefinition {
        let mut definition = McpServer::crd();
        let version = definition.spec.versions.first_mut().unwrap();
        let mut at = version
            .schema
            .as_mut()
            .unwrap()
            .open_api_v3_schema
            .as_mut()
            .unwrap();
        let (last, above) = path.split_last().unwrap();
        for name in above {
            at = at.properties.as_mut().unwrap().get_mut(*name).unwrap();
        }
        at.properties.as_mut().unwrap().remove(*last).unwrap();
        definition
    }

    #[test]
    fn our_own_lacks_nothing_and_neither_does_a_newer_one() {
        assert_eq!(lacks(&McpServer::crd()), [""; 0]);
        let mut newer = McpServer::crd();
        let version = newer.spec.versions.first_mut().unwrap();
        let schema = version
            .schema
            .as_mut()
            .unwrap()
            .open_api_v3_schema
            .as_mut()
            .unwrap();
        let properties = schema.properties.as_mut().unwrap();
        properties.insert("tomorrow".to_owned(), JSONSchemaProps::default());
        assert_eq!(lacks(&newer), [""; 0]);
    }

    #[test]
    fn what_an_older_one_lacks_is_named() {
        assert_eq!(lacks(&without(&["spec", "verify"])), ["spec.verify"]);
        assert_eq!(
            lacks(&without(&["spec", "sessions", "drainSeconds"])),
            ["spec.sessions.drainSeconds"]
        );
        assert_eq!(lacks(&without(&["status", "template"])), ["status.template"]);
    }
}
