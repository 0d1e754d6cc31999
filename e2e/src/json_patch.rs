//! JSON patches, which say exactly what is to be edited, as `kubectl patch --type=json` sends them.

use kube::{Client, api::DynamicObject};
use serde_json::Value;

/// Sends `operations` to the object `name` below `url`, the address of a list such as `/api/v1/namespaces/a/services`, in
/// the name of `manager`.
///
/// # Errors
/// As the API server answers.
pub async fn send(
    client: &Client,
    url: &str,
    name: &str,
    manager: &str,
    operations: &Value,
) -> kube::Result<DynamicObject> {
    let request = http::Request::patch(format!("{url}/{name}?fieldManager={manager}"))
        .header(http::header::CONTENT_TYPE, "application/json-patch+json")
        .body(operations.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    client.request(request).await
}
