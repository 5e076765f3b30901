//! Whose host a request names: a gateway's, a content root's below it, a DNSLink domain's, or any other, which is the
//! API's.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::path::Namespace;
use crate::{Error, Ipfs};

/// Longest name in the DNS (RFC 1035 section 2.3.4).
const MAX_NAME_BYTES: usize = 253;

/// The hosts that an operator named.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    /// In lower case.
    gateways: Vec<String>,
    /// Name and target.
    links: HashMap<String, String>,
    /// In lower case; a leading dot: all below.
    domains: Vec<String>,
    /// The host of `public_url`, which is always the API's.
    public: Option<String>,
}

/// What a host shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// The API, and content by path, which shares its origin.
    Api,
    /// The name of a gateway: what is asked by path is redirected to a subdomain; the rest is the API's.
    Gateway,
    /// One content root.
    Subdomain {
        /// Its namespace.
        namespace: Namespace,
        /// What stands in front of it; may hold dots.
        root: &'a str,
        /// The gateway, with the port.
        gateway: &'a str,
    },
    /// The website of a domain.
    DnsLink {
        /// The domain, without the port.
        domain: &'a str,
    },
}

impl Hosts {
    /// Reads what the operator named. `public` is the host of `public_url`.
    ///
    /// # Errors
    /// [`Error::Ipfs`] for what is no domain, or no target.
    pub(crate) fn new(config: &Ipfs, public: Option<&str>, on_loopback: bool) -> Result<Self, Error> {
        let bad = |key: &str, given: &str, wanted: &str| Error::Ipfs(format!("ipfs.{key}: '{given}' is not {wanted}"));
        let mut gateways = Vec::new();
        for host in &config.gateway_hosts {
            if !is_name(host) {
                return Err(bad("gateway_hosts", host, "a domain, such as example.org, without scheme and port"));
            }
            gateways.push(host.to_ascii_lowercase());
        }
        if on_loopback && public.is_none() && !gateways.iter().any(|host| host == "localhost") {
            gateways.push("localhost".to_owned());
        }
        let mut links = HashMap::new();
        for link in &config.dnslink {
            let (name, target) = link
                .split_once('=')
                .filter(|(name, target)| is_domain(name) && super::path::ContentPath::of_target(target).is_ok())
                .ok_or_else(|| bad("dnslink", link, "name=/ipfs/{cid} or name=/ipns/{name}, with or without a path"))?;
            links.insert(name.to_ascii_lowercase(), target.to_owned());
        }
        let mut domains = Vec::new();
        for host in &config.dnslink_hosts {
            if !is_domain(host.strip_prefix("*.").unwrap_or(host)) {
                return Err(bad("dnslink_hosts", host, "a domain, such as example.org, or *.example.org"));
            }
            domains.push(host.strip_prefix('*').unwrap_or(host).to_ascii_lowercase());
        }
        Ok(Self { gateways, links, domains, public: public.map(|public| host_of(public).to_ascii_lowercase()) })
    }

    /// What the host of an authority shows.
    pub(crate) fn place<'a>(&self, authority: &'a str) -> Place<'a> {
        // What follows the host ends up in links and redirects: `example.org:80@evil.example` leads elsewhere.
        let Some(host) = checked_host(authority) else { return Place::Api };
        for gateway in &self.gateways {
            let Some(front) = strip_suffix(host, gateway) else { continue };
            if front.is_empty() {
                return Place::Gateway;
            }
            // What stands in front of `.ipfs.` is the root, however many labels that are.
            let Some((root, namespace)) = front.strip_suffix('.').and_then(subdomain) else { continue };
            return Place::Subdomain { namespace, root, gateway: &authority[front.len()..] };
        }
        if self.is_link_host(host) { Place::DnsLink { domain: host } } else { Place::Api }
    }

    /// What the operator says that a name stands for.
    pub(crate) fn link(&self, name: &str) -> Option<&str> {
        match self.links.get(name) {
            Some(target) => Some(target),
            None => self.links.get(&name.to_ascii_lowercase()).map(String::as_str),
        }
    }

    fn is_link_host(&self, host: &str) -> bool {
        if (self.links.is_empty() && self.domains.is_empty())
            || is_address(host)
            || self.public.as_deref().is_some_and(|public| public.eq_ignore_ascii_case(host))
        {
            return false;
        }
        let below = |domain: &String| match strip_suffix(host, domain) {
            Some(front) if domain.starts_with('.') => !front.is_empty(),
            Some(front) => front.is_empty(),
            None => false,
        };
        self.link(host).is_some() || self.domains.iter().any(below)
    }

    /// Whether a request may name this authority in its target: a proxy would take it for somebody else's.
    pub(crate) fn is_ours(&self, authority: &str) -> bool {
        let host = host_of(authority);
        is_address(host)
            || host.eq_ignore_ascii_case("localhost")
            || self.public.as_deref().is_some_and(|public| public.eq_ignore_ascii_case(host))
            || self.place(authority) != Place::Api
    }
}

/// Root and namespace of `{root}.ipfs` or `{root}.ipns`.
fn subdomain(front: &str) -> Option<(&str, Namespace)> {
    let (root, namespace) = front.rsplit_once('.')?;
    let namespace = if namespace.eq_ignore_ascii_case("ipfs") {
        Namespace::Ipfs
    } else if namespace.eq_ignore_ascii_case("ipns") {
        Namespace::Ipns
    } else {
        return None;
    };
    (!root.is_empty()).then_some((root, namespace))
}

/// What stands before a suffix, whatever its case.
fn strip_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(suffix.len())?;
    text.get(at..).filter(|tail| tail.eq_ignore_ascii_case(suffix)).and_then(|_| text.get(..at))
}

/// The host of an authority, without port, brackets, and the dot of an absolute name.
pub(super) fn host_of(authority: &str) -> &str {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.split(':').next().unwrap_or(authority),
    };
    host.strip_suffix('.').unwrap_or(host)
}

/// The host, when nothing but a port follows it.
fn checked_host(authority: &str) -> Option<&str> {
    let host = host_of(authority);
    let rest = authority.get(host.len()..)?;
    let port = rest.strip_prefix('.').unwrap_or(rest);
    let port = port.strip_prefix(':').unwrap_or(port);
    (is_address(host) || port.bytes().all(|byte| byte.is_ascii_digit())).then_some(host)
}

fn is_address(host: &str) -> bool {
    host.parse::<Ipv4Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok()
}

/// Labels of letters, digits, `-` and `_`.
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=super::label::MAX_BYTES).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= MAX_NAME_BYTES && text.split('.').all(label) && !is_address(text)
}

/// A name of two labels or more: what can have a DNSLink.
pub(super) fn is_domain(text: &str) -> bool {
    text.contains('.') && is_name(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let config = Ipfs {
            gateway_hosts: own(&["Example.com"]),
            dnslink: own(&["Site.example.org=/ipfs/bafkqaaa/sub", "over.example.org=/ipns/site.example.org"]),
            dnslink_hosts: own(&["www.example.net", "*.example.net"]),
            ..Ipfs::default()
        };
        Hosts::new(&config, None, true).unwrap()
    }

    #[test]
    fn places() {
        let hosts = hosts();
        let sub = |namespace, root, gateway| Place::Subdomain { namespace, root, gateway };
        for (authority, place) in [
            ("example.com", Place::Gateway),
            ("EXAMPLE.com.:80", Place::Gateway),
            ("localhost:8480", Place::Gateway),
            ("a.ipfs.example.com", sub(Namespace::Ipfs, "a", "example.com")),
            ("A.IPFS.EXAMPLE.COM:80", sub(Namespace::Ipfs, "A", "EXAMPLE.COM:80")),
            ("en.wiki.org.ipns.localhost:8480", sub(Namespace::Ipns, "en.wiki.org", "localhost:8480")),
            ("ipfs.example.com", Place::Api),
            (".ipfs.example.com", Place::Api),
            ("a.b.example.com", Place::Api),
            ("a.ipfs.evilexample.com", Place::Api),
            ("notexample.com", Place::Api),
            ("site.example.org:1", Place::DnsLink { domain: "site.example.org" }),
            ("www.example.net", Place::DnsLink { domain: "www.example.net" }),
            ("a.b.example.net", Place::DnsLink { domain: "a.b.example.net" }),
            ("example.net", Place::Api),
            ("example.com:80@evil.example", Place::Api),
            ("a.ipfs.example.com:80/evil", Place::Api),
            ("site.example.org:x", Place::Api),
            ("127.0.0.1:8480", Place::Api),
            ("[::1]:8480", Place::Api),
            ("", Place::Api),
        ] {
            assert_eq!(hosts.place(authority), place, "{authority}");
        }
        assert_eq!(hosts.link("SITE.example.org"), Some("/ipfs/bafkqaaa/sub"));
        assert_eq!(hosts.link("other.example.org"), None);
    }

    #[test]
    fn localhost_is_a_gateway_on_loopback_without_a_public_url_only() {
        let place = |public, loopback| {
            Hosts::new(&Ipfs::default(), public, loopback).unwrap().place("localhost:1") == Place::Gateway
        };
        assert!(place(None, true));
        assert!(!place(Some("node.example"), true));
        assert!(!place(None, false));
    }

    #[test]
    fn the_public_host_is_the_apis_even_with_a_link() {
        let config = Ipfs { dnslink: vec!["node.example.org=/ipfs/bafkqaaa".into()], ..Ipfs::default() };
        let hosts = Hosts::new(&config, Some("node.example.org:8443"), false).unwrap();
        assert_eq!(hosts.place("node.example.org"), Place::Api);
        assert!(hosts.is_ours("node.example.org:8443"));
    }

    #[test]
    fn a_proxy_for_its_own_only() {
        let hosts = hosts();
        for ours in ["127.0.0.1:80", "[::1]", "localhost", "a.ipfs.localhost", "site.example.org", "example.com:80"] {
            assert!(hosts.is_ours(ours), "{ours}");
        }
        for other in ["bank.example", "com", "example.org", ""] {
            assert!(!hosts.is_ours(other), "{other}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_key() {
        let long = format!("{}.org", "a".repeat(64));
        for (key, config) in [
            ("gateway_hosts", Ipfs { gateway_hosts: vec!["http://a.org".into()], ..Ipfs::default() }),
            ("gateway_hosts", Ipfs { gateway_hosts: vec!["a.org:80".into()], ..Ipfs::default() }),
            ("gateway_hosts", Ipfs { gateway_hosts: vec!["10.0.0.1".into()], ..Ipfs::default() }),
            ("gateway_hosts", Ipfs { gateway_hosts: vec![String::new()], ..Ipfs::default() }),
            ("gateway_hosts", Ipfs { gateway_hosts: vec![long], ..Ipfs::default() }),
            ("dnslink", Ipfs { dnslink: vec!["a.org".into()], ..Ipfs::default() }),
            ("dnslink", Ipfs { dnslink: vec!["a.org=/ipfs/nocid".into()], ..Ipfs::default() }),
            ("dnslink", Ipfs { dnslink: vec!["a.org=bafkqaaa".into()], ..Ipfs::default() }),
            ("dnslink", Ipfs { dnslink: vec!["a=/ipfs/bafkqaaa".into()], ..Ipfs::default() }),
            ("dnslink_hosts", Ipfs { dnslink_hosts: vec!["*".into()], ..Ipfs::default() }),
            ("dnslink_hosts", Ipfs { dnslink_hosts: vec!["*.org".into()], ..Ipfs::default() }),
        ] {
            let error = Hosts::new(&config, None, true).unwrap_err().to_string();
            assert!(error.starts_with(&format!("ipfs.{key}: ")), "{error}");
        }
    }
}
