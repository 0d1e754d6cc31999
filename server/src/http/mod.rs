//! The router and its middleware, one file each.
//!
//! From the outside in, a request meets: the drain ([`draining`]), the measurement ([`measure`], which gives
//! it its ids: [`request_id`]), the Host and Origin check ([`access`]), CORS ([`cors`]: a preflight has no token and ends
//! here), the token check ([`auth`], which says whose request it is: [`principal`]), the rate limit ([`rate_limit`], by
//! [`client`]), and then a transport, which reads its body by [`body`]. What clients may know before they have a token is
//! in [`resource`]. `/health` meets the first two only.

pub mod access;
pub mod auth;
pub mod body;
pub mod client;
pub mod cors;
pub mod draining;
pub mod health;
pub mod host;
pub mod measure;
pub mod origin;
pub mod principal;
pub mod proxies;
pub mod rate_limit;
pub mod refusal;
pub mod request_id;
pub mod resource;
pub mod router;
pub mod tokens;
