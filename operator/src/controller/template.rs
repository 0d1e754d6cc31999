//! Whether a pod template may change now.
//!
//! Pods are made anew when their template changes, and that is for people to ask for: by a change of the spec, or
//! by an operator that runs with `--roll-default-image`. A new release of the operator renders other templates and
//! has another default image, and neither is a reason to touch a server that runs. So the status says from what the
//! current template was made, and a template that differs without a change of the spec is held back.

use iam_mcp_crds::{McpServer, TemplateRecord};
use serde_json::Value;

use super::{
    apply::TemplateOf,
    owned::{Digest, digest, short_hex},
};

/// Fields of the spec that are in no template: a change of them is no reason for new pods.
const BESIDE_THE_TEMPLATE: &[&str] = &["autoscaling", "operatorClass", "paused", "replicas", "rollout"];

/// What becomes of a template.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It is applied, if it differs at all.
    Apply,
    /// It differs from the live one only because another operator, or other flags, made that: it is held back.
    Hold,
}

/// Digest of what a person asked for, as far as pods depend on it.
///
/// # Errors
/// When the spec cannot be written as JSON.
pub fn asked_for(server: &McpServer) -> Result<String, serde_json::Error> {
    let mut spec = serde_json::to_value(&server.spec)?;
    if let Value::Object(fields) = &mut spec {
        fields.retain(|name, _| !BESIDE_THE_TEMPLATE.contains(&name.as_str()));
        // Of the Service, pods know by which names it is called.
        if let Some(Value::Object(service)) = fields.get_mut("service") {
            service.retain(|name, _| name == "hostnames");
        }
    }
    // When keys are followed by others is between the operator and their Secrets.
    for (object, field) in [
        ("/sessions", "rotateKeyEvery"),
        ("/auth/bearer/generated", "rotateEvery"),
    ] {
        if let Some(Value::Object(object)) = spec.pointer_mut(object) {
            object.remove(field);
        }
    }
    if let Value::Object(fields) = &mut spec {
        fields.retain(|_, value| value.as_object().is_none_or(|object| !object.is_empty()));
    }
    Ok(short_hex(&digest(&spec)))
}

/// Decides for a template that is rendered as `rendered` from `of`, while the live one, if any, is `live`.
#[must_use]
pub fn fate(of: &TemplateOf, rendered: &Digest, live: Option<&Digest>) -> Fate {
    let Some(live) = live else {
        return Fate::Apply;
    };
    if live == rendered {
        return Fate::Apply;
    }
    let hold = match &of.record {
        // An operator that kept no record made it.
        None => of.seen,
        Some(record) => {
            record.asked_for == of.asked_for
                // What the pods have as environment changed. One that was made without a look at that waits: its pods
                // never followed it.
                && (record.references.is_none() || record.references == of.references)
                // Somebody changed it: there is nothing left to hold on to.
                && record.live == short_hex(live)
                // The API server has written in another form what we would apply now.
                && record.rendered != short_hex(rendered)
        }
    };
    if hold { Fate::Hold } else { Fate::Apply }
}

/// The record of a template that was applied as `rendered`. `live` is what the API server made of it; `None` when somebody has
/// changed it already. That it was applied is recorded all the same: without a record, the next pass would take the changed one
/// for the work of an operator that kept none, and hold on to it.
#[must_use]
pub fn record(
    asked_for: &str,
    references: Option<String>,
    rendered: &Digest,
    live: Option<&Digest>,
) -> TemplateRecord {
    TemplateRecord {
        asked_for: asked_for.to_owned(),
        rendered: short_hex(rendered),
        live: short_hex(live.unwrap_or(rendered)),
        references,
    }
}

#[cfg(test)]
mod tests {
    use iam_mcp_crds::McpServerSpec;

    use super::*;

    const OLD: Digest = [1; 16];
    const NEW: Digest = [2; 16];

    fn record(asked_for: &str) -> TemplateRecord {
        TemplateRecord {
            asked_for: asked_for.to_owned(),
            rendered: short_hex(&OLD),
            live: short_hex(&OLD),
            references: None,
        }
    }

    fn of(asked_for: &str, record: Option<&TemplateRecord>, seen: bool) -> TemplateOf {
        TemplateOf {
            asked_for: asked_for.to_owned(),
            record: record.cloned(),
            seen,
            references: None,
        }
    }

    #[test]
    fn only_the_operators_own_change_is_held_back() {
        let same = record("spec");
        let decide = |asked_for, rendered, live: Option<&Digest>, record: Option<&TemplateRecord>| {
            fate(&of(asked_for, record, true), rendered, live)
        };
        assert_eq!(
            decide("spec", &NEW, Some(&OLD), Some(&same)),
            Fate::Hold,
            "an upgrade"
        );
        assert_eq!(
            decide("other", &NEW, Some(&OLD), Some(&same)),
            Fate::Apply,
            "the spec changed"
        );
        assert_eq!(
            decide("spec", &OLD, Some(&[3; 16]), Some(&same)),
            Fate::Apply,
            "drift"
        );
        assert_eq!(
            decide("spec", &NEW, Some(&[3; 16]), Some(&same)),
            Fate::Apply,
            "drift, and an upgrade"
        );
        assert_eq!(decide("spec", &NEW, None, Some(&same)), Fate::Apply, "it is gone");
        assert_eq!(
            decide("spec", &NEW, Some(&NEW), None),
            Fate::Apply,
            "nothing to do"
        );
    }

    #[test]
    fn a_template_of_an_operator_without_records_is_held_unless_the_spec_is_new() {
        assert_eq!(fate(&of("spec", None, true), &NEW, Some(&OLD)), Fate::Hold);
        assert_eq!(fate(&of("spec", None, false), &NEW, Some(&OLD)), Fate::Apply);
    }

    #[test]
    fn a_template_that_was_changed_while_it_was_made_is_not_held() {
        let made = super::record("spec", None, &OLD, None);
        assert_eq!(
            fate(&of("spec", Some(&made), true), &OLD, Some(&NEW)),
            Fate::Apply
        );
        let other_form = super::record("spec", None, &OLD, Some(&NEW));
        assert_eq!(other_form.live, short_hex(&NEW));
    }

    #[test]
    fn what_the_api_server_writes_otherwise_is_no_upgrade() {
        let record = TemplateRecord {
            live: short_hex(&NEW),
            ..record("spec")
        };
        assert_eq!(
            fate(&of("spec", Some(&record), true), &OLD, Some(&NEW)),
            Fate::Apply
        );
    }

    #[test]
    fn other_content_of_what_pods_refer_to_is_a_reason_for_new_pods() {
        let decide = |before: Option<&str>, now: Option<&str>| {
            let record = TemplateRecord {
                references: before.map(str::to_owned),
                ..record("spec")
            };
            let of = TemplateOf {
                references: now.map(str::to_owned),
                ..of("spec", Some(&record), true)
            };
            fate(&of, &NEW, Some(&OLD))
        };
        assert_eq!(decide(Some("a"), Some("b")), Fate::Apply);
        assert_eq!(decide(Some("a"), Some("a")), Fate::Hold, "an upgrade");
        assert_eq!(
            decide(None, Some("a")),
            Fate::Hold,
            "the upgrade that began to look at it"
        );
        assert_eq!(decide(None, None), Fate::Hold);
    }

    #[test]
    fn what_is_beside_the_template_asks_for_no_new_pods() {
        let server = |spec| McpServer::new("jobs", spec);
        let plain = server(McpServerSpec::default());
        let more = server(McpServerSpec {
            replicas: Some(7),
            operator_class: Some("blue".to_owned()),
            ..McpServerSpec::default()
        });
        let beside =
            server(serde_json::from_value(serde_json::json!({"service": {"port": 8000}})).expect("a spec"));
        assert_eq!(
            asked_for(&plain).expect("a spec"),
            asked_for(&beside).expect("a spec")
        );
        let token = |every: Option<&str>| {
            let auth = serde_json::json!({"auth": {"bearer": {"generated": {"rotateEvery": every}}}});
            asked_for(&server(serde_json::from_value(auth).expect("a spec"))).expect("a spec")
        };
        assert_eq!(token(None), token(Some("720h")));
        let other = server(McpServerSpec {
            image: Some("image:2".to_owned()),
            ..McpServerSpec::default()
        });
        let asked = |server| asked_for(server).expect("a spec");
        assert_eq!(asked(&plain), asked(&more));
        assert_ne!(asked(&plain), asked(&other));
    }
}
