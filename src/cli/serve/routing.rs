//! Blocks, providers and names: what the configuration says of them, and who is asked for them.

use std::sync::Arc;

use anyhow::Context as _;
use rustdht_core::ports::{ContentRouting, DnsLinks};
use rustdht_node::{Node, RoutingPorts};

use super::{
    router::Router,
    switch::{Switch, SwitchedDht, Which},
};
use crate::config::{Config, Dht, Provide, Serve};

/// The part of the network's configuration that is about IPFS.
pub(super) fn net_config(config: &Config, node: &Node) -> rustdht_net::IpfsConfig {
    rustdht_net::IpfsConfig {
        serve: match config.ipfs.serve {
            Serve::All => rustdht_net::Serve::All,
            Serve::Members => rustdht_net::Serve::Members,
            Serve::None => rustdht_net::Serve::Nobody,
        },
        gate: Some(Arc::clone(node.denylist()) as _),
        dht: match config.ipfs.dht {
            Dht::Off => rustdht_net::DhtMode::Off,
            Dht::Client => rustdht_net::DhtMode::Client,
            Dht::Server => rustdht_net::DhtMode::Server,
        },
        dht_protocol: config.ipfs.dht_protocol.clone(),
        bootstrap: config.ipfs.bootstrap.clone(),
        peers: config.ipfs.peers.clone(),
    }
}

/// Tells the node whom to ask, and where to announce. DNSLink, where this machine has a resolver.
pub(super) fn bind(node: &Node, switch: &Arc<Switch>, config: &Config) -> anyhow::Result<Option<Arc<dyn DnsLinks>>> {
    let links = match rustdht_net::Dns::of_system() {
        Ok(dns) => Some(Arc::new(dns) as Arc<dyn DnsLinks>),
        Err(error) => {
            tracing::warn!(%error, "names of DNSLink cannot be looked up, except those of ipfs.dnslink");
            None
        }
    };
    let dht = |which| Arc::new(SwitchedDht::new(Arc::clone(switch), which));
    let mut routers: Vec<Arc<dyn ContentRouting>> = vec![dht(Which::Network) as _];
    let mut announcers = Vec::new();
    // Whom nobody can fetch from announces nothing.
    if config.ipfs.serve != Serve::None {
        announcers.push(("network", dht(Which::Network) as _));
    }
    if config.ipfs.dht != Dht::Off {
        routers.push(dht(Which::Public) as _);
        if config.ipfs.serve == Serve::All {
            announcers.push(("public", dht(Which::Public) as _));
        }
    }
    for url in &config.ipfs.delegated_routers {
        let router = Router::new(url).with_context(|| format!("ipfs.delegated_routers: {url}"))?;
        routers.push(Arc::new(router));
    }
    let provide = match config.ipfs.provide {
        _ if config.ipfs.serve == Serve::None => rustdht_node::Provide::Off,
        Provide::Roots => rustdht_node::Provide::Roots,
        Provide::All => rustdht_node::Provide::All,
        Provide::Off => rustdht_node::Provide::Off,
    };
    let records = Arc::new(rustdht_blobs::IpnsRecords);
    node.bind_routing(RoutingPorts { routers, announcers, provide, records, links: links.clone() });
    Ok(links)
}
