//! An MCP server that finds jobs.
//!
//! Messages come in by one of three ways ([`transport`]): stdin, `POST /mcp` (Streamable HTTP, stateless for
//! every protocol revision), and the older pair of `GET /sse` and `POST /messages/`. All three end at the
//! same stateless handler ([`mcp`]), which offers tools, prompts and resources. Jobs come from a provider
//! ([`jobs`]): JSearch when there is a RapidAPI key, else an embedded catalogue of samples. What clients keep of
//! them is in files ([`saved`]).
//!
//! [`bridge`] serves somebody else's program by the same stack. [`app`] wires the parts together and stops them; [`commands`] are what the binary does besides serving; [`http`] holds the router and one file a middleware;
//! [`config`] reads every setting from the environment.

pub mod admin;
pub mod app;
pub mod audit;
pub mod bridge;
pub mod cli;
pub mod commands;
pub mod config;
pub mod drain;
pub mod fresh;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod hex;
pub mod http;
pub mod jobs;
pub mod keyring;
pub mod limits;
pub mod mcp;
pub mod metrics;
pub mod oidc;
pub mod peer;
pub mod saved;
pub mod self_check;
pub mod transport;
