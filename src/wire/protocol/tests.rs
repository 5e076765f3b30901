use bytes::Bytes;
use proptest::prelude::*;
use rustdht_core::{Code, PublicKey, RecordId, Refusal, ports::IngestOutcome};

use super::*;

fn envelope() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn envelopes() -> impl Strategy<Value = Vec<Bytes>> {
    proptest::collection::vec(envelope(), 0..4)
}

fn records() -> impl Strategy<Value = Vec<RecordId>> {
    proptest::collection::vec(any::<[u8; 32]>().prop_map(RecordId), 0..4)
}

fn members() -> impl Strategy<Value = Vec<Member>> {
    let member = (envelope(), proptest::collection::vec("[a-z/0-9]{0,20}", 0..3))
        .prop_map(|(record, addresses)| Member { record, addresses });
    proptest::collection::vec(member, 0..3)
}

fn sync() -> impl Strategy<Value = SyncMessage> {
    prop_oneof![
        (any::<Option<u32>>(), any::<u64>(), any::<[u8; 32]>())
            .prop_map(|(below_seconds, count, sum)| { SyncMessage::Summary(Summary { below_seconds, count, sum }) }),
        envelope().prop_map(SyncMessage::Ranges),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        (any::<[u8; 32]>(), any::<[u8; 8]>())
            .prop_map(|(nonce, incarnation)| Request::Hello(Greeting::Open { nonce, incarnation })),
        (any::<[u8; 32]>(), members()).prop_map(|(proof, members)| Request::Hello(Greeting::Prove { proof, members })),
        members().prop_map(|members| Request::Hello(Greeting::Members(members))),
        envelopes().prop_map(|envelopes| Request::Put { envelopes }),
        "[a-z]{1,20}".prop_map(|soul| Request::Get { soul: soul.parse().unwrap() }),
        sync().prop_map(Request::Sync),
        records().prop_map(|records| Request::Fetch { records }),
        any::<[u8; 32]>().prop_map(|key| Request::Certify { gateway: PublicKey(key) }),
    ]
}

fn outcome() -> impl Strategy<Value = PutOutcome> {
    prop_oneof![
        Just(IngestOutcome::Durable),
        Just(IngestOutcome::Pending),
        Just(IngestOutcome::Unavailable),
        any::<u64>().prop_map(|until_ms| IngestOutcome::Early { until_ms }),
        "[a-z. ]{0,30}"
            .prop_map(|detail| IngestOutcome::Refused(Refusal::new(Code::BadSlot, detail).within("ops.1.t"))),
    ]
    .prop_map(PutOutcome)
}

fn response() -> impl Strategy<Value = (Protocol, Response)> {
    prop_oneof![
        (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<[u8; 8]>()).prop_map(|(proof, nonce, incarnation)| {
            (Protocol::Hello, Response::Hello(Reply::Challenge { proof, nonce, incarnation }))
        }),
        members().prop_map(|members| (Protocol::Hello, Response::Hello(Reply::Welcome(members)))),
        Just((Protocol::Hello, Response::Hello(Reply::Denied))),
        proptest::collection::vec(outcome(), 0..5).prop_map(|outcomes| (Protocol::Put, Response::Put { outcomes })),
        envelopes().prop_map(|envelopes| (Protocol::Get, Response::Get { envelopes })),
        sync().prop_map(|message| (Protocol::Sync, Response::Sync(message))),
        (envelopes(), records())
            .prop_map(|(envelopes, missing)| (Protocol::Fetch, Response::Fetch { envelopes, missing })),
        proptest::collection::vec((envelope(), any::<[u8; 32]>()), 0..=8).prop_map(|pairs| {
            let pair = |(bytes, half): (Bytes, [u8; 32])| (bytes, Bytes::from([half, half].concat()));
            (Protocol::Certify, Response::Certify(pairs.into_iter().map(pair).collect()))
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn requests_survive_and_belong_to_one_protocol(request in request()) {
        let bytes = request.encode();
        for protocol in Protocol::ALL {
            let read = Request::decode(protocol, &bytes);
            if protocol == request.protocol() {
                prop_assert_eq!(read.unwrap(), request.clone());
            } else {
                prop_assert!(read.is_err());
            }
        }
    }

    #[test]
    fn responses_survive((protocol, response) in response()) {
        prop_assert_eq!(Response::decode(protocol, &response.encode()).unwrap(), response);
    }

    /// Whatever byte is changed, added or cut: refused, or read as something that encodes to exactly these bytes.
    #[test]
    fn mutants_are_refused_or_canonical(
        request in request(),
        (protocol, response) in response(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let mutate = |mut bytes: Vec<u8>| {
            for (at, byte, how) in &edits {
                if bytes.is_empty() {
                    break;
                }
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = *byte,
                    1 => bytes.insert(at, *byte),
                    _ => { bytes.remove(at); }
                }
            }
            bytes
        };
        let bytes = mutate(request.encode());
        if let Ok(read) = Request::decode(request.protocol(), &bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
        let bytes = mutate(response.encode());
        if let Ok(read) = Response::decode(protocol, &bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for protocol in Protocol::ALL {
            let _ = Request::decode(protocol, &bytes);
            let _ = Response::decode(protocol, &bytes);
        }
    }
}

proptest! {
    #[test]
    fn live_messages_survive_and_are_told_from_envelopes(
        payload in envelope(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let live = Live { payload };
        let mut bytes = live.encode();
        prop_assert!(Live::is(&bytes));
        prop_assert_eq!(&Live::decode(&bytes).unwrap(), &live);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = Live::decode(&bytes) {
            prop_assert!(Live::is(&bytes));
            prop_assert_eq!(read.encode(), bytes);
        }
    }
}

#[test]
fn live_messages_are_bounded() {
    let of = |len: usize| Live { payload: vec![7; len].into() }.encode();
    let most = rustdht_core::ports::MAX_LIVE_BYTES;
    assert!(of(most).len() <= Live::MAX_BYTES);
    assert!(Live::decode(&of(most)).is_ok());
    for over in [most + 1, most + 100] {
        assert_eq!(Live::decode(&of(over)).unwrap_err().code, Code::TooLarge);
    }
    for head in [b"\xa3\x61c", b"\xa3\x61e", b"\xa3\x61g", b"\xa2\x61h"] {
        assert!(!Live::is(head));
    }
}

#[test]
fn bounds_are_kept() {
    let pair = |len: usize| (Bytes::from(vec![0; len]), Bytes::from_static(&[0; 64]));
    let certify = |pairs: Vec<_>| Response::decode(Protocol::Certify, &Response::Certify(pairs).encode());
    assert!(certify(vec![pair(MAX_CERTIFICATE_BYTES); MAX_CHAIN]).is_ok());
    assert_eq!(certify(vec![pair(MAX_CERTIFICATE_BYTES + 1)]).unwrap_err().code, Code::TooLarge);
    assert_eq!(certify(vec![pair(1); MAX_CHAIN + 1]).unwrap_err().code, Code::TooLarge);
    assert!(certify(vec![(Bytes::new(), Bytes::from_static(&[0; 63]))]).is_err());
    let many = Request::Put { envelopes: vec![Bytes::new(); MAX_PUT_ENVELOPES + 1] }.encode();
    assert_eq!(Request::decode(Protocol::Put, &many).unwrap_err().code, Code::TooLarge);
    let most = Request::Put { envelopes: vec![Bytes::new(); MAX_PUT_ENVELOPES] }.encode();
    assert!(Request::decode(Protocol::Put, &most).is_ok());
    let large = Request::Put { envelopes: vec![Bytes::from(vec![0; MAX_REPLICA_ENVELOPE_BYTES + 1])] }.encode();
    assert_eq!(Request::decode(Protocol::Put, &large).unwrap_err().code, Code::TooLarge);
    let full = Request::Fetch { records: vec![RecordId([255; 32]); MAX_FETCH_RECORDS] }.encode();
    assert!(Request::decode(Protocol::Fetch, &full).is_ok());
    let over = Request::Fetch { records: vec![RecordId([255; 32]); MAX_FETCH_RECORDS + 1] }.encode();
    assert_eq!(Request::decode(Protocol::Fetch, &over).unwrap_err().code, Code::TooLarge);
    let member = Member { record: Bytes::new(), addresses: vec![String::new(); MAX_MEMBER_ADDRESSES + 1] };
    let greeting = Request::Hello(Greeting::Members(vec![member])).encode();
    assert_eq!(Request::decode(Protocol::Hello, &greeting).unwrap_err().code, Code::TooLarge);
}

#[test]
fn a_refusal_with_a_long_reason_is_clipped_at_a_character() {
    let refusal = Refusal::new(Code::BadValue, "ä".repeat(400));
    let response = Response::Put { outcomes: vec![PutOutcome(IngestOutcome::Refused(refusal))] };
    let Response::Put { outcomes } = Response::decode(Protocol::Put, &response.encode()).unwrap() else {
        panic!("a put response")
    };
    let IngestOutcome::Refused(read) = &outcomes[0].0 else { panic!("refused") };
    assert_eq!(read.detail, "ä".repeat(MAX_REASON_BYTES / 2));
}

#[test]
fn a_put_of_nothing_but_long_refusals_is_read() {
    let mut refusal = Refusal::new(Code::BadValue, "x".repeat(MAX_REASON_BYTES));
    refusal.field = "y".repeat(MAX_REASON_BYTES);
    let outcomes = vec![PutOutcome(IngestOutcome::Refused(refusal)); MAX_PUT_ENVELOPES];
    let response = Response::Put { outcomes };
    assert_eq!(Response::decode(Protocol::Put, &response.encode()).unwrap(), response);
}

/// A tree where a value is expected, and more elements than the bound, end before anything is built of them.
#[test]
fn nests_and_floods_are_refused() {
    let message = |value: &[u8]| [&[0xa2, 0x61, b'e'][..], value, &[0x61, b't', 0x63], b"put"].concat();
    let nest = [&[0x81, 0x99, 0x27, 0x10][..], &[0xf6; 10_000]].concat();
    assert_eq!(Request::decode(Protocol::Put, &message(&nest)).unwrap_err().code, Code::Malformed);
    let flood = [&[0x99, 0x27, 0x10][..], &[0xf6; 10_000]].concat();
    assert_eq!(Request::decode(Protocol::Put, &message(&flood)).unwrap_err().code, Code::TooLarge);
    assert_eq!(Request::decode(Protocol::Put, &message(&[0x80])).unwrap(), Request::Put { envelopes: vec![] });
}
