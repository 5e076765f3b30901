use std::time::Duration;

use cid::multihash::Multihash;
use futures::StreamExt;
use rustdht_blobs::IpnsRecords;
use rustdht_core::{
    Clock as _,
    ports::{DnsLink, DnsLinks, GraphStore as _, NameDraft, NameRecords, Provider},
};
use rustdht_testkit::{ManualClock, MemoryRouter};

use super::*;
use crate::{
    NewName, Provide, RoutingPorts,
    tests::{Bench, NOW_MS, founding},
};

const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

struct Link;

#[async_trait]
impl DnsLinks for Link {
    async fn link(&self, domain: &str) -> Result<DnsLink, NameError> {
        match domain {
            "example.org" => Ok(DnsLink { target: format!("/ipfs/{CID}/site"), ttl_s: Some(60) }),
            "a.example" => Ok(DnsLink { target: "/ipns/b.example".into(), ttl_s: None }),
            "b.example" => Ok(DnsLink { target: "/ipns/a.example/x".into(), ttl_s: None }),
            _ => Err(NameError::NotFound(domain.into())),
        }
    }
}

fn bind(bench: &Bench, router: &Arc<MemoryRouter>) {
    bench.node.bind_routing(RoutingPorts {
        routers: vec![Arc::clone(router) as _],
        announcers: vec![],
        provide: Provide::Off,
        records: Arc::new(IpnsRecords),
        links: Some(Arc::new(Link)),
    });
}

async fn bench(seed: u64, router: &Arc<MemoryRouter>) -> Bench {
    let bench = Bench::new(seed).await;
    bind(&bench, router);
    bench
}

fn publish(key: &str, value: &str) -> NewName {
    NewName { key: key.into(), value: value.into(), lifetime_ms: None, ttl_s: Some(60) }
}

fn signed(seed: u8, sequence: u64, until_ms: u64) -> NameRecord {
    let draft = NameDraft { value: format!("/ipfs/{CID}"), sequence, until_ms, ttl_s: 60 };
    IpnsRecords.sign(&[seed; 32], &draft).unwrap()
}

fn name(seed: u8) -> IpnsName {
    keys::name_of(&[seed; 32])
}

fn to(bench: &Bench, ms: u64) {
    bench.clock.advance(ms - bench.clock.now_ms());
}

async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not happen");
}

#[tokio::test]
async fn a_name_is_published_given_away_and_resolved_elsewhere() {
    let router = Arc::new(MemoryRouter::default());
    let (one, other) = (bench(1, &router).await, bench(2, &router).await);
    let key = one.node.create_name_key("site").await.unwrap();
    let first = one.node.publish_name(publish("site", CID)).await.unwrap();
    assert_eq!((first.name, first.record.sequence), (key.name, 0));
    assert_eq!(first.record.value, format!("/ipfs/{CID}"));
    assert_eq!(first.record.until_ms, NOW_MS + 48 * 3_600_000);
    until(|| !router.records(&key.name).is_empty()).await;
    assert_eq!(other.node.names().resolve(&key.name, Fetch::Allowed).await.unwrap(), first.record);

    // The same value keeps its sequence, another one takes the next.
    to(&one, NOW_MS + 1_000);
    assert_eq!(one.node.publish_name(publish("site", CID)).await.unwrap().record.sequence, 0);
    let second = one.node.publish_name(publish("site", "/ipns/example.org")).await.unwrap();
    assert_eq!(second.record.sequence, 1);
    until(|| router.records(&key.name).contains(&second.record.bytes)).await;
    // The other still believes what it has, until its cache time is over.
    assert_eq!(other.node.names().resolve(&key.name, Fetch::Allowed).await.unwrap().sequence, 0);
    to(&other, NOW_MS + 61_000);
    assert_eq!(other.node.names().resolve(&key.name, Fetch::Allowed).await.unwrap(), second.record);
    let followed = other.node.resolve_name(&format!("/ipns/{}/a", key.name), true, Fetch::Allowed).await.unwrap();
    assert_eq!((followed.value, followed.ttl_s), (format!("/ipfs/{CID}/site/a"), Some(60)));
    let step = other.node.resolve_name(&key.name.to_string(), false, Fetch::Allowed).await.unwrap();
    assert_eq!(step.value, "/ipns/example.org");
    // What is published here is known here without asking.
    router.asked();
    assert_eq!(one.node.names().resolve(&key.name, Fetch::Allowed).await.unwrap(), second.record);
    assert_eq!(router.asked(), 0);
}

#[tokio::test]
async fn names_that_lead_nowhere_end() {
    let router = Arc::new(MemoryRouter::default());
    let one = bench(1, &router).await;
    let why = |result: Result<Followed, Error>| result.unwrap_err().to_string();
    assert!(
        why(one.node.resolve_name("/ipns/a.example", true, Fetch::Allowed).await)
            .contains("names stand for each other")
    );
    assert!(why(one.node.resolve_name("nonsense", true, Fetch::Allowed).await).contains("neither"));
    assert!(why(one.node.resolve_name("example.org", true, Fetch::LocalOnly).await).contains("no record"));
    // A name that nobody knows is not asked for again at once.
    for _ in 0..3 {
        assert!(matches!(one.node.names().resolve(&name(9), Fetch::Allowed).await, Err(NameError::NotFound(_))));
    }
    assert_eq!(router.asked(), 1);
    to(&one, NOW_MS + 16_000);
    assert!(one.node.names().resolve(&name(9), Fetch::Allowed).await.is_err());
    assert_eq!(router.asked(), 1);
}

#[tokio::test]
async fn of_many_records_the_newest_good_one_wins() {
    let router = Arc::new(MemoryRouter::default());
    let one = bench(1, &router).await;
    let (old, new) = (signed(5, 3, NOW_MS + 9), signed(5, 4, NOW_MS + 5));
    let mut broken = signed(5, 9, NOW_MS + 9).bytes.to_vec();
    *broken.last_mut().unwrap() ^= 1;
    for record in
        [&old.bytes, &broken.into(), &signed(6, 99, NOW_MS + 9).bytes, &new.bytes, &signed(5, 7, NOW_MS - 1).bytes]
    {
        router.put(&name(5), record);
    }
    assert_eq!(one.node.names().resolve(&name(5), Fetch::Allowed).await.unwrap(), new);
    let stale = one.node.names().put(&name(5), old.bytes.clone()).await;
    assert!(matches!(stale, Err(NameError::Stale { held: 4 })), "{stale:?}");
    assert!(matches!(one.node.names().put(&name(6), new.bytes.clone()).await, Err(NameError::Invalid(_))));
    // The same again is fine; one with a longer validity takes its place.
    assert_eq!(one.node.names().put(&name(5), new.bytes.clone()).await.unwrap(), new);
    let longer = signed(5, 4, NOW_MS + 50);
    assert_eq!(one.node.names().put(&name(5), longer.bytes.clone()).await.unwrap(), longer);
    until(|| router.records(&name(5)).contains(&longer.bytes)).await;
    // Its time ends: nothing is known any more, here or there.
    to(&one, NOW_MS + 61_000);
    assert!(one.node.names().resolve(&name(5), Fetch::Allowed).await.is_err());
}

#[tokio::test]
async fn records_outlive_a_restart_and_are_told_to_the_swarm() {
    let router = Arc::new(MemoryRouter::default());
    let one = bench(1, &router).await;
    let record = signed(5, 1, NOW_MS + 100_000);
    one.node.names().put(&name(5), record.bytes.clone()).await.unwrap();
    assert!(one.node.ingest().name_record(&name(5), signed(5, 0, NOW_MS + 900_000).bytes).await.is_none(), "older");
    let newer = signed(5, 2, NOW_MS + 100_000);
    assert_eq!(one.node.ingest().name_record(&name(5), newer.bytes.clone()).await.unwrap(), newer);
    let store = Arc::clone(&one.store);
    drop(one);
    let again = Bench::on(store, Arc::new(ManualClock::new(NOW_MS)), 1, founding()).await;
    assert!(again.node.names().resolve(&name(5), Fetch::LocalOnly).await.is_err(), "not before its form is known");
    let none = Arc::new(MemoryRouter::default());
    bind(&again, &none);
    assert_eq!(again.node.names().resolve(&name(5), Fetch::LocalOnly).await.unwrap(), newer);
    assert_eq!(again.node.ingest().name_records().await, [(name(5), newer)]);
}

#[tokio::test]
async fn records_are_renewed_and_a_key_that_was_used_elsewhere_goes_on_behind_it() {
    let router = Arc::new(MemoryRouter::default());
    let one = bench(1, &router).await;
    router.put(&name(5), &signed(5, 41, NOW_MS + 1_000).bytes);
    let key = one.node.import_name_key("moved", &[5; 32]).await.unwrap();
    assert_eq!(key.name, name(5));
    let published = one.node.publish_name(publish("moved", "/ipns/example.org")).await.unwrap();
    assert_eq!(published.record.sequence, 42);
    until(|| router.records(&name(5)).contains(&published.record.bytes)).await;
    to(&one, NOW_MS + 4 * 3_600_000);
    publish::republish(&one.node.inner).await.unwrap();
    let renewed = one.node.names().resolve(&name(5), Fetch::LocalOnly).await.unwrap();
    assert_eq!((renewed.sequence, renewed.until_ms), (42, NOW_MS + 52 * 3_600_000));
    until(|| router.records(&name(5)).contains(&renewed.bytes)).await;
    // Not due again, and not at all once the key is gone.
    publish::republish(&one.node.inner).await.unwrap();
    one.node.remove_name_key("moved").await.unwrap();
    to(&one, NOW_MS + 9 * 3_600_000);
    publish::republish(&one.node.inner).await.unwrap();
    assert_eq!(one.node.names().resolve(&name(5), Fetch::LocalOnly).await.unwrap(), renewed);
    assert!(one.node.publish_name(publish("moved", CID)).await.is_err());
}

#[tokio::test]
async fn keys_have_names_of_their_own_and_their_seeds_are_sealed() {
    let router = Arc::new(MemoryRouter::default());
    let one = bench(1, &router).await;
    let own = one.node.name_keys().await.unwrap();
    assert_eq!((own.len(), own[0].key.as_str()), (1, SELF_KEY));
    one.node.create_name_key("b").await.unwrap();
    one.node.import_name_key("a", &[5; 32]).await.unwrap();
    let keys: Vec<String> = one.node.name_keys().await.unwrap().into_iter().map(|key| key.key).collect();
    assert_eq!(keys, ["self", "a", "b"]);
    assert!(matches!(one.node.create_name_key("a").await, Err(Error::Name(NameFault::KeyTaken(_)))));
    assert!(matches!(one.node.remove_name_key("self").await, Err(Error::Name(NameFault::OwnKey))));
    assert!(matches!(one.node.remove_name_key("c").await, Err(Error::Name(NameFault::UnknownKey(_)))));
    for (_, row) in one.store.side_scan("ipns-key", &[], 9).await.unwrap() {
        assert!(!row.windows(32).any(|part| part == [5; 32]), "a seed is in the store as it is");
    }
    assert!(one.node.publish_name(publish(SELF_KEY, CID)).await.is_ok());
}

#[tokio::test]
async fn of_others_a_bounded_number_of_records_is_kept() {
    let router = Arc::new(MemoryRouter::default());
    let one = bench(1, &router).await;
    let own = one.node.publish_name(publish(SELF_KEY, CID)).await.unwrap();
    let mut names = Vec::new();
    for number in 0..4100_u32 {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        let draft = NameDraft { value: "/ipfs/bafkqaaa".into(), sequence: 0, until_ms: NOW_MS + 90_000, ttl_s: 0 };
        let record = IpnsRecords.sign(&seed, &draft).unwrap();
        to(&one, NOW_MS + u64::from(number));
        names.push(keys::name_of(&seed));
        one.node.ingest().name_record(names.last().unwrap(), record.bytes).await.unwrap();
    }
    let rows = one.store.side_scan("ipns-record", &[], u32::MAX).await.unwrap();
    assert_eq!(rows.len(), 4096 + 1);
    assert!(one.node.names().resolve(&names[3], Fetch::LocalOnly).await.is_err(), "the oldest went");
    assert!(one.node.names().resolve(&names[4], Fetch::LocalOnly).await.is_ok());
    assert!(one.node.names().resolve(&own.name, Fetch::LocalOnly).await.is_ok());
}

#[tokio::test]
async fn routers_are_asked_together() {
    let router = Arc::new(MemoryRouter::default());
    let one = Bench::new(1).await;
    let key = Multihash::wrap(0x12, &[1; 32]).unwrap();
    let found =
        |peer: &str, address: &str| Provider { peer: peer.into(), addresses: vec![address.into()], protocols: vec![] };
    ["a", "b", "a", "c"].iter().for_each(|peer| router.provide(key, found(peer, "")));
    router.place(found("x", "/ip4/192.0.2.1/tcp/1"));
    let other = Arc::new(MemoryRouter::default());
    other.place(found("x", "/ip4/192.0.2.1/tcp/2"));
    assert_eq!(one.node.find_providers(key, 9).count().await, 0, "nothing is bound");
    one.node.bind_routing(RoutingPorts {
        routers: vec![Arc::clone(&router) as _, other as _, Arc::clone(&router) as _],
        announcers: vec![],
        provide: Provide::Off,
        records: Arc::new(IpnsRecords),
        links: None,
    });
    let mut found: Vec<String> = one.node.find_providers(key, 9).map(|found| found.peer).collect().await;
    found.sort_unstable();
    assert_eq!(found, ["a", "b", "c"]);
    assert_eq!(one.node.find_providers(key, 2).count().await, 2);
    assert_eq!(one.node.find_peer("x").await.unwrap().addresses.len(), 2);
    assert_eq!(one.node.find_peer("nobody").await, None);
}
