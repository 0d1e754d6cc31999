//! Speaks MCP with one server: who it is, which versions it speaks, and which tools it has.

use iam_mcp_crds::Protocol;
use serde_json::{Value, json};

use super::{
    Endpoint, Failure, LIMIT,
    answer::{Discovered, Implementation, Initialized, ToolsPage},
    line::{Headers, Line},
    said::Said,
    tools::Tools,
};

/// The version in which each message says everything.
const MODERN: &str = "2026-07-28";
/// The last one that begins with `initialize`.
const LEGACY: &str = "2025-11-25";
/// Pages of tools that are read.
const PAGES: usize = 16;
/// The first request of the newer era.
const DISCOVER: &str = "server/discover";
/// The first request of the older one.
const INITIALIZE: &str = "initialize";

/// Asks the server at `endpoint`. `sessions` says whether it is worth a question whether it has sessions.
///
/// # Errors
/// When it does not answer, or not as MCP says.
pub async fn ask(endpoint: &Endpoint, sessions: bool) -> Result<Said, Failure> {
    let asking = async {
        let mut line = Line::new(endpoint);
        let said = match endpoint.protocol {
            Protocol::Stateless => modern(&mut line, sessions).await,
            Protocol::Legacy => legacy(&mut line).await,
            Protocol::Auto => match modern(&mut line, sessions).await {
                // What speaks the older era alone may answer anything.
                Err(failure) if failure.is_an_answer() => legacy(&mut line).await,
                outcome => outcome,
            },
        }?;
        if let Some(path) = &endpoint.sse_path {
            line.opens_stream(path).await?;
        }
        Ok(said)
    };
    tokio::time::timeout(LIMIT, asking)
        .await
        .unwrap_or(Err(Failure::Timeout))
}

async fn modern(line: &mut Line<'_>, sessions: bool) -> Result<Said, Failure> {
    let headers = Headers {
        version: Some(MODERN.to_owned()),
        modern: true,
        session: None,
    };
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": client(),
    });
    let params = json!({"_meta": meta});
    let (found, _) = line
        .request::<Discovered>(DISCOVER, params.clone(), &headers)
        .await?;
    let tools = if found.capabilities.has_tools() {
        tools(line, &params, &headers).await?
    } else {
        Tools::default()
    };
    let older = found
        .supported_versions
        .iter()
        .any(|version| version.as_str() < MODERN);
    let stateful = match (sessions, older) {
        (false, _) => None,
        (true, false) => Some(false),
        // Where it says that it speaks the older era and does not, nothing is known of sessions.
        (true, true) => match initialize(line).await {
            Ok((_, headers)) => Some(end(line, &headers).await),
            Err(_) => None,
        },
    };
    Ok(told(
        &found.identity(),
        &found.supported_versions,
        tools,
        stateful,
    ))
}

async fn legacy(line: &mut Line<'_>) -> Result<Said, Failure> {
    let (hello, headers) = initialize(line).await?;
    let listed = if hello.capabilities.has_tools() {
        tools(line, &json!({}), &headers).await
    } else {
        Ok(Tools::default())
    };
    let stateful = end(line, &headers).await;
    let versions = [hello.protocol_version];
    Ok(told(&hello.server_info, &versions, listed?, Some(stateful)))
}

async fn initialize(line: &mut Line<'_>) -> Result<(Initialized, Headers), Failure> {
    let params = json!({"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": client()});
    let (hello, session) = line
        .request::<Initialized>(INITIALIZE, params, &Headers::default())
        .await?;
    let headers = Headers {
        version: Some(hello.protocol_version.clone()),
        modern: false,
        session,
    };
    line.tell("notifications/initialized", &headers).await?;
    Ok((hello, headers))
}

/// Ends the session, if there is one: one that nobody ends would live on until it times out. Says whether there was.
async fn end(line: &mut Line<'_>, headers: &Headers) -> bool {
    if headers.session.is_some() {
        // Servers need not let clients do so.
        let _ = line.end(headers).await;
    }
    headers.session.is_some()
}

async fn tools(line: &mut Line<'_>, params: &Value, headers: &Headers) -> Result<Tools, Failure> {
    let mut all = Vec::new();
    let mut cursor = None;
    for _ in 0..PAGES {
        let mut params = params.clone();
        if let Some(cursor) = cursor.take() {
            params["cursor"] = Value::String(cursor);
        }
        let (page, _) = line.request::<ToolsPage>("tools/list", params, headers).await?;
        all.extend(page.tools);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(Tools::new(all))
}

fn told(identity: &Implementation, versions: &[String], tools: Tools, stateful: Option<bool>) -> Said {
    Said::bounded(&identity.name, &identity.version, versions, tools, stateful)
}

fn client() -> Value {
    json!({"name": crate::OPERATOR, "version": env!("CARGO_PKG_VERSION")})
}
