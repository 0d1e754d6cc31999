//! Looks after the keys of one server, of each kind: made where they are missing, and followed by others.

use super::{
    apply::{Owner, Report},
    context::Context,
    key_kinds::KeyKind,
    keys,
    rotation::Material,
};

/// Looks after all keys of `owner`.
pub async fn look_after(context: &Context, owner: &Owner, report: &mut Report) {
    for kind in owner.key_kinds() {
        look_after_kind(context, owner, kind, report).await;
    }
    // After a failure nothing is known of what is waited for.
    if report.failed.is_none() {
        let server = (owner.namespace.clone(), owner.name.clone());
        context.pods.set_rotating(&server, report.rotation.waits_for_pods);
    }
}

/// Makes the keys of one kind, or takes the next step in the way from one to the next.
async fn look_after_kind(context: &Context, owner: &Owner, kind: &'static KeyKind, report: &mut Report) {
    let is_session_key = kind.material == Material::SessionKey;
    match keys::ensure(context, owner, kind).await {
        Ok(keys::Outcome::Rests) if is_session_key => keys::rest(context, owner),
        Ok(keys::Outcome::Rests) => {}
        Ok(keys::Outcome::Unchanged(secret)) => {
            if is_session_key {
                let server = (owner.namespace.clone(), owner.name.clone());
                context.pods.set_drain_keys(&server, || keys::drain_keys(&secret));
            }
            match keys::rotate(context, owner, kind, &secret).await {
                Ok(rotation) => report.rotation.join(rotation),
                Err(error) => {
                    report.failed.get_or_insert(error);
                }
            }
        }
        Ok(keys::Outcome::Created) => {
            context.metrics.write("Secret", "create");
            report
                .created
                .push(format!("Secret/{}{}", owner.name, kind.suffix));
        }
        Ok(keys::Outcome::Adopted) => report
            .adopted
            .push(format!("Secret/{}{}", owner.name, kind.suffix)),
        Ok(keys::Outcome::Blocked(blocked)) => report.blocked.push(blocked),
        Err(error) => {
            report.failed.get_or_insert(error);
        }
    }
}
