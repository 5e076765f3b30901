//! HTTP: the graph over REST, commits, import and export, live changes, blobs by CID, health, and the OpenAPI document.
//!
//! Deliberately absent: SQL, libp2p, merging, files, environment. Every handler calls [`rustdht_node::Node`]; bridges
//! bring routers of their own, which the composition root merges.
//!
//! ```text
//!   client ──> serve ──> router ──> who asks? (auth) ──> handler ──> Node
//!                                        │                  │
//!                                        └── problem+json ──┘
//! ```
//!
//! ```no_run
//! # async fn start(node: rustdht_node::Node) -> Result<(), Box<dyn std::error::Error>> {
//! use rustdht_gateway::{Config, Readiness, State, router, serve};
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8480").await?;
//! let config = Config { listen: listener.local_addr()?, ..Config::default() };
//! let stopping = tokio_util::sync::CancellationToken::new();
//! let state = State::new(node, config, Readiness::default(), None, stopping.clone())?;
//! serve(listener, router(state), stopping).await;
//! # Ok(()) }
//! ```

#![forbid(unsafe_code)]

mod auth;
mod blobs;
mod body;
mod codes;
mod commits;
mod config;
mod error;
mod etag;
mod export;
mod fields;
mod health;
mod import;
mod ipfs;
pub mod limits;
mod mime;
mod nodes;
mod openapi;
mod pages;
mod problem;
mod query;
mod rfc3339;
mod routes;
pub mod schema;
mod server;
mod shared;
mod status;
mod telemetry;
mod watch;

#[cfg(test)]
mod tests;

pub use codes::HttpCode;
pub use config::{Anonymous, Config, Secret};
pub use error::Error;
pub use health::Readiness;
pub use openapi::{openapi, openapi_json};
pub use routes::router;
pub use server::serve;
pub use shared::{State, check_public_url};
pub use telemetry::{NAMES as METRICS, describe as describe_metrics};
