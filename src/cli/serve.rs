//! A gateway in this process: what it needs of the machine, what it is made of, how it lives and stops.

pub(crate) mod app;
pub(crate) mod banner;
mod bucket;
mod collector;
mod data_dir;
mod denylist;
mod key_file;
mod ports;
mod router;
mod routing;
pub(crate) mod signals;
mod switch;
mod system;
mod task;
pub(crate) mod telemetry;
mod uploads;

use anyhow::Context as _;
pub(crate) use app::{App, Options};
use rustdht_net::{NetError, check_dht_protocol, check_dial, check_external};
pub(crate) use system::{OsEntropy, now_seconds, random};

use crate::{
    config::{Config, read_owner_token},
    exit::{Exit, coded},
};

/// Checks what the types of the configuration cannot say, and the files that it names.
pub(crate) fn validate(config: &Config) -> anyhow::Result<()> {
    let bad = |text: String| coded(Exit::BadConfig, format!("bad configuration: {text}"));
    if let Some(path) = &config.gateway.owner_token_file {
        read_owner_token(path)?;
    }
    if let Some(url) = &config.gateway.public_url {
        rustdht_gateway::check_public_url(url).map_err(|error| bad(format!("gateway.{error}")))?;
    }
    rustdht_gateway::check_ipfs(&app::gateway_ipfs(config)).map_err(|error| bad(error.to_string()))?;
    if !(1..=3600).contains(&config.ipfs.fetch_timeout_s) {
        let given = config.ipfs.fetch_timeout_s;
        return Err(bad(format!("ipfs.fetch_timeout_s is {given}; it lies between 1 and 3600")));
    }
    let net = &config.net;
    if net.port != 0 && net.port == net.ws_port {
        return Err(bad(format!("net.port and net.ws_port are both {}; TCP needs two ports", net.port)));
    }
    let address = |key: &str, error: NetError| {
        bad(format!("{key}: {error}; an example: /ip4/192.0.2.1/tcp/4480/p2p/12D3KooW..."))
    };
    net.dial.iter().try_for_each(|text| check_dial(text)).map_err(|error| address("net.dial", error))?;
    net.external.iter().try_for_each(|text| check_external(text)).map_err(|error| address("net.external", error))?;
    let ipfs = &config.ipfs;
    ipfs.peers.iter().try_for_each(|text| check_dial(text)).map_err(|error| address("ipfs.peers", error))?;
    ipfs.bootstrap.iter().try_for_each(|text| check_dial(text)).map_err(|error| address("ipfs.bootstrap", error))?;
    check_dht_protocol(&ipfs.dht_protocol).map_err(|error| bad(format!("ipfs.dht_protocol: {error}")))?;
    // The two DHTs are routers as well.
    if ipfs.delegated_routers.len() + 2 > rustdht_node::MAX_ROUTERS {
        return Err(bad(format!("ipfs.delegated_routers: {} at most", rustdht_node::MAX_ROUTERS - 2)));
    }
    for url in &ipfs.delegated_routers {
        router::check(url).map_err(|error| bad(format!("ipfs.delegated_routers: {url}: {error:#}")))?;
    }
    if !(1..=4096).contains(&config.store.cache_mib) {
        return Err(bad(format!("store.cache_mib is {}; it lies between 1 and 4096", config.store.cache_mib)));
    }
    let blobs = &config.blobs;
    if blobs.gc_disk_percent > 100 {
        return Err(bad(format!("blobs.gc_disk_percent is {}; it lies between 0 and 100", blobs.gc_disk_percent)));
    }
    if blobs.s3_bucket.is_some() {
        bucket::objects(blobs).map_err(|error| bad(format!("{error:#}")))?;
    }
    let pins = &config.pins;
    for (key, given, least, most) in [
        ("parallel", u32::from(pins.parallel), 1, 64),
        ("block_timeout_s", pins.block_timeout_s, 1, 3600),
        ("give_up_hours", pins.give_up_hours, 1, 24 * 365),
    ] {
        if !(least..=most).contains(&given) {
            return Err(bad(format!("pins.{key} is {given}; it lies between {least} and {most}")));
        }
    }
    if !(1..=100_000).contains(&config.store.history_per_field) {
        let given = config.store.history_per_field;
        return Err(bad(format!("store.history_per_field is {given}; it lies between 1 and 100000")));
    }
    telemetry::check_filter(&config.log.level)
        .context("bad configuration: log.level")
        .map_err(|e| coded(Exit::BadConfig, format!("{e:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound() {
        validate(&Config::default()).unwrap();
    }

    #[test]
    fn each_rule_names_its_key() {
        type Change = fn(&mut Config);
        let cases: [(&str, Change); 20] = [
            ("ipfs.peers", |c| c.ipfs.peers = vec!["/ip4/10.0.0.1/tcp/4001".into()]),
            ("ipfs.bootstrap", |c| c.ipfs.bootstrap = vec!["bootstrap.example".into()]),
            ("ipfs.dht_protocol", |c| c.ipfs.dht_protocol = "kad".into()),
            ("ipfs.delegated_routers", |c| c.ipfs.delegated_routers = vec!["router.example".into()]),
            ("ipfs.delegated_routers", |c| c.ipfs.delegated_routers = vec!["https://router.example".into(); 15]),
            ("gateway.public_url", |c| c.gateway.public_url = Some("node.example".into())),
            ("gateway.public_url", |c| c.gateway.public_url = Some("https://a@node.example".into())),
            ("net.dial", |c| c.net.dial = vec!["/ip4/10.0.0.1/tcp/4480".into()]),
            ("net.external", |c| c.net.external = vec!["/ip4/10.0.0/tcp/4480".into()]),
            ("net.ws_port", |c| c.net.ws_port = c.net.port),
            ("net.dial", |c| c.net.dial = vec!["10.0.0.1:4480".into()]),
            ("net.external", |c| c.net.external = vec!["10.0.0.1:4480".into()]),
            ("store.cache_mib", |c| c.store.cache_mib = 0),
            ("ipfs.gateway_hosts", |c| c.ipfs.gateway_hosts = vec!["http://example.org".into()]),
            ("ipfs.dnslink", |c| c.ipfs.dnslink = vec!["example.org".into()]),
            ("ipfs.dnslink_hosts", |c| c.ipfs.dnslink_hosts = vec!["*".into()]),
            ("ipfs.fetch_timeout_s", |c| c.ipfs.fetch_timeout_s = 0),
            ("pins.parallel", |c| c.pins.parallel = 0),
            ("pins.give_up_hours", |c| c.pins.give_up_hours = 0),
            ("log.level", |c| c.log.level = "loud=very=much".into()),
        ];
        for (key, change) in cases {
            let mut config = Config::default();
            change(&mut config);
            let error = validate(&config).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
            assert_eq!(crate::exit::of(&error), Exit::BadConfig);
        }
    }

    #[test]
    fn a_port_of_zero_may_stand_twice() {
        let mut config = Config::default();
        (config.net.port, config.net.ws_port) = (0, 0);
        validate(&config).unwrap();
    }
}
