//! Bitswap 1.2 as a libp2p behaviour: blocks by their CID, from and to Kubo, Helia and others.
//!
//! ```text
//!                    your tasks                         |              the swarm
//!   Handle / Session -- get(cid), notify(cids) --> [ inbox ] --> Behaviour
//!          ^                                                      |- client: who is asked for what     } state machines
//!          '-------- Bytes, hashed once ---- oneshot -------------|- server: who is served what, when  } without I/O
//!                                                                 '- Event: NeedProviders, Misbehaved
//!                                                                       ^ reports      | commands
//!                                             task of each connection: Handler: decode, hash, read the Blockstore, write
//! ```
//!
//! - **Asking**: a [`Session`] asks those who had something of it first, each for as many bytes as its measured speed
//!   and latency fill, and others when a peer stalls, denies, lies or goes. Nobody connected has it:
//!   [`Event::NeedProviders`].
//! - **Serving**: over a [`Blockstore`], each peer in the order in which it asked, all peers in turns of equal bytes,
//!   what a [`Gate`] allows. New blocks are offered to those who wanted them: [`Handle::notify`].
//! - **Bounds**: everything that a peer can fill is bounded, see [`limits`] and [`Config`]; what it does wrong is counted
//!   in [`Stats`] and told in [`Event::Misbehaved`].
//!
//! Deliberately unknown here: DAGs and their links, where blocks are kept, who provides what, and a runtime. Received
//! blocks are not stored: the caller of [`Session::get`] does that, and then calls [`Handle::notify`].
//!
//! ```no_run
//! # async fn example(cid: cid::Cid) -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use futures::StreamExt;
//! use libp2p::swarm::SwarmEvent;
//! use libp2p::{SwarmBuilder, noise, tcp, yamux};
//! use rustdht_bitswap::{Behaviour, Config, Event, NoBlocks, SessionOptions};
//!
//! let bitswap = Behaviour::new(Config::default(), Arc::new(NoBlocks))?;
//! let handle = bitswap.handle();
//! let mut swarm = SwarmBuilder::with_new_identity()
//!     .with_tokio()
//!     .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
//!     .with_behaviour(|_| bitswap)?
//!     .build();
//! swarm.dial("/ip4/127.0.0.1/tcp/4001".parse::<libp2p::Multiaddr>()?)?;
//!
//! let session = handle.session(SessionOptions::default());
//! let mut block = std::pin::pin!(session.get(cid));
//! loop {
//!     tokio::select! {
//!         block = &mut block => break println!("{} bytes", block?.len()),
//!         event = swarm.select_next_some() => {
//!             if let SwarmEvent::Behaviour(Event::NeedProviders { cid, .. }) = event {
//!                 println!("nobody here has {cid}");
//!             }
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod behaviour;
mod client;
mod clock;
mod config;
mod error;
mod handle;
mod handler;
mod hash;
pub mod limits;
mod server;
mod stats;
mod store;
mod wire;

pub use behaviour::{Behaviour, Event};
pub use client::SessionId;
pub use clock::{Clock, SystemClock};
pub use config::Config;
pub use error::{DecodeError, Error, Fault};
pub use handle::{Handle, Provider, Session, SessionOptions};
#[doc(hidden)]
pub use handler::{Command, Handler, Protocols, Report};
pub use stats::{Ledger, Stats};
pub use store::{Blockstore, Gate, NoBlocks, Open};
