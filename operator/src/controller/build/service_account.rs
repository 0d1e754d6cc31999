//! The pods' identity. It may do nothing, and no token is mounted.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::{ValidatedServer, metadata};

pub(super) fn build(server: &ValidatedServer) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(server),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
