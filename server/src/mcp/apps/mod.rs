//! MCP Apps (SEP-1865, `io.modelcontextprotocol/ui`): what a host shows instead of a tool's text.
//!
//! The page speaks with the host, never with this server. So it is the same for everybody, and serving it is all
//! there is to do here.

use std::sync::LazyLock;

use futures::{
    FutureExt as _,
    future::{self, BoxFuture},
};
use rmcp::{
    ErrorData,
    model::{
        CacheScope, ExtensionCapabilities, JsonObject, MetaObject, ReadResourceResult, Resource,
        ResourceContents, ResourceTemplate,
    },
};
use serde_json::{Value, json};

use super::resources::{Source, not_found};
use crate::http::principal::Principal;

/// The extension's name in `capabilities.extensions`.
const EXTENSION: &str = "io.modelcontextprotocol/ui";

/// The only type of page that the extension knows.
const MIME_TYPE: &str = "text/html;profile=mcp-app";

/// The page that shows what `search_jobs` found.
pub const JOB_CARDS: &str = "ui://iam-mcp-server/job-cards.html";

/// How long hosts may keep a page, in milliseconds: it changes only with the version.
const TTL_MS: u64 = 86_400_000;

/// Its parts put together, at the first read. Files of their own, so that editors and reviewers know what
/// they look at.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    include_str!("job_cards.html")
        .replace("{{style}}", include_str!("job_cards.css"))
        .replace("{{script}}", include_str!("job_cards.js"))
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
});

/// What the server says of the extension in its capabilities.
#[must_use]
pub fn extensions() -> ExtensionCapabilities {
    let settings = object(json!({ "mimeTypes": [MIME_TYPE] }));
    ExtensionCapabilities::from([(EXTENSION.to_owned(), settings)])
}

/// `_meta` of a tool whose results the cards show. The list of tools is the same for all clients, which is what
/// lets them and proxies keep it; a host without the extension ignores it.
#[must_use]
pub fn tool_meta() -> MetaObject {
    MetaObject(object(json!({
        "ui": { "resourceUri": JOB_CARDS, "visibility": ["model", "app"] },
        // As hosts from before 2026 read it; the extension still names it, as deprecated.
        "ui/resourceUri": JOB_CARDS,
    })))
}

/// The pages as resources, under `ui://`.
#[derive(Debug)]
pub struct Pages;

impl Source for Pages {
    fn serves(&self, uri: &str) -> bool {
        uri.starts_with("ui://")
    }

    fn list(&self, _: Principal) -> BoxFuture<'_, Result<Vec<Resource>, ErrorData>> {
        let cards = Resource::new(JOB_CARDS, "job_cards")
            .with_title("Job cards")
            .with_description("Shows what search_jobs found as cards, in hosts with MCP Apps.")
            .with_mime_type(MIME_TYPE)
            .with_size(PAGE.len() as u64)
            .with_meta(page_meta());
        future::ok(vec![cards]).boxed()
    }

    fn templates(&self) -> Vec<ResourceTemplate> {
        Vec::new()
    }

    fn is_private(&self) -> bool {
        false
    }

    fn read<'a>(
        &'a self,
        uri: &'a str,
        _: Principal,
    ) -> BoxFuture<'a, Result<ReadResourceResult, ErrorData>> {
        if uri != JOB_CARDS {
            return future::err(not_found(uri)).boxed();
        }
        let page = ResourceContents::text(PAGE.as_str(), JOB_CARDS)
            .with_mime_type(MIME_TYPE)
            .with_meta(page_meta());
        let read = ReadResourceResult::new(vec![page])
            .with_ttl_ms(TTL_MS)
            .with_cache_scope(CacheScope::Public);
        future::ok(read).boxed()
    }
}

/// The page loads nothing, connects to nothing and needs no permission. Hosts read this from the list and from
/// the content, so it stands in both.
fn page_meta() -> MetaObject {
    MetaObject(object(json!({
        "ui": {
            "csp": { "connectDomains": [], "resourceDomains": [], "frameDomains": [], "baseUriDomains": [] },
            "permissions": {},
            "prefersBorder": true,
        }
    })))
}

fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_whole_and_loads_nothing() {
        assert!(PAGE.len() < 30_000, "{} bytes", PAGE.len());
        assert!(PAGE.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
        assert!(!PAGE.contains("{{"), "a part is missing");
        for foreign in [
            "http://",
            "https://",
            " src=",
            "//fonts",
            "@import",
            "url(\"",
            "<link",
            "fetch(",
            "XMLHttpRequest",
            "import(",
        ] {
            assert!(!PAGE.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn nothing_is_ever_read_as_markup() {
        for sink in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
        ] {
            assert!(!PAGE.contains(sink), "{sink}");
        }
        let script = include_str!("job_cards.js");
        assert!(!script.contains("</script") && !script.contains("<!--"));
        assert!(!include_str!("job_cards.css").contains("</style"));
    }

    #[tokio::test]
    async fn only_its_own_address_is_read() {
        assert!(Pages.read(JOB_CARDS, Principal::ANONYMOUS).await.is_ok());
        for other in [
            "ui://",
            "ui://iam-mcp-server/",
            "ui://iam-mcp-server/job-cards.html/../x",
        ] {
            assert!(Pages.serves(other), "{other}");
            assert!(Pages.read(other, Principal::ANONYMOUS).await.is_err(), "{other}");
        }
        assert!(!Pages.serves("jobs://saved/1"));
    }
}
