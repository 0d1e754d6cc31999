//! The Secrets `NAME-keys`, or `NAME-token`, by their metadata: enough to know of nearly all of them that they need no look inside. So a
//! pass reads none, and a start does not read one for each server.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use kube::core::ObjectMeta;
use parking_lot::RwLock;

use super::{
    apply::Owner,
    cache::{controller_uid, newer},
    context::full_name,
    index::Name,
    key_kinds::{KeyKind, SESSION},
    keys,
    uid::Uid,
};
use crate::OPERATOR;

/// All Secrets that have the name of one with keys, by server; also those of somebody else.
#[derive(Debug)]
pub struct KeySecrets {
    kind: &'static KeyKind,
    known: RwLock<HashMap<Name, Known>>,
}

#[derive(Debug, Eq, PartialEq)]
struct Known {
    uid: Uid,
    owner: Option<Uid>,
    version: Box<str>,
    /// Whether the sealing key is as this operator wrote it, and no rotation is under way.
    rests: bool,
    /// The wish for a new key that was last acted on.
    acted_on: Option<Box<str>>,
    /// When the key in use came into use.
    made: Option<Timestamp>,
}

impl Known {
    fn new(kind: &KeyKind, metadata: &ObjectMeta) -> Self {
        let text = |text: Option<&String>| text.map(|text| text.as_str().into());
        let noted = metadata.annotations.as_ref();
        let holds = |key: &str, ours: bool| {
            let field = format!("f:{key}");
            let entries = metadata.managed_fields.iter().flatten();
            entries
                .filter(|entry| !ours || entry.manager.as_deref() == Some(OPERATOR))
                .filter_map(|entry| entry.fields_v1.as_ref())
                .any(|fields| fields.0["f:data"].get(&field).is_some())
        };
        Self {
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            owner: controller_uid(metadata).as_deref().map(Uid::from),
            version: text(metadata.resource_version.as_ref()).unwrap_or_default(),
            // Whoever writes a value takes it over, so what is still ours is what we wrote.
            rests: holds(kind.current, true)
                && kind.derived.is_none_or(|(derived, _)| holds(derived, true))
                && !holds(kind.next, false)
                && !holds(kind.previous, false)
                && noted.is_none_or(|noted| !noted.contains_key(kind.since)),
            acted_on: text(noted.and_then(|noted| noted.get(kind.rotate))),
            made: keys::made(kind, metadata),
        }
    }
}

impl Default for KeySecrets {
    fn default() -> Self {
        Self::new(&SESSION)
    }
}

impl KeySecrets {
    /// None of a kind.
    #[must_use]
    pub fn new(kind: &'static KeyKind) -> Self {
        Self {
            kind,
            known: RwLock::default(),
        }
    }

    /// The server whose keys a Secret of this name would hold.
    #[must_use]
    pub fn server_of(&self, secret: &Name) -> Option<Name> {
        let server = secret.1.strip_suffix(self.kind.suffix)?;
        Some((secret.0.clone(), server.to_owned()))
    }

    /// Takes in a Secret as it was seen, or as the API server answered. Gives its server if that is news for it.
    pub fn see(&self, metadata: &ObjectMeta) -> Option<Name> {
        let server = self.server_of(&full_name(metadata))?;
        let seen = Known::new(self.kind, metadata);
        let mut known = self.known.write();
        if let Some(before) = known.get_mut(&server) {
            if before.uid == seen.uid && newer(&before.version, &seen.version) {
                return None;
            }
            let news = before.uid != seen.uid
                || before.owner != seen.owner
                || before.rests != seen.rests
                || !seen.rests
                || before.acted_on != seen.acted_on
                || before.made != seen.made;
            *before = seen;
            return news.then_some(server);
        }
        known.insert(server.clone(), seen);
        Some(server)
    }

    /// Forgets a Secret that is gone. Gives its server if it was known.
    pub fn remove(&self, metadata: &ObjectMeta) -> Option<Name> {
        let server = self.server_of(&full_name(metadata))?;
        let mut known = self.known.write();
        let uid = metadata.uid.as_deref().unwrap_or_default();
        known.get(&server).filter(|known| known.uid.is(uid))?;
        known.remove(&server);
        Some(server)
    }

    /// After a new list: forgets the Secrets of `namespace` (or of all) that it did not have, and gives their servers.
    pub fn retain_listed(&self, namespace: Option<&str>, listed: &HashSet<Name>) -> Vec<Name> {
        let mut known = self.known.write();
        let gone = known.extract_if(|server, _| {
            let in_scope = namespace.is_none_or(|namespace| namespace == server.0);
            in_scope && !listed.contains(server)
        });
        gone.map(|(server, _)| server).collect()
    }

    /// Whether there is a Secret of that name, whosever it is.
    #[must_use]
    pub fn exists(&self, server: &Name) -> bool {
        self.known.read().contains_key(server)
    }

    /// Whether the Secret of `owner` is as it should be, and nothing is asked of it.
    #[must_use]
    pub fn rests(&self, owner: &Owner) -> bool {
        let known = self.known.read();
        known
            .get(&(owner.namespace.clone(), owner.name.clone()))
            .is_some_and(|known| {
                let wish = owner.wish(self.kind);
                let wanted = wish.asked.as_deref();
                known.rests
                    && !wish.is_due(known.made, Timestamp::now())
                    && known.owner.as_ref().is_some_and(|uid| uid.is(&owner.uid))
                    && wanted.is_none_or(|wanted| known.acted_on.as_deref() == Some(wanted))
            })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
    use serde_json::{Value, json};

    use super::*;
    use crate::controller::{key_kinds::TOKEN, keys::Wish};

    const OWNER: &str = "0e7b5d7c-0000-4000-8000-000000000001";

    fn owner(rotate: Option<&str>) -> Owner {
        Owner {
            shares_keys: true,
            name: "jobs".to_owned(),
            namespace: "n".to_owned(),
            uid: OWNER.to_owned(),
            reference: OwnerReference::default(),
            keys: Wish {
                asked: rotate.map(str::to_owned),
                every: None,
            },
            token: None,
            template: crate::controller::apply::TemplateOf::default(),
        }
    }

    fn secret(version: &str, manager: &str, data: &Value, annotations: &Value) -> ObjectMeta {
        serde_json::from_value(json!({
            "name": "jobs-keys", "namespace": "n", "uid": "u", "resourceVersion": version, "annotations": annotations,
            "ownerReferences": [{"apiVersion": "v", "kind": "McpServer", "name": "jobs", "uid": OWNER, "controller": true}],
            "managedFields": [
                {"manager": manager, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": data}},
                {"manager": "person", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {}}}},
            ],
        }))
        .unwrap()
    }

    fn rests(metadata: &ObjectMeta, rotate: Option<&str>) -> bool {
        let secrets = KeySecrets::default();
        secrets.see(metadata);
        secrets.rests(&owner(rotate))
    }

    #[test]
    fn a_key_that_is_as_we_wrote_it_needs_no_look() {
        let key = json!({".": {}, "f:session-key": {}});
        assert!(rests(&secret("1", OPERATOR, &key, &json!({})), None));
        assert!(
            !rests(&secret("1", "person", &key, &json!({})), None),
            "somebody wrote another"
        );
        assert!(
            !rests(&secret("1", OPERATOR, &json!({}), &json!({})), None),
            "somebody removed it"
        );
        let since = json!({SESSION.since: "2026-01-01T00:00:00Z"});
        assert!(
            !rests(&secret("1", OPERATOR, &key, &since), None),
            "a rotation is under way"
        );
        let next = json!({"f:session-key": {}, "f:session-key-next": {}});
        assert!(!rests(&secret("1", OPERATOR, &next, &json!({})), None));
    }

    #[test]
    fn a_wish_for_a_new_key_is_looked_at_once() {
        let key = json!({"f:session-key": {}});
        let done = secret("1", OPERATOR, &key, &json!({SESSION.rotate: "a"}));
        assert!(rests(&done, Some("a")) && rests(&done, None));
        assert!(!rests(&done, Some("b")));
    }

    #[test]
    fn an_older_event_does_not_undo_a_newer_answer() {
        let secrets = KeySecrets::default();
        let key = json!({"f:session-key": {}});
        let server = ("n".to_owned(), "jobs".to_owned());
        assert_eq!(
            secrets.see(&secret("5", OPERATOR, &key, &json!({}))),
            Some(server.clone())
        );
        assert_eq!(secrets.see(&secret("4", "person", &key, &json!({}))), None);
        assert!(secrets.rests(&owner(None)));
        assert_eq!(
            secrets.see(&secret("6", OPERATOR, &key, &json!({}))),
            None,
            "a label is no news"
        );
        assert_eq!(
            secrets.remove(&secret("7", OPERATOR, &key, &json!({}))),
            Some(server.clone())
        );
        assert!(!secrets.exists(&server));
    }

    #[test]
    fn a_new_list_forgets_what_it_lacks() {
        let secrets = KeySecrets::default();
        secrets.see(&secret("1", OPERATOR, &json!({}), &json!({})));
        assert!(secrets.retain_listed(Some("other"), &HashSet::new()).is_empty());
        assert_eq!(secrets.retain_listed(Some("n"), &HashSet::new()).len(), 1);
    }

    #[test]
    fn a_key_that_is_too_old_is_looked_at() {
        let secrets = KeySecrets::default();
        let key = json!({"f:session-key": {}});
        let made = Timestamp::now() - jiff::SignedDuration::from_hours(200);
        secrets.see(&secret("1", OPERATOR, &key, &json!({SESSION.made: made})));
        let every = |hours| Owner {
            keys: Wish {
                asked: None,
                every: Some(jiff::SignedDuration::from_hours(hours)),
            },
            ..owner(None)
        };
        assert!(secrets.rests(&owner(None)) && secrets.rests(&every(201)));
        assert!(!secrets.rests(&every(192)));
    }

    #[test]
    fn a_token_rests_while_its_file_is_ours_too() {
        let secrets = KeySecrets::new(&TOKEN);
        let owner = Owner {
            token: Some(Wish::default()),
            ..owner(None)
        };
        let named = |data: &Value| ObjectMeta {
            name: Some("jobs-token".to_owned()),
            ..secret("1", OPERATOR, data, &json!({}))
        };
        secrets.see(&named(&json!({"f:token": {}, "f:tokens": {}})));
        assert!(secrets.rests(&owner));
        let secrets = KeySecrets::new(&TOKEN);
        secrets.see(&named(&json!({"f:token": {}})));
        assert!(!secrets.rests(&owner), "somebody wrote another file");
    }
}
