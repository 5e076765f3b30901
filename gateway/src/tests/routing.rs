//! Names, their keys, and Delegated Routing.

use rustdht_blobs::IpnsRecords;
use rustdht_core::ports::{AddOptions, IpnsName, NameDraft, NameRecords as _, Provider};
use rustdht_node::{Provide, RoutingPorts};
use rustdht_testkit::MemoryRouter;

use super::*;

const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

async fn app() -> (App, Arc<MemoryRouter>) {
    let app = App::new().await;
    let router = Arc::new(MemoryRouter::default());
    app.node.bind_routing(RoutingPorts {
        routers: vec![Arc::clone(&router) as _],
        announcers: vec![],
        provide: Provide::Roots,
        records: Arc::new(IpnsRecords),
        links: None,
    });
    app.state.bind_names(app.node.names());
    (app, router)
}

fn provider(peer: &str, addresses: &[&str]) -> Provider {
    let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
    Provider { peer: peer.into(), addresses, protocols: vec!["transport-bitswap".into()] }
}

/// A record signed with the key of this seed.
fn record(seed: u8, sequence: u64) -> (IpnsName, Bytes) {
    let draft = NameDraft { value: format!("/ipfs/{CID}"), sequence, until_ms: NOW_MS + 90_000_000, ttl_s: 60 };
    let bytes = IpnsRecords.sign(&[seed; 32], &draft).unwrap().bytes;
    (IpnsName::of_ed25519(&rustdht_wire::SigningKey::from_seed(&[seed; 32]).public().0), bytes)
}

#[tokio::test]
async fn keys_publish_names() {
    let (app, router) = app().await;
    assert_eq!(app.send_far(Method::GET, "/api/v1/keys", &[]).await.problem().0, 401);
    let made = app.posted("/api/v1/keys", json!({ "key": "site" })).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let name = made.json()["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("k51"));
    assert_eq!(app.posted("/api/v1/keys", json!({ "key": "site" })).await.problem(), (409, "conflict".into()));
    assert_eq!(app.posted("/api/v1/keys", json!({ "key": "a/b" })).await.problem(), (422, "bad_value".into()));
    let bad = json!({ "key": "x", "private": "AAAA" });
    assert_eq!(app.posted("/api/v1/keys", bad).await.problem(), (422, "bad_value".into()));
    let keys = app.get("/api/v1/keys").await.json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    assert_eq!((&keys["keys"][0]["key"], &keys["keys"][1]["name"]), (&json!("self"), &json!(name)));

    let published = app.posted("/api/v1/names", json!({ "key": "site", "value": CID, "lifetime_s": 3600 })).await;
    let json = published.json();
    assert_eq!((&json["name"], &json["sequence"]), (&json!(name), &json!(0)));
    assert_eq!(json["valid_until"], "2026-11-18T12:06:40.000Z");
    let found = app.get(&format!("/api/v1/names/{name}")).await.json();
    assert_eq!((&found["value"], &found["ttl_s"]), (&json!(format!("/ipfs/{CID}")), &json!(300)));
    for _ in 0..500 {
        if !router.records(&name.parse().unwrap()).is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(router.records(&name.parse().unwrap()).len(), 1, "given to the routers");
    assert_eq!(app.get("/api/v1/names/nonsense").await.problem(), (422, "bad_value".into()));
    let nowhere = record(9, 0).0;
    assert_eq!(app.get(&format!("/api/v1/names/{nowhere}?local=true")).await.problem(), (404, "not_found".into()));
    let unknown = json!({ "key": "none", "value": CID });
    assert_eq!(app.posted("/api/v1/names", unknown).await.problem(), (404, "not_found".into()));
    let gone = app.send(Method::DELETE, "/api/v1/keys/site", &[], "").await;
    assert_eq!((gone.status, gone.json()["name"].as_str().unwrap()), (200, name.as_str()));
    assert_eq!(app.send(Method::DELETE, "/api/v1/keys/self", &[], "").await.problem(), (409, "conflict".into()));
}

#[tokio::test]
async fn providers_are_told_with_their_addresses() {
    let (app, router) = app().await;
    let hash = *cid::Cid::try_from(CID).unwrap().hash();
    let empty = app.get(&format!("/routing/v1/providers/{CID}")).await;
    assert_eq!((empty.status, empty.json()), (200, json!({ "Providers": [] })), "IPIP-513");
    assert!(empty.header("cache-control").starts_with("public, max-age=15,"));
    router.provide(hash, provider("12D3KooWA", &["/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/udp/1/quic-v1"]));
    router.provide(hash, provider("12D3KooWB", &["/ip4/192.0.2.2/tcp/1"]));
    let found = app.get(&format!("/routing/v1/providers/{CID}")).await;
    assert_eq!(found.json()["Providers"].as_array().unwrap().len(), 2);
    assert!(found.header("cache-control").contains("max-age=300, stale-while-revalidate=172800"));
    assert_eq!((found.header("vary"), found.header("access-control-allow-origin")), ("Accept", "*"));
    assert_eq!(found.header("content-type"), "application/json");
    let quic = app.get(&format!("/routing/v1/providers/{CID}?filter-addrs=quic-v1")).await.json();
    assert_eq!(quic["Providers"].as_array().unwrap().len(), 1);
    assert_eq!(quic["Providers"][0]["Addrs"], json!(["/ip4/192.0.2.1/udp/1/quic-v1"]));
    let lines = app.accept(&format!("/routing/v1/providers/{CID}"), "application/x-ndjson").await;
    assert_eq!((lines.header("content-type"), lines.lines().len()), ("application/x-ndjson", 2));
    assert_eq!(lines.lines()[0]["Schema"], "peer");
    assert_eq!(app.get("/routing/v1/providers/x").await.problem(), (400, "bad_path".into()));
    assert_eq!(
        app.accept(&format!("/routing/v1/providers/{CID}"), "text/html").await.problem(),
        (406, "not_acceptable".into())
    );

    // What is here, this gateway provides. Its addresses are those of the fake network.
    let body = futures::StreamExt::boxed(futures::stream::iter([Ok(Bytes::from_static(b"here"))]));
    let added = app.node.blobs().add(body, AddOptions::default()).await.unwrap().cid;
    let own = app.get(&format!("/routing/v1/providers/{added}")).await.json();
    assert_eq!(own["Providers"].as_array().unwrap().len(), 1, "{own}");
    assert_eq!(own["Providers"][0]["Protocols"], json!(["transport-bitswap"]));
    assert_eq!(app.get("/routing/v1/providers/bafkqaaa").await.json(), json!({ "Providers": [] }), "inlined");
}

#[tokio::test]
async fn peers_are_found_by_id_in_both_forms() {
    let (app, router) = app().await;
    let base58 = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";
    let cid = "k51qzi5uqu5dljtg5upm7x7ugan9lql3ewyknv4r4mhhkwzn8n7cnbd1unfwgq";
    assert_eq!(app.get(&format!("/routing/v1/peers/{cid}")).await.json(), json!({ "Peers": [] }));
    router.place(provider(base58, &["/ip4/192.0.2.1/tcp/1"]));
    for id in [base58, cid] {
        let found = app.get(&format!("/routing/v1/peers/{id}")).await.json();
        assert_eq!((found["Peers"][0]["ID"].as_str(), found["Peers"].as_array().unwrap().len()), (Some(base58), 1));
    }
    assert_eq!(app.get(&format!("/routing/v1/peers/{CID}")).await.problem(), (400, "bad_path".into()));
}

#[tokio::test]
async fn records_of_names_are_put_and_read() {
    let (app, _) = app().await;
    let (name, one) = record(5, 1);
    let path = format!("/routing/v1/ipns/{name}");
    let none = app.get(&path).await;
    assert_eq!((none.status, none.header("content-type")), (200, "text/plain; charset=utf-8"), "IPIP-513");
    assert_eq!(app.put_record(&path, one.clone(), None).await.problem().0, 401);
    assert_eq!(app.put_record(&path, one.clone(), Some("text/plain")).await.problem().0, 415);
    let media = "application/vnd.ipfs.ipns-record";
    let record_type = Some(media);
    assert_eq!(app.put_record(&path, one.clone(), record_type).await.status, 200);
    let found = app.get(&path).await;
    assert_eq!((found.header("content-type"), &found.body), (media, &one));
    assert!(found.header("cache-control").starts_with("public, max-age=60, stale-while-revalidate=89940"));
    assert!(found.header("etag").starts_with('"') && found.header("expires").ends_with("GMT"));
    assert!(found.header("content-disposition").contains(&format!("{name}.ipns-record")));
    let newer = record(5, 2).1;
    assert_eq!(app.put_record(&path, newer, record_type).await.status, 200);
    assert_eq!(app.put_record(&path, one, record_type).await.problem(), (409, "conflict".into()));
    let forged = record(6, 9).1;
    assert_eq!(app.put_record(&path, forged, record_type).await.problem(), (422, "bad_value".into()));
    let large = Bytes::from(vec![0; 10 * 1024 + 1]);
    assert_eq!(app.put_record(&path, large, record_type).await.problem(), (413, "too_large".into()));
    assert_eq!(app.accept(&path, "application/json").await.problem(), (406, "not_acceptable".into()));
}

impl App {
    async fn posted(&self, path: &str, json: Value) -> Answer {
        self.send(Method::POST, path, &JSON, json.to_string()).await
    }

    async fn accept(&self, path: &str, accept: &str) -> Answer {
        self.send(Method::GET, path, &[(header::ACCEPT, accept)], Body::empty()).await
    }

    /// As the owner; without a type, as somebody elsewhere.
    async fn put_record(&self, path: &str, record: Bytes, content_type: Option<&str>) -> Answer {
        match content_type {
            Some(content_type) => self.send(Method::PUT, path, &[(header::CONTENT_TYPE, content_type)], record).await,
            None => self.send_far(Method::PUT, path, &[]).await,
        }
    }
}
