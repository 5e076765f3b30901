use proptest::prelude::*;

use super::*;

/// Long before the records of the gateway conformance suite end (2123).
const NOW_MS: u64 = 1_795_000_000_000;

macro_rules! fixture {
    ($name:literal, $kind:literal) => {
        ($name, include_bytes!(concat!("fixtures/", $name, $kind, ".ipns-record")).as_slice())
    };
}

fn check(name: &str, record: &[u8], now_ms: u64) -> Result<NameRecord, NameError> {
    IpnsRecords.check(&name.parse().unwrap(), Bytes::copy_from_slice(record), now_ms)
}

fn why(result: Result<NameRecord, NameError>) -> String {
    match result {
        Err(NameError::Invalid(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// The records of the official suite, and what it expects of them.
#[test]
fn records_of_the_conformance_suite() {
    for (name, record) in [
        fixture!("k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w", "_v1-v2"),
        fixture!("k51qzi5uqu5dit2ku9mutlfgwyz8u730on38kd10m97m36bjt66my99hb6103f", "_v2"),
        fixture!("k51qzi5uqu5dilgf7gorsh9vcqqq4myo6jd4zmqkuy9pxyxi5fua3uf7axph4y", "_v1-v2-broken-signature-v1"),
    ] {
        let good = check(name, record, NOW_MS).unwrap();
        assert!(good.value.starts_with("/ipfs/bafkqad") || good.value.starts_with("/ipfs/bafkqah"), "{}", good.value);
        assert_eq!((good.sequence, good.ttl_s, good.until_ms), (0, 1800, 4_847_689_023_694), "{name}");
        assert_eq!(good.bytes, record);
    }
    for ((name, record), expected) in [
        (fixture!("k51qzi5uqu5dm4tm0wt8srkg9h9suud4wuiwjimndrkydqm81cqtlb5ak6p7ku", "_v1"), "no signature V2"),
        (
            fixture!("k51qzi5uqu5diamp7qnnvs1p1gzmku3eijkeijs3418j23j077zrkok63xdm8c", "_v1-v2-broken-signature-v2"),
            "the signature V2 is not",
        ),
        (
            fixture!("k51qzi5uqu5dlmit2tuwdvnx4sbnyqgmvbxftl0eo3f33wwtb9gr7yozae9kpw", "_v1-v2-broken-v1-value"),
            "the fields of version 1",
        ),
    ] {
        let why = why(check(name, record, NOW_MS));
        assert!(why.contains(expected), "{name}: {why}");
    }
    // An RSA key does not fit into its name: the record carries it.
    let (name, record) = fixture!("QmVujd5Vb7moysJj8itnGufN7MEtPRCNHkKpNuA4onsRa3", "");
    assert!(check(name, record, NOW_MS).unwrap().value.starts_with("/ipfs/"));
    let ours = "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w";
    assert!(why(check(ours, record, NOW_MS)).contains("not that of the name"));
}

fn draft(value: &str) -> NameDraft {
    NameDraft { value: value.to_owned(), sequence: 7, until_ms: NOW_MS + 5, ttl_s: 300 }
}

fn name_of(seed: [u8; 32]) -> IpnsName {
    let key = Keypair::ed25519_from_bytes(seed).unwrap().public().try_into_ed25519().unwrap();
    IpnsName::of_ed25519(&key.to_bytes())
}

#[test]
fn what_is_signed_is_good_until_its_time() {
    let (seed, name) = ([5; 32], name_of([5; 32]));
    let record = IpnsRecords.sign(&seed, &draft("/ipfs/bafkqaaa/x")).unwrap();
    for now_ms in [0, NOW_MS, NOW_MS + 5] {
        assert_eq!(IpnsRecords.check(&name, record.bytes.clone(), now_ms).unwrap(), record);
    }
    let late = why(IpnsRecords.check(&name, record.bytes.clone(), NOW_MS + 6));
    assert!(late.contains("its time was over"), "{late}");
    assert!(IpnsRecords.check(&name_of([6; 32]), record.bytes, NOW_MS).is_err(), "another's name");
}

#[test]
fn a_record_that_was_changed_is_none() {
    let name = name_of([5; 32]);
    let record = IpnsRecords.sign(&[5; 32], &draft("/ipns/example.org")).unwrap().bytes;
    // Of the signature V1 nobody takes notice: field 2, behind the value.
    let v1 = 2 + "/ipns/example.org".len() + 2;
    for at in (0..record.len()).filter(|at| !(v1..v1 + 64).contains(at)) {
        let mut changed = record.to_vec();
        changed[at] ^= 1;
        assert!(IpnsRecords.check(&name, changed.into(), NOW_MS).is_err(), "byte {at}");
    }
    for len in 0..record.len() {
        assert!(IpnsRecords.check(&name, record.slice(..len), NOW_MS).is_err(), "{len} bytes");
    }
}

#[test]
fn bounds_and_values() {
    let name = name_of([5; 32]);
    let of = |value: &str| IpnsRecords.sign(&[5; 32], &draft(value));
    for bad in ["ipfs", "/ipfs/", "/x/y", "/"] {
        assert!(of(bad).is_err(), "{bad}");
    }
    let long = |len: usize| format!("/ipfs/{}", "x".repeat(len));
    // The value stands in a record twice.
    let fits = (4000..6000).rev().find(|len| of(&long(*len)).is_ok()).unwrap();
    assert!(of(&long(fits)).unwrap().bytes.len() > MAX_IPNS_RECORD_BYTES - 2);
    assert!(why(of(&long(fits + 1))).contains("10 KiB"));
    let mut padded = of("/ipfs/bafkqaaa").unwrap().bytes.to_vec();
    let room = MAX_IPNS_RECORD_BYTES - padded.len() - 3;
    crate::protobuf::put_bytes(&mut padded, 15, &vec![0; room]);
    assert_eq!(padded.len(), MAX_IPNS_RECORD_BYTES);
    assert!(IpnsRecords.check(&name, padded.clone().into(), NOW_MS).is_ok(), "unknown fields are passed over");
    padded.push(0);
    assert!(why(IpnsRecords.check(&name, padded.into(), NOW_MS)).contains("10 KiB"));
    assert_eq!(path_of(b"").unwrap(), NOTHING);
    let cid: cid::Cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy".parse().unwrap();
    assert_eq!(path_of(&cid.to_bytes()).unwrap(), format!("/ipfs/{cid}"));
    assert!(path_of(b"/ipfs/\xff").is_err() && path_of(b"x").is_err());
}

proptest! {
    #[test]
    fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(IpnsRecords.check(&name_of([5; 32]), bytes.into(), NOW_MS).is_err());
    }
}
