//! What the controllers of known Ingress classes have to be told so that an event stream stays open.
//!
//! The class is known by its name, whole or as a word of it (`nginx`, `internal-nginx`): it needs no cluster to say,
//! so `render` says the same. Where two controllers share a name, both are told; neither reads the other's.

use std::collections::BTreeMap;

use iam_mcp_crds::{IngressSpec, Reason};

use super::ValidatedServer;
use crate::controller::error::Blocked;

/// What a controller does to a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Class {
    /// ingress-nginx and NGINX Ingress Controller: 60 s between two reads; the second buffers.
    Nginx,
    /// The `HAProxy` project's own and haproxy-ingress: 50 s of silence.
    Haproxy,
    /// Contour: 15 s for the whole answer.
    Contour,
    /// Kong buffers answers.
    Kong,
    /// Passes streams on as they are: Traefik; Istio; an ALB, which ends a connection after 60 s of silence only, of
    /// which there are no more than 15 on a stream of the server's.
    Passes,
    /// Google's load balancer: 30 s for the whole answer, which an object beside the Ingress raises.
    Gce,
}

/// Names of classes, whole or as a word.
const KNOWN: &[(&str, Class)] = &[
    ("nginx", Class::Nginx),
    // Azure's application routing is ingress-nginx.
    ("webapprouting", Class::Nginx),
    ("haproxy", Class::Haproxy),
    ("contour", Class::Contour),
    ("kong", Class::Kong),
    ("traefik", Class::Passes),
    ("istio", Class::Passes),
    ("alb", Class::Passes),
    ("gce", Class::Gce),
];

/// The annotation of a Service that names what raises Google's limit.
const BACKEND_CONFIG: &str = "cloud.google.com/backend-config";

fn class(name: &str) -> Option<Class> {
    let words = || name.split(['-', '.', '_']);
    KNOWN
        .iter()
        .find(|(known, _)| words().any(|word| word == *known))
        .map(|(_, class)| *class)
}

/// The Ingress' annotations: what its class needs, and what the resource gives, which wins.
pub(super) fn annotations(ingress: &IngressSpec) -> BTreeMap<String, String> {
    let needed: &[(&str, &str)] = match ingress.class_name.as_deref().and_then(class) {
        Some(Class::Nginx) => &[
            ("nginx.ingress.kubernetes.io/proxy-buffering", "off"),
            ("nginx.ingress.kubernetes.io/proxy-read-timeout", "3600"),
            ("nginx.ingress.kubernetes.io/proxy-send-timeout", "3600"),
            ("nginx.org/proxy-buffering", "false"),
            ("nginx.org/proxy-read-timeout", "3600s"),
            ("nginx.org/proxy-send-timeout", "3600s"),
        ],
        Some(Class::Haproxy) => &[
            ("haproxy-ingress.github.io/timeout-server", "1h"),
            ("haproxy.org/timeout-server", "1h"),
        ],
        Some(Class::Contour) => &[("projectcontour.io/response-timeout", "infinity")],
        Some(Class::Kong) => &[("konghq.com/response-buffering", "false")],
        Some(Class::Passes | Class::Gce) | None => &[],
    };
    let mut annotations: BTreeMap<String, String> = needed
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    annotations.extend(ingress.annotations.clone());
    annotations
}

/// What a person should know of the Ingress' class. Nothing where it has annotations of its own, with which somebody
/// has seen to it, or the cluster's default class, which cannot be told from here.
#[must_use]
pub fn notice(server: &ValidatedServer) -> Option<Blocked> {
    let ingress = server.ingress.as_ref()?;
    let name = ingress.class_name.as_deref()?;
    match class(name) {
        Some(Class::Gce) if !server.service.annotations.contains_key(BACKEND_CONFIG) => Some(Blocked {
            reason: Reason::IngressEndsStreams,
            message: format!(
                "Ingress class {name:?} ends every answer after 30 s, event streams too; make a BackendConfig with a larger \
                 timeoutSec and name it in spec.service.annotations[{BACKEND_CONFIG}]"
            ),
        }),
        None if ingress.annotations.is_empty() => Some(Blocked {
            reason: Reason::IngressClassUnknown,
            message: format!(
                "it is not known whether Ingress class {name:?} keeps event streams open; look up its settings for \
                 read timeouts and buffering, and put them into spec.ingress.annotations (any annotation there ends this warning)"
            ),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_known_by_a_word_of_its_name() {
        for (name, want) in [
            ("nginx", Some(Class::Nginx)),
            ("internal-nginx", Some(Class::Nginx)),
            ("webapprouting.kubernetes.azure.com", Some(Class::Nginx)),
            ("gce-internal", Some(Class::Gce)),
            ("traefik", Some(Class::Passes)),
            ("public", None),
            ("mynginx", None),
        ] {
            assert_eq!(class(name), want, "{name}");
        }
    }

    #[test]
    fn what_the_resource_gives_wins() {
        let key = "projectcontour.io/response-timeout".to_owned();
        let given = IngressSpec {
            class_name: Some("contour".to_owned()),
            annotations: BTreeMap::from([(key.clone(), "60s".to_owned())]),
            ..IngressSpec::default()
        };
        assert_eq!(annotations(&given), given.annotations);
        let bare = IngressSpec {
            annotations: BTreeMap::new(),
            ..given
        };
        assert_eq!(annotations(&bare)[&key], "infinity");
    }

    #[test]
    fn the_default_class_is_told_nothing() {
        assert!(annotations(&IngressSpec::default()).is_empty());
    }
}
