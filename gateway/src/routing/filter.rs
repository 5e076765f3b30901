//! Which records, and which of their addresses, an asker can use (IPIP-484).

use rustdht_core::{Code, Refusal, ports::Provider};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::problem::Problem;

/// Names in one filter; there are some thirty protocols of addresses.
const MAX_NAMES: usize = 64;

/// Filters as they stand in the query.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "kebab-case")]
pub(super) struct FilterQuery {
    /// Addresses with one of these protocols, such as `tcp,quic-v1`; with `!` in front: without it. `unknown`: peers without
    /// addresses too.
    filter_addrs: Option<String>,
    /// Peers with one of these transfer protocols, such as `transport-bitswap`; `unknown`: those of which none is known too.
    filter_protocols: Option<String>,
}

/// What an asker can use.
#[derive(Debug)]
pub(super) struct Filter {
    addresses: Vec<String>,
    protocols: Vec<String>,
}

fn names(text: Option<&String>, field: &'static str) -> Result<Vec<String>, Problem> {
    let names: Vec<String> = text
        .map(|text| {
            text.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect()
        })
        .unwrap_or_default();
    if names.len() > MAX_NAMES {
        let refusal = Refusal::new(Code::BadValue, format!("more than {MAX_NAMES} names in one filter"));
        return Err(Problem::from(refusal).at(field));
    }
    Ok(names)
}

impl Filter {
    pub(super) fn of(query: &FilterQuery) -> Result<Self, Problem> {
        Ok(Self {
            addresses: names(query.filter_addrs.as_ref(), "filter-addrs")?,
            protocols: names(query.filter_protocols.as_ref(), "filter-protocols")?,
        })
    }

    /// The record with the addresses that pass; `None`: it does not.
    pub(super) fn apply(&self, mut found: Provider) -> Option<Provider> {
        let speaks = |name: &String| match name.as_str() {
            "unknown" => found.protocols.is_empty(),
            name => found.protocols.iter().any(|spoken| spoken.eq_ignore_ascii_case(name)),
        };
        if !self.protocols.is_empty() && !self.protocols.iter().any(speaks) {
            return None;
        }
        let without =
            |found: &Provider| found.addresses.is_empty() && self.addresses.iter().any(|name| name == "unknown");
        if self.addresses.is_empty() || without(&found) {
            return Some(found);
        }
        found.addresses.retain(|address| self.takes(address));
        (!found.addresses.is_empty()).then_some(found)
    }

    fn takes(&self, address: &str) -> bool {
        let has = |name: &str| address.split('/').any(|part| part.eq_ignore_ascii_case(name));
        let unwanted = self.addresses.iter().filter_map(|name| name.strip_prefix('!'));
        let mut wanted = self.addresses.iter().filter(|name| !name.starts_with('!') && *name != "unknown").peekable();
        if unwanted.into_iter().any(has) {
            return false;
        }
        // `unknown` alone takes no address; only what is unwanted alone takes the others.
        let only_unwanted = wanted.peek().is_none() && self.addresses.iter().all(|name| name.starts_with('!'));
        only_unwanted || wanted.any(|name| has(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(addresses: &str, protocols: &str, found: &Provider) -> Option<Vec<String>> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let query = FilterQuery { filter_addrs: some(addresses), filter_protocols: some(protocols) };
        Filter::of(&query).unwrap().apply(found.clone()).map(|found| found.addresses)
    }

    #[test]
    fn addresses_and_protocols() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (tcp, quic) = ("/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/udp/1/quic-v1");
        let relay = "/ip4/192.0.2.1/tcp/1/p2p/12D3KooW/p2p-circuit";
        let found = Provider {
            peer: "p".into(),
            addresses: texts(&[tcp, quic, relay]),
            protocols: texts(&["transport-bitswap"]),
        };
        for (addresses, protocols, expected) in [
            ("", "", Some(vec![tcp, quic, relay])),
            ("tcp", "", Some(vec![tcp, relay])),
            ("TCP,QUIC-V1", "", Some(vec![tcp, quic, relay])),
            ("!p2p-circuit", "", Some(vec![tcp, quic])),
            ("tcp,!p2p-circuit", "", Some(vec![tcp])),
            ("unknown", "", None),
            ("unknown,quic-v1", "", Some(vec![quic])),
            ("webtransport", "", None),
            ("", "transport-bitswap", Some(vec![tcp, quic, relay])),
            ("", "Transport-Bitswap,x", Some(vec![tcp, quic, relay])),
            ("", "unknown", None),
            ("", "transport-ipfs-gateway-http", None),
            ("tcp", "transport-ipfs-gateway-http", None),
        ] {
            let expected = expected.map(|expected| texts(&expected));
            assert_eq!(apply(addresses, protocols, &found), expected, "{addresses} {protocols}");
        }
        let bare = Provider { addresses: vec![], protocols: vec![], ..found };
        assert_eq!(apply("unknown", "unknown", &bare), Some(vec![]));
        assert_eq!(apply("tcp", "", &bare), None);
        assert_eq!(apply("!tcp", "", &bare), None);
        assert_eq!(apply("", "transport-bitswap,unknown", &bare), Some(vec![]));
        let many = FilterQuery { filter_addrs: Some(vec!["tcp"; 65].join(",")), filter_protocols: None };
        assert!(Filter::of(&many).is_err());
    }
}
