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
//! # async fn start(node: rustdht_node::Node, system: rustdht_gateway::System) -> Result<(), Box<dyn std::error::Error>> {
//! use rustdht_gateway::{Config, Readiness, State, router, serve};
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8480").await?;
//! let config = Config { listen: listener.local_addr()?, ..Config::default() };
//! let stopping = tokio_util::sync::CancellationToken::new();
//! let state = State::new(node, config, system, Readiness::default(), None, stopping.clone())?;
//! serve(listener, router(state), stopping).await;
//! # Ok(()) }
//! ```

#![forbid(unsafe_code)]

mod accounts;
mod admin;
mod attempts;
mod auth;
mod blobs;
mod body;
mod certificates;
mod codes;
mod commits;
mod config;
mod content;
mod denylist;
mod error;
mod etag;
mod export;
mod fields;
mod health;
mod history;
mod import;
mod ipfs;
pub mod limits;
mod mime;
mod multipart;
mod names;
mod nodes;
mod openapi;
mod pages;
mod pins;
mod previews;
mod private_files;
mod problem;
mod query;
mod recipients;
mod rfc3339;
mod routes;
mod routing;
pub mod schema;
mod schemas;
mod server;
mod shared;
mod status;
mod telemetry;
mod tokens;
mod uploads;
mod watch;
mod yjs;

#[cfg(test)]
mod tests;

pub use codes::HttpCode;
pub use config::{Anonymous, Config, Ipfs, Registration, Secret, System};
pub use error::Error;
pub use health::Readiness;
pub use ipfs::{Denial, Denied, Root};
pub use openapi::{openapi, openapi_json};
pub use rfc3339::from_ms as rfc3339;
pub use routes::router;
pub use server::serve;
pub use shared::{State, check_ipfs, check_public_url};
pub use telemetry::{NAMES as METRICS, describe as describe_metrics};
pub use tokens::{Narrowing, narrow};
