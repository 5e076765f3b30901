//! DNSLink: what the TXT records of a domain say (dnslink.dev).

use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::{
    TokioResolver,
    net::runtime::TokioRuntimeProvider,
    proto::rr::{RData, RecordType},
};
use rustdht_core::ports::{DnsLink, DnsLinks, NameError};

use crate::NetError;

/// Answers kept, for as long as they say.
const CACHE_ENTRIES: u64 = 4096;
/// How long it is believed at least that a domain has no link, so that a page of broken links does not ask for each again.
const LEAST_NEGATIVE_TTL: Duration = Duration::from_secs(15);
/// The longest time that an answer is believed.
const LONGEST_TTL: Duration = Duration::from_secs(86_400);
/// How long one server may take.
const SERVER_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest domain (RFC 1035 section 2.3.4), without its last dot.
const MAX_DOMAIN_BYTES: usize = 253;

/// Looks up DNSLinks with the resolver that this machine is configured for.
#[derive(Clone)]
pub struct Dns(TokioResolver);

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dns")
    }
}

impl Dns {
    /// With the servers of `/etc/resolv.conf`.
    ///
    /// # Errors
    /// [`NetError::Resolver`] when there is no configuration that can be read.
    pub fn of_system() -> Result<Self, NetError> {
        let builder = TokioResolver::builder_tokio().map_err(|error| NetError::Resolver(error.to_string()))?;
        Self::build(builder)
    }

    fn build(mut builder: hickory_resolver::ResolverBuilder<TokioRuntimeProvider>) -> Result<Self, NetError> {
        let options = builder.options_mut();
        options.cache_size = CACHE_ENTRIES;
        options.timeout = SERVER_TIMEOUT;
        options.attempts = 2;
        options.negative_min_ttl = Some(LEAST_NEGATIVE_TTL);
        options.positive_max_ttl = Some(LONGEST_TTL);
        options.negative_max_ttl = Some(LONGEST_TTL);
        builder.build().map(Self).map_err(|error| NetError::Resolver(error.to_string()))
    }
}

/// The link in a TXT record.
fn link_in(text: &str) -> Option<&str> {
    let target = text.trim().strip_prefix("dnslink=")?.trim();
    let known =
        ["/ipfs/", "/ipns/"].iter().any(|prefix| target.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()));
    known.then_some(target)
}

#[async_trait]
impl DnsLinks for Dns {
    async fn link(&self, domain: &str) -> Result<DnsLink, NameError> {
        let domain = domain.trim_end_matches('.');
        if domain.is_empty() || domain.len() > MAX_DOMAIN_BYTES || !domain.contains('.') {
            return Err(NameError::Invalid(format!("'{domain}' is no domain")));
        }
        // The last dot: search domains of this machine are none of the asker's.
        let found = self.0.lookup(format!("_dnslink.{domain}."), RecordType::TXT).await.map_err(|error| {
            if error.is_no_records_found() || error.is_nx_domain() {
                NameError::NotFound(domain.to_owned())
            } else {
                NameError::Unavailable(format!("DNS: {error}"))
            }
        })?;
        let texts = found.answers().iter().filter_map(|record| match &record.data {
            // A text of more than 255 bytes is split.
            RData::TXT(text) => String::from_utf8(text.txt_data.concat()).ok().map(|text| (text, record.ttl)),
            _ => None,
        });
        // Of several links the first by order of text counts: any two resolvers agree (DNSLink specification).
        let mut links: Vec<(String, u32)> =
            texts.filter_map(|(text, ttl_s)| Some((link_in(&text)?.to_owned(), ttl_s))).collect();
        links.sort_unstable();
        let Some((target, ttl_s)) = links.into_iter().next() else {
            return Err(NameError::NotFound(domain.to_owned()));
        };
        let left = found.valid_until().saturating_duration_since(tokio::time::Instant::now().into_std());
        Ok(DnsLink { target, ttl_s: Some(left.as_secs().min(u64::from(ttl_s))) })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use tokio::net::UdpSocket;

    use super::*;

    /// A DNS server on loopback: the question of a request, and TXT records as its answer.
    async fn serve(socket: UdpSocket, asked: Arc<AtomicUsize>) {
        let mut buffer = [0; 512];
        loop {
            let Ok((len, from)) = socket.recv_from(&mut buffer).await else { return };
            asked.fetch_add(1, Ordering::Relaxed);
            let request = &buffer[..len];
            let mut at = 12;
            let mut name = Vec::new();
            while request[at] != 0 {
                let label = usize::from(request[at]);
                name.push(String::from_utf8(request[at + 1..=at + label].to_vec()).unwrap());
                at += 1 + label;
            }
            let question = &request[12..at + 5];
            let texts: &[&[&str]] = match name.join(".").to_lowercase().as_str() {
                "_dnslink.example.org" => &[&["v=spf1"], &["dnslink=/ipns/z"], &["dnslink=/ipfs/", "bafkqaaa/x"]],
                "_dnslink.other.org" => &[&["dnslink=/ftp/x"], &["dnslink=/ipfs/"]],
                _ => &[],
            };
            // Answered, with recursion; NXDOMAIN (3) when there is none.
            let code = if texts.is_empty() { 0x83 } else { 0x80 };
            let mut answer = [&request[..2], &[0x81, code, 0, 1, 0, texts.len() as u8, 0, 0, 0, 0], question].concat();
            for text in texts {
                let data: Vec<u8> =
                    text.iter().flat_map(|part| std::iter::once(part.len() as u8).chain(part.bytes())).collect();
                answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
                answer.extend(data);
            }
            socket.send_to(&answer, from).await.unwrap();
        }
    }

    fn of_server(server: SocketAddr) -> Dns {
        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let server = NameServerConfig::new(server.ip(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        Dns::build(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())).unwrap()
    }

    #[tokio::test]
    async fn links_are_read_and_kept_for_their_time() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let server = serve(socket, Arc::clone(&asked));
        let test = async {
            let dns = of_server(address);
            for _ in 0..3 {
                let link = dns.link("example.org").await.unwrap();
                assert_eq!(link.target, "/ipfs/bafkqaaa/x");
                assert!(link.ttl_s.is_some_and(|ttl_s| (55..=60).contains(&ttl_s)), "{link:?}");
            }
            assert_eq!(asked.load(Ordering::Relaxed), 1, "kept for a minute");
            for _ in 0..2 {
                assert!(matches!(dns.link("other.org").await, Err(NameError::NotFound(_))));
                assert!(matches!(dns.link("none.example").await, Err(NameError::NotFound(_))));
            }
            assert!(asked.load(Ordering::Relaxed) <= 3, "what is not there is kept too");
            for bad in ["", "localhost", &format!("{}.org", "x".repeat(260))] {
                assert!(matches!(dns.link(bad).await, Err(NameError::Invalid(_))), "{bad}");
            }
        };
        tokio::select! {
            () = server => panic!("the server ended"),
            () = test => {}
        }
    }

    #[test]
    fn links_in_texts() {
        assert_eq!(link_in("dnslink=/ipfs/x/y"), Some("/ipfs/x/y"));
        assert_eq!(link_in(" dnslink= /ipns/x "), Some("/ipns/x"));
        for none in ["", "/ipfs/x", "dnslink=x", "dnslink=/ipfs/", "dnslink", "x=dnslink=/ipfs/x"] {
            assert_eq!(link_in(none), None, "{none}");
        }
    }
}
