//! How replicas pass messages to each other: a POST for a session may come to any of them, and goes in one hop
//! to the one that has its stream.
//!
//! On a port of its own, HTTP/1.1 inside an encrypted channel ([`channel`]) whose other end has proved, before
//! it is sent anything, that it is the pod that is meant and knows the key: pods' addresses are used again, by
//! pods of other tenants too. [`pool`] is the sending side, [`serve`] the
//! receiving one; [`known`] remembers who there is.

pub mod channel;
pub mod known;
pub mod pool;
pub mod serve;

use axum::http::HeaderName;

/// Takes a message for a session.
const MESSAGE: &str = "/message";

/// Hears under which id the client of a session has gone on with it.
const WENT_ON: &str = "/went-on";

/// Which session is meant; in an answer of [`MESSAGE`], where its client has gone on.
const SESSION: HeaderName = HeaderName::from_static("x-iam-mcp-session");

/// Who passes the message on; in an answer, whom the other side knows.
const REPLICAS: HeaderName = HeaderName::from_static("x-iam-mcp-replicas");

/// Whose session it is.
const PRINCIPAL: HeaderName = HeaderName::from_static("x-iam-mcp-principal");

/// Whom limits count it for.
const CLIENT: HeaderName = HeaderName::from_static("x-iam-mcp-client");
