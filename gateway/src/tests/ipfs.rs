//! Content by CID and name over the whole router and a real block store: for each group of the specifications' suite what
//! they ask for, as tables of requests and answers.

mod forms;
mod hosts;
mod names;
mod path;
mod redirects;

use std::collections::HashMap;

use async_trait::async_trait;
use cid::{Cid, multihash::Multihash};
use futures::{StreamExt, stream};
use rustdht_core::ports::{
    DagStore, DnsLink, DnsLinks, Fetch, IpnsName, NameError, NameRecord, Names, TreeContent, TreeItem,
};

use super::*;
use crate::Ipfs;

/// The API's own address.
const HERE: &str = "127.0.0.1:8480";

/// One request and what its answer has.
struct Case<'a> {
    host: &'a str,
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
    status: u16,
    expected: &'a [(&'a str, &'a str)],
    body: Option<&'a str>,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self { host: HERE, path: "/", headers: &[], status: 200, expected: &[], body: None }
    }
}

impl App {
    /// With the gateway host and the domains that the tests ask under.
    async fn ipfs(dnslink: &[String]) -> Self {
        let ipfs = Ipfs { gateway_hosts: vec!["example.com".into()], dnslink: dnslink.to_vec(), ..Ipfs::default() };
        Self::with(Config { owner_token: Some(Secret::new(TOKEN)), ipfs, ..Config::default() }).await
    }

    fn store(&self) -> &Arc<dyn DagStore> {
        self.node.blobs()
    }

    /// Adds a tree: a path ending in `/` is a directory, a content beginning with `->` is a symbolic link.
    async fn tree(&self, items: &[(&str, &str)]) -> Cid {
        let items: Vec<_> = items
            .iter()
            .map(|(path, content)| {
                let is_directory = path.ends_with('/');
                let path = path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
                let bytes = Bytes::copy_from_slice(content.as_bytes());
                let content = match content.strip_prefix("->") {
                    Some(target) => TreeContent::Symlink(target.to_owned()),
                    None if is_directory => TreeContent::Directory,
                    None => TreeContent::File(stream::iter([Ok(bytes)]).boxed()),
                };
                Ok(TreeItem { path, content })
            })
            .collect();
        self.store().add_tree(stream::iter(items).boxed(), Default::default()).await.unwrap().cid
    }

    /// Keeps a block of a codec.
    async fn block(&self, codec: u64, bytes: &[u8]) -> Cid {
        let added = self.store().add(stream::iter([Ok(Bytes::copy_from_slice(bytes))]).boxed(), Default::default());
        let cid = Cid::new_v1(codec, *added.await.unwrap().cid.hash());
        self.store().put_block(&cid, Bytes::copy_from_slice(bytes)).await.unwrap();
        cid
    }

    /// The CID at a path.
    async fn at(&self, root: &Cid, path: &str) -> Cid {
        let path: Vec<String> = path.split('/').map(str::to_owned).collect();
        self.store().resolve(root, &path, Fetch::LocalOnly).await.unwrap().cid
    }

    /// Sends a request to a host, from loopback.
    async fn ask(&self, method: Method, host: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut all = vec![(header::HOST, host)];
        all.extend(headers.iter().map(|(name, value)| (HeaderName::try_from(*name).unwrap(), *value)));
        self.send_from("127.0.0.1:5000", method, path, &all, Body::empty()).await
    }

    async fn check(&self, cases: &[Case<'_>]) {
        for case in cases {
            let answer = self.ask(Method::GET, case.host, case.path, case.headers).await;
            let what = format!("{} {} {:?}", case.host, case.path, case.headers);
            assert_eq!(answer.status, case.status, "{what}: {}", answer.text());
            for (name, value) in case.expected {
                let found = answer.header(*name);
                let fits = value.strip_prefix('~').map_or(found == *value, |part| found.contains(part));
                assert!(fits, "{what}: {name} is '{found}', not '{value}'");
            }
            if let Some(body) = case.body {
                let fits = body.strip_prefix('~').map_or(answer.text() == body, |part| answer.text().contains(part));
                assert!(fits, "{what}: {}", answer.text());
            }
            // HEAD has the same status and headers, without a body. Ranges are for GET alone.
            if case.headers.iter().all(|(name, _)| *name != "range") {
                let head = self.ask(Method::HEAD, case.host, case.path, case.headers).await;
                assert_eq!((head.status, head.body.len()), (answer.status, 0), "HEAD {what}");
                for (name, value) in &answer.headers {
                    assert!(
                        head.headers.get(name) == Some(value) || name == header::CONTENT_LENGTH,
                        "HEAD {what}: {name}"
                    );
                }
            }
        }
    }
}

/// Names by hand: what is tested is the gateway, not who keeps records.
#[derive(Default)]
struct Told {
    records: HashMap<IpnsName, NameRecord>,
    links: HashMap<String, DnsLink>,
}

#[async_trait]
impl Names for Told {
    async fn resolve(&self, name: &IpnsName, _fetch: Fetch) -> Result<NameRecord, NameError> {
        self.records.get(name).cloned().ok_or_else(|| NameError::NotFound(name.to_string()))
    }

    async fn put(&self, _name: &IpnsName, _record: Bytes) -> Result<NameRecord, NameError> {
        Err(NameError::Unavailable("nobody asks for it".into()))
    }
}

#[async_trait]
impl DnsLinks for Told {
    async fn link(&self, domain: &str) -> Result<DnsLink, NameError> {
        self.links.get(domain).cloned().ok_or_else(|| NameError::NotFound(domain.to_owned()))
    }
}

impl Told {
    /// A name for each number.
    fn name(seed: u8) -> IpnsName {
        let mut key = [seed; 36];
        // An Ed25519 key as peer ids have it.
        key[..4].copy_from_slice(&[8, 1, 18, 32]);
        IpnsName::from_multihash(Multihash::wrap(0, &key).unwrap()).unwrap()
    }

    fn record(mut self, seed: u8, value: &str, ttl_s: u64) -> Self {
        let bytes = Bytes::from(format!("record {seed} of {value}"));
        let until_ms = NOW_MS + 3_600_000;
        self.records.insert(Self::name(seed), NameRecord { bytes, value: value.into(), ttl_s, sequence: 1, until_ms });
        self
    }

    fn link(mut self, domain: &str, target: &str, ttl_s: Option<u64>) -> Self {
        self.links.insert(domain.into(), DnsLink { target: target.into(), ttl_s });
        self
    }

    fn bind(self, app: &App) {
        let told = Arc::new(self);
        app.state.bind_names(told.clone());
        app.state.bind_dnslinks(told);
    }
}
