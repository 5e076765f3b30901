//! A router over HTTP that the operator named (specs.ipfs.tech/routing/http-routing-v1), as a client of it.

use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use cid::{Cid, multihash::Multihash};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use reqwest::{Response, StatusCode, Url, header};
use rustdht_core::ports::{
    ContentRouting, IpnsName, MAX_IPNS_RECORD_BYTES, MAX_MULTIADDR_BYTES, MAX_PEER_ADDRESSES, NameRecord, Provider,
    RoutingError,
};
use serde::Deserialize;

use crate::client::http;

/// How long one answer may take; routers ask a DHT themselves.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest line, or whole JSON document, that is read: 100 records of 2 KiB each.
const MAX_ANSWER_BYTES: usize = 512 * 1024;
/// Multicodec `raw`: a router looks at the multihash alone.
const RAW: u64 = 0x55;
const RECORD: &str = "application/vnd.ipfs.ipns-record";

/// A client. It follows no redirects: nobody but the operator says whom this gateway asks.
#[derive(Clone, Debug)]
pub(super) struct Router {
    http: reqwest::Client,
    /// Up to `/routing/v1/`.
    base: Url,
}

/// A record; others than `peer` are passed over, and so is what cannot be read of one.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    #[serde(default)]
    schema: String,
    #[serde(rename = "ID", default)]
    id: Option<String>,
    #[serde(default)]
    addrs: Option<Vec<serde_json::Value>>,
    #[serde(default)]
    protocols: Option<Vec<String>>,
    /// Of the older schema `bitswap`.
    #[serde(default)]
    protocol: Option<String>,
}

impl Record {
    fn provider(self) -> Option<Provider> {
        if !matches!(self.schema.as_str(), "peer" | "bitswap") {
            return None;
        }
        let addresses = self.addrs.unwrap_or_default();
        let addresses = addresses.iter().filter_map(|address| address.as_str());
        let addresses = addresses.filter(|address| address.len() <= MAX_MULTIADDR_BYTES).take(MAX_PEER_ADDRESSES);
        Some(Provider {
            peer: self.id.filter(|id| id.len() <= MAX_MULTIADDR_BYTES)?,
            addresses: addresses.map(str::to_owned).collect(),
            protocols: self.protocols.unwrap_or_default().into_iter().chain(self.protocol).take(16).collect(),
        })
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "Providers", alias = "Peers", default)]
    records: Option<Vec<Record>>,
}

/// The base under which the paths of the specification lie.
fn base(text: &str) -> anyhow::Result<Url> {
    let mut url = Url::parse(text).context("not a URL")?;
    anyhow::ensure!(matches!(url.scheme(), "http" | "https") && url.has_host(), "not an http or https URL");
    anyhow::ensure!(url.query().is_none() && url.fragment().is_none(), "it has a query or a fragment");
    let path = url.path().trim_end_matches('/').trim_end_matches("/routing/v1").to_owned();
    url.set_path(&format!("{path}/routing/v1/"));
    Ok(url)
}

/// Whether a URL may stand in `ipfs.delegated_routers`.
pub(super) fn check(text: &str) -> anyhow::Result<()> {
    base(text).map(drop)
}

impl Router {
    pub(super) fn new(text: &str) -> anyhow::Result<Self> {
        let base = base(text)?;
        Ok(Self { http: http(&base)?, base })
    }

    fn url(&self, path: &str) -> Result<Url, RoutingError> {
        self.base.join(path).map_err(|_| RoutingError::Unsupported)
    }

    /// The answer; `None`: there is nothing (404 of older routers, IPIP-513).
    async fn get(&self, path: &str, accept: &'static str) -> Result<Option<Response>, RoutingError> {
        let request = self.http.get(self.url(path)?).header(header::ACCEPT, accept).timeout(TIMEOUT);
        let answer = request.send().await.map_err(|error| self.failed(&error))?;
        match answer.status() {
            StatusCode::OK => Ok(Some(answer)),
            StatusCode::NOT_FOUND => Ok(None),
            status => {
                tracing::debug!(router = %self.base, %status, "a router refused");
                Err(RoutingError::NobodyAnswered)
            }
        }
    }

    fn failed(&self, error: &reqwest::Error) -> RoutingError {
        tracing::debug!(router = %self.base, %error, "a router does not answer");
        RoutingError::NobodyAnswered
    }

    async fn records(&self, path: &str) -> Result<BoxStream<'static, Provider>, RoutingError> {
        let Some(answer) = self.get(path, "application/x-ndjson, application/json;q=0.9").await? else {
            return Ok(stream::empty().boxed());
        };
        let media =
            answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if media.starts_with("application/x-ndjson") {
            let found = lines(answer)
                .filter_map(|line| async move { serde_json::from_slice::<Record>(&line).ok()?.provider() });
            return Ok(found.boxed());
        }
        let body = whole(answer, MAX_ANSWER_BYTES).await.ok_or(RoutingError::NobodyAnswered)?;
        let document: Document = serde_json::from_slice(&body).map_err(|_| RoutingError::NobodyAnswered)?;
        Ok(stream::iter(document.records.unwrap_or_default().into_iter().filter_map(Record::provider)).boxed())
    }
}

/// A body of at most so many bytes.
async fn whole(answer: Response, most: usize) -> Option<Bytes> {
    let mut pieces = answer.bytes_stream();
    let mut body = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.ok()?;
        if body.len() + piece.len() > most {
            return None;
        }
        body.extend_from_slice(&piece);
    }
    Some(body.freeze())
}

/// The lines of a body; it ends at one that is too long.
fn lines(answer: Response) -> impl futures::Stream<Item = Bytes> + Send {
    let begin = (Some(answer.bytes_stream().boxed()), BytesMut::new());
    stream::unfold(begin, |(mut pieces, mut rest)| async move {
        loop {
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.split_to(end + 1).freeze();
                return Some((line, (pieces, rest)));
            }
            match pieces.as_mut()?.next().await {
                Some(Ok(piece)) if rest.len() + piece.len() <= MAX_ANSWER_BYTES => rest.extend_from_slice(&piece),
                // The last line need not end in a break.
                _ if rest.is_empty() => return None,
                _ => return Some((std::mem::take(&mut rest).freeze(), (None, rest))),
            }
        }
    })
}

#[async_trait]
impl ContentRouting for Router {
    async fn providers(&self, key: &Multihash<64>, limit: usize) -> Result<BoxStream<'static, Provider>, RoutingError> {
        let cid = Cid::new_v1(RAW, *key);
        Ok(self.records(&format!("providers/{cid}")).await?.take(limit).boxed())
    }

    async fn peer(&self, peer: &str) -> Result<Option<Provider>, RoutingError> {
        let name: IpnsName = peer.parse().map_err(|_| RoutingError::Unsupported)?;
        let found = self.records(&format!("peers/{}", name.to_cid())).await?;
        let found = found.filter(|found| std::future::ready(found.peer == peer));
        Ok(Box::pin(found).next().await)
    }

    async fn name_records(&self, name: &IpnsName) -> Result<BoxStream<'static, Bytes>, RoutingError> {
        let Some(answer) = self.get(&format!("ipns/{name}"), RECORD).await? else { return Ok(stream::empty().boxed()) };
        let is_record = answer.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == RECORD);
        let record = if is_record { whole(answer, MAX_IPNS_RECORD_BYTES).await } else { None };
        Ok(stream::iter(record).boxed())
    }

    async fn put_name(&self, name: &IpnsName, record: &NameRecord) -> Result<(), RoutingError> {
        let request = self.http.put(self.url(&format!("ipns/{name}"))?).header(header::CONTENT_TYPE, RECORD);
        let answer = request.body(record.bytes.clone()).timeout(TIMEOUT).send().await;
        let answer = answer.map_err(|error| self.failed(&error))?;
        if answer.status().is_success() { Ok(()) } else { Err(RoutingError::Unsupported) }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn bases() {
        for (text, expected) in [
            ("https://router.example", "https://router.example/routing/v1/"),
            ("http://127.0.0.1:8190/", "http://127.0.0.1:8190/routing/v1/"),
            ("https://router.example/routing/v1", "https://router.example/routing/v1/"),
            ("https://router.example/at/routing/v1/", "https://router.example/at/routing/v1/"),
        ] {
            assert_eq!(base(text).unwrap().as_str(), expected);
        }
        for bad in ["", "router.example", "ftp://router.example", "https://router.example/?x=1"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    /// Answers requests, one after the other, and tells what was asked.
    async fn serve(answers: Vec<String>) -> (String, tokio::task::JoinSet<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let len = socket.read(&mut request).await.unwrap();
                asked.push(String::from_utf8_lossy(&request[..len]).lines().next().unwrap().to_owned());
                socket.write_all(answer.as_bytes()).await.unwrap();
                socket.shutdown().await.unwrap();
            }
            asked
        });
        (url, tasks)
    }

    fn answer(status: &str, media: &str, body: &str) -> String {
        let len = body.len();
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"
        )
    }

    const PEER: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";

    #[tokio::test]
    async fn records_of_both_forms_are_read_and_what_is_odd_is_passed_over() {
        crate::install_tls();
        let good = format!(
            r#"{{"Schema":"peer","ID":"{PEER}","Addrs":["/ip4/192.0.2.1/tcp/1",7],"Protocols":["transport-bitswap"]}}"#
        );
        let old = format!(r#"{{"Schema":"bitswap","ID":"{PEER}","Addrs":null,"Protocol":"transport-bitswap"}}"#);
        let lines = format!("{good}\n{{\"Schema\":\"other\"}}\nnonsense\n{old}");
        let document = format!(r#"{{"Providers":[{good},{{"Schema":"unknown","Extra":1}},{old}]}}"#);
        let redirect =
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let (url, mut tasks) = serve(vec![
            answer("200 OK", "application/x-ndjson", &lines),
            answer("200 OK", "application/json", &document),
            answer("200 OK", "application/json", r#"{"Providers":null}"#),
            answer("404 Not Found", "text/plain", "none"),
            answer("500 Internal Server Error", "text/plain", "broken"),
            redirect.to_owned(),
            answer("200 OK", "application/json", &"x".repeat(MAX_ANSWER_BYTES + 1)),
        ])
        .await;
        let router = Router::new(&url).unwrap();
        let key = Multihash::wrap(0x12, &[7; 32]).unwrap();
        for found in [2, 2, 0, 0] {
            let providers: Vec<Provider> = router.providers(&key, 9).await.unwrap().collect().await;
            assert_eq!(providers.len(), found, "{providers:?}");
            assert!(providers.iter().all(|found| found.peer == PEER && found.protocols == ["transport-bitswap"]));
        }
        for _ in 0..3 {
            assert!(router.providers(&key, 9).await.is_err());
        }
        let asked = tasks.join_next().await.unwrap().unwrap();
        let cid = Cid::new_v1(RAW, key);
        assert!(asked.iter().all(|asked| *asked == format!("GET /routing/v1/providers/{cid} HTTP/1.1")), "{asked:?}");
    }

    #[tokio::test]
    async fn records_of_names_come_and_go() {
        crate::install_tls();
        let (url, mut tasks) = serve(vec![
            answer("200 OK", RECORD, "record"),
            answer("200 OK", "text/plain", "no record of it was found"),
            answer("200 OK", "application/json", ""),
            answer("200 OK", RECORD, &"x".repeat(MAX_IPNS_RECORD_BYTES + 1)),
        ])
        .await;
        let router = Router::new(&url).unwrap();
        let name = IpnsName::of_ed25519(&[1; 32]);
        let found: Vec<Bytes> = router.name_records(&name).await.unwrap().collect().await;
        assert_eq!(found, ["record"]);
        assert_eq!(router.name_records(&name).await.unwrap().count().await, 0);
        let bytes = Bytes::from_static(b"signed");
        let record = NameRecord { bytes, value: String::new(), ttl_s: 0, sequence: 0, until_ms: 0 };
        router.put_name(&name, &record).await.unwrap();
        assert_eq!(router.name_records(&name).await.unwrap().count().await, 0, "too large");
        let asked = tasks.join_next().await.unwrap().unwrap();
        assert_eq!(asked[2], format!("PUT /routing/v1/ipns/{name} HTTP/1.1"));
    }
}
