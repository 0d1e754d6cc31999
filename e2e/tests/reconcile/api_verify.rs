//! What the API server takes of `verify`, and of what follows from it.

use serde_json::json;

use crate::api::check;

#[tokio::test]
async fn ways_to_verify() {
    check(vec![
        (json!({"verify": "Probe"}), Ok(())),
        (json!({"verify": "Gate"}), Ok(())),
        (json!({"verify": "Off"}), Ok(())),
        (json!({"verify": "gate"}), Err("spec.verify")),
        (json!({"verify": ""}), Err("spec.verify")),
    ])
    .await;
}

#[tokio::test]
async fn an_automatic_affinity_needs_somebody_who_asks() {
    let help = "service.sessionAffinity: Auto follows from what the server answers";
    let automatic = json!({"sessionAffinity": "Auto"});
    check(vec![
        (json!({"service": automatic}), Ok(())),
        (json!({"service": automatic, "verify": "Probe"}), Ok(())),
        (json!({"service": automatic, "verify": "Gate"}), Ok(())),
        (json!({"service": automatic, "verify": "Off"}), Err(help)),
        (
            json!({"service": {"sessionAffinity": "None"}, "verify": "Off"}),
            Ok(()),
        ),
        (json!({"service": {}, "verify": "Off"}), Ok(())),
        (
            json!({"service": {"sessionAffinity": "auto"}}),
            Err("sessionAffinity"),
        ),
    ])
    .await;
}
