//! 2026-07-28 in front of a program that may know older versions only: what a request has to bring, and what it and its
//! answer become on the way. Pure.

use axum::http::{HeaderMap, StatusCode};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmcp::model::ProtocolVersion;
use serde_json::{Map, Value, json};

/// The version in which each message stands alone.
pub(super) const VERSION: &str = "2026-07-28";
/// Start of the keys of `_meta` that older versions do not know.
const PREFIX: &str = "io.modelcontextprotocol/";
/// What a message brings: its version, and what its client can do.
const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// Why a request is refused.
#[derive(Debug, PartialEq)]
pub(super) struct Wrong {
    pub(super) status: StatusCode,
    pub(super) code: i64,
    pub(super) message: String,
    pub(super) data: Option<Value>,
}

fn wrong(code: i64, message: impl Into<String>) -> Wrong {
    Wrong {
        status: StatusCode::BAD_REQUEST,
        code,
        message: message.into(),
        data: None,
    }
}

fn mismatch(message: impl Into<String>) -> Wrong {
    wrong(-32020, message)
}

/// Checks a request's `_meta`, and its headers against its body.
pub(super) fn check(headers: &HeaderMap, request: &Value) -> Result<(), Wrong> {
    let method = request["method"].as_str().unwrap_or_default();
    let params = &request["params"];
    let meta = &params["_meta"];
    let Some(version) = meta[PROTOCOL_VERSION].as_str() else {
        return Err(wrong(-32602, format!("params._meta needs {PROTOCOL_VERSION}")));
    };
    if version != VERSION {
        return Err(Wrong {
            data: Some(json!({ "supported": [VERSION], "requested": version })),
            ..wrong(-32022, format!("protocol version {version} is not supported"))
        });
    }
    if !meta[CLIENT_CAPABILITIES].is_object() {
        return Err(wrong(-32602, format!("params._meta needs {CLIENT_CAPABILITIES}")));
    }
    let named = match method {
        "tools/call" | "prompts/get" => params["name"].as_str(),
        "resources/read" => params["uri"].as_str(),
        _ => None,
    };
    for (header, wanted) in [
        ("mcp-protocol-version", Some(version)),
        ("mcp-method", Some(method)),
        ("mcp-name", named),
    ] {
        let Some(wanted) = wanted else { continue };
        let mut given = headers.get_all(header).iter();
        let (Some(value), None) = (given.next(), given.next()) else {
            return Err(mismatch(format!("the header {header} is needed, once")));
        };
        if value.to_str().ok().and_then(plain).as_deref() != Some(wanted) {
            return Err(mismatch(format!(
                "the header {header} is not what the message says"
            )));
        }
    }
    Ok(())
}

/// A header's value as it is meant: what no header can hold comes as `=?base64?…?=`.
fn plain(value: &str) -> Option<String> {
    let coded = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    match coded {
        None => Some(value.to_owned()),
        Some(coded) => String::from_utf8(STANDARD.decode(coded).ok()?).ok(),
    }
}

/// The status of an answer (2026-07-28 `basic/transports/streamable-http`).
pub(super) fn status(answer: &Value) -> StatusCode {
    match answer["error"]["code"].as_i64() {
        Some(-32022..=-32020) => StatusCode::BAD_REQUEST,
        Some(-32601) => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
}

/// Whether a program of an older version cannot answer: the method is none of 2026-07-28, or none that it has.
pub(super) fn is_unknown_to_older(method: &str) -> bool {
    matches!(
        method,
        "initialize"
            | "ping"
            | "logging/setLevel"
            | "resources/subscribe"
            | "resources/unsubscribe"
            | "subscriptions/listen"
    )
}

/// Takes out of a request's params what older versions do not know.
pub(super) fn to_older(params: &mut Value) {
    let Some(params) = params.as_object_mut() else {
        return;
    };
    if let Some(meta) = params.get_mut("_meta").and_then(Value::as_object_mut) {
        meta.retain(|key, _| !key.starts_with(PREFIX));
        if meta.is_empty() {
            params.remove("_meta");
        }
    }
}

/// Puts into an older version's result what 2026-07-28 asks for. All else in it stays.
pub(super) fn from_older(method: &str, result: &mut Value) {
    let Some(result) = result.as_object_mut() else {
        return;
    };
    result.entry("resultType").or_insert_with(|| json!("complete"));
    let cacheable = matches!(
        method,
        "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list" | "resources/read"
    );
    if cacheable {
        cache(result);
    }
}

/// Nothing is known of how long it holds, nor for whom.
fn cache(result: &mut Map<String, Value>) {
    result.entry("ttlMs").or_insert_with(|| json!(0));
    result.entry("cacheScope").or_insert_with(|| json!("private"));
}

/// What `server/discover` is answered for a program that answered `initialize` with `hello`.
pub(super) fn discovered(hello: &Value) -> Value {
    let mut versions = vec![json!(VERSION)];
    versions.extend(hello.get("protocolVersion").cloned());
    let mut capabilities = hello["capabilities"].clone();
    if let Some(capabilities) = capabilities.as_object_mut() {
        // What needs more than an answer, or is no part of 2026-07-28.
        for gone in ["logging", "tasks"] {
            capabilities.remove(gone);
        }
        for capability in capabilities.values_mut().filter_map(Value::as_object_mut) {
            capability.remove("listChanged");
            capability.remove("subscribe");
        }
    } else {
        capabilities = json!({});
    }
    let mut result = Map::new();
    result.insert("supportedVersions".to_owned(), Value::Array(versions));
    result.insert("capabilities".to_owned(), capabilities);
    if let Some(instructions) = hello.get("instructions") {
        result.insert("instructions".to_owned(), instructions.clone());
    }
    let info = json!({ "io.modelcontextprotocol/serverInfo": hello["serverInfo"] });
    result.insert("_meta".to_owned(), info);
    result.insert("resultType".to_owned(), json!("complete"));
    cache(&mut result);
    Value::Object(result)
}

/// What the bridge says of itself, and in which version, to a program of 2026-07-28.
pub(super) fn meta() -> Value {
    json!({ "_meta": {
        PROTOCOL_VERSION: VERSION,
        CLIENT_CAPABILITIES: {},
        "io.modelcontextprotocol/clientInfo": client(),
    }})
}

/// The same to an older one.
pub(super) fn initialize() -> Value {
    json!({
        "protocolVersion": ProtocolVersion::LATEST_WITH_INITIALIZE.as_str(),
        "capabilities": {},
        "clientInfo": client(),
    })
}

fn client() -> Value {
    json!({ "name": "iam-mcp-bridge", "version": env!("CARGO_PKG_VERSION") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str) -> Value {
        json!({ "method": "tools/call", "params": { "name": name, "_meta": {
            PROTOCOL_VERSION: VERSION, CLIENT_CAPABILITIES: {}, "progressToken": 1,
        }}})
    }

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| {
                let name = axum::http::HeaderName::from_static(name);
                (name, value.parse().expect("a value"))
            })
            .collect()
    }

    fn checked(list: &[(&'static str, &str)], request: &Value) -> Result<(), i64> {
        check(&headers(list), request).map_err(|wrong| wrong.code)
    }

    #[test]
    fn headers_must_say_what_the_message_says() {
        let good = [
            ("mcp-protocol-version", VERSION),
            ("mcp-method", "tools/call"),
            ("mcp-name", "echo"),
        ];
        assert_eq!(checked(&good, &call("echo")), Ok(()));
        assert_eq!(checked(&good, &call("other")), Err(-32020));
        assert_eq!(checked(&good[..2], &call("echo")), Err(-32020));
        assert_eq!(checked(&good[1..], &call("echo")), Err(-32020));
        let coded = [good[0], good[1], ("mcp-name", "=?base64?w6Q=?=")];
        assert_eq!(checked(&coded, &call("ä")), Ok(()));
        let mut request = call("echo");
        request["params"]["_meta"][PROTOCOL_VERSION] = json!("2030-01-01");
        assert_eq!(checked(&good, &request), Err(-32022));
        request["params"]["_meta"] = json!({ PROTOCOL_VERSION: VERSION });
        assert_eq!(checked(&good, &request), Err(-32602));
        assert_eq!(checked(&good, &json!({"method": "tools/call"})), Err(-32602));
    }

    #[test]
    fn a_message_changes_as_little_as_it_must() {
        let mut request = call("echo");
        request["params"]["mine"] = json!({"kept": [1]});
        to_older(&mut request["params"]);
        assert_eq!(
            request["params"],
            json!({"name": "echo", "mine": {"kept": [1]}, "_meta": {"progressToken": 1}})
        );
        let mut result = json!({"tools": [], "x-mine": 1, "ttlMs": 5});
        from_older("tools/list", &mut result);
        assert_eq!(
            result,
            json!({"tools": [], "x-mine": 1, "ttlMs": 5, "cacheScope": "private", "resultType": "complete"})
        );
        let mut result = json!({"content": []});
        from_older("tools/call", &mut result);
        assert_eq!(result, json!({"content": [], "resultType": "complete"}));
    }

    #[test]
    fn an_older_program_is_described_without_what_it_cannot_do_here() {
        let hello = json!({
            "protocolVersion": "2025-06-18", "instructions": "be kind", "serverInfo": {"name": "old", "version": "1"},
            "capabilities": {"tools": {"listChanged": true}, "resources": {"subscribe": true}, "logging": {}, "x": {"y": 1}},
        });
        let found = discovered(&hello);
        assert_eq!(found["supportedVersions"], json!([VERSION, "2025-06-18"]));
        assert_eq!(
            found["capabilities"],
            json!({"tools": {}, "resources": {}, "x": {"y": 1}})
        );
        assert_eq!(
            found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
            "old"
        );
        assert_eq!(
            (&found["instructions"], &found["ttlMs"]),
            (&json!("be kind"), &json!(0))
        );
    }

    #[test]
    fn statuses() {
        let status = |code| status(&json!({"error": {"code": code}}));
        assert_eq!(status(-32601), StatusCode::NOT_FOUND);
        assert_eq!(status(-32020), StatusCode::BAD_REQUEST);
        assert_eq!(status(-32602), StatusCode::OK);
    }
}
