use proptest::collection::vec;
use proptest::prelude::*;

use super::proto::{put_bytes, put_number, put_varint, varint_len};
use super::*;
use crate::DecodeError;
use crate::hash::Key;
use crate::limits::{MAX_BLOCK_BYTES, MAX_ITEMS_PER_MESSAGE, MAX_MESSAGE_BYTES};

fn cids() -> impl Strategy<Value = Cid> {
    let hash = prop_oneof![
        any::<[u8; 32]>().prop_map(|digest| Key::wrap(0x12, &digest).unwrap()),
        vec(any::<u8>(), 64).prop_map(|digest| Key::wrap(0x13, &digest).unwrap()),
        any::<[u8; 32]>().prop_map(|digest| Key::wrap(0xb220, &digest).unwrap()),
    ];
    prop_oneof![
        (any::<u64>(), hash).prop_map(|(codec, hash)| Cid::new_v1(codec >> 1, hash)),
        any::<[u8; 32]>().prop_map(|digest| Cid::new_v0(Key::wrap(0x12, &digest).unwrap()).unwrap()),
    ]
}

fn entries() -> impl Strategy<Value = Entry> {
    (cids(), any::<i32>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(cid, priority, cancel, have, send_dont_have)| Entry {
            cid,
            priority,
            cancel,
            kind: if have { Kind::Have } else { Kind::Block },
            send_dont_have,
        },
    )
}

/// A message and the blocks with the CIDs that they are sent under.
fn messages() -> impl Strategy<Value = (Message, Vec<(Cid, Bytes)>)> {
    let presences = (cids(), any::<bool>()).prop_map(|(cid, have)| Presence { cid, have });
    let blocks = (cids(), vec(any::<u8>(), 0..300)).prop_map(|(cid, data)| (cid, Bytes::from(data)));
    (any::<bool>(), vec(entries(), 0..20), vec(presences, 0..20), vec(blocks, 0..8)).prop_map(
        |(full, wants, presences, blocks)| {
            let payloads = blocks
                .iter()
                .map(|(cid, data)| Payload {
                    hash: Hash::new(cid.hash().code(), cid.hash().digest().len()).unwrap(),
                    data: data.clone(),
                })
                .collect();
            (Message { full, wants, presences, blocks: payloads, ..Message::default() }, blocks)
        },
    )
}

/// Bytes of a message without its length, having checked the length.
fn body(frame: &Frame) -> Bytes {
    let all = frame.concat();
    let (len, head) = varint(&all).unwrap().unwrap();
    assert_eq!(len as usize, all.len() - head);
    Bytes::from(all).split_off(head)
}

fn body_of(message: &Message, blocks: &[(Cid, Bytes)]) -> Bytes {
    encode(Version::V12, message.full, &message.wants, &message.presences, blocks)
        .map(|frame| body(&frame))
        .unwrap_or_default()
}

proptest! {
    #[test]
    fn a_message_comes_back_as_it_was((message, blocks) in messages()) {
        prop_assert_eq!(decode(&body_of(&message, &blocks)).unwrap(), message);
    }

    #[test]
    fn pieces_that_are_taken_off_are_the_bytes_in_order((message, blocks) in messages(), step in 1_usize..50) {
        if let Some(mut frame) = encode(Version::V12, message.full, &message.wants, &message.presences, &blocks) {
            let whole = frame.concat();
            let mut taken = Vec::new();
            while !frame.chunk().is_empty() {
                let len = step.min(frame.chunk().len());
                taken.extend_from_slice(&frame.chunk()[..len]);
                frame.advance(len);
            }
            prop_assert_eq!(taken, whole);
        }
    }

    #[test]
    fn a_message_cut_off_is_refused_or_shorter((message, blocks) in messages(), at in any::<prop::sample::Index>()) {
        let whole = body_of(&message, &blocks);
        if !whole.is_empty() {
            let cut = whole.slice(..at.index(whole.len()));
            // A cut between two fields of the outermost message leaves a smaller message; nothing else is accepted.
            if let Ok(part) = decode(&cut) {
                prop_assert!(part.wants.len() <= message.wants.len());
                prop_assert!(part.blocks.len() + part.presences.len() <= message.blocks.len() + message.presences.len());
                prop_assert!(part != message || cut == whole);
            }
        }
    }

    #[test]
    fn changed_and_random_bytes_are_refused_or_read_but_never_panic(
        (message, blocks) in messages(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        noise in vec(any::<u8>(), 0..400),
    ) {
        let mut bytes = body_of(&message, &blocks).to_vec();
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        for bytes in [bytes, noise] {
            let len = bytes.len();
            if let Ok(read) = decode(&Bytes::from(bytes)) {
                prop_assert!(read.wants.len() + read.blocks.len() + read.presences.len() <= len);
                prop_assert!(read.blocks.iter().map(|block| block.data.len()).sum::<usize>() <= len);
            }
        }
    }

    #[test]
    fn varints_have_their_length_and_come_back(number in any::<u64>(), shift in 0_u32..64) {
        let number = number >> shift;
        let mut out = Vec::new();
        put_varint(&mut out, number);
        prop_assert_eq!(out.len(), varint_len(number));
        prop_assert_eq!(varint(&out).unwrap(), Some((number, out.len())));
        prop_assert_eq!(varint(&out[..out.len() - 1]).unwrap(), None);
    }
}

#[test]
fn varints_beyond_64_bits_are_refused() {
    assert_eq!(varint(&[0xff; 10]), Err(DecodeError::Varint));
    assert_eq!(varint(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2]), Err(DecodeError::Varint));
    assert_eq!(varint(&[0x80; 9]), Ok(None));
}

#[test]
fn a_wantlist_of_a_million_is_cut_to_the_bound_and_counted() {
    let mut list = Vec::new();
    for n in 0..1_000_000_u32 {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&n.to_be_bytes());
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, &Cid::new_v1(0x55, Key::wrap(0x12, &digest).unwrap()).to_bytes());
        put_number(&mut entry, 2, 1);
        put_bytes(&mut list, 1, &entry);
    }
    let mut whole = Vec::new();
    put_bytes(&mut whole, 1, &list);
    // Longer than a stream would take; the decoder holds by itself.
    assert!(whole.len() > 10 * MAX_MESSAGE_BYTES);
    let message = decode(&Bytes::from(whole)).unwrap();
    assert_eq!(message.wants.len(), MAX_ITEMS_PER_MESSAGE);
    assert_eq!(message.dropped_wants, 1_000_000 - MAX_ITEMS_PER_MESSAGE as u64);
}

#[test]
fn empty_blocks_and_presences_without_end_are_cut_to_the_bound() {
    let mut block = Vec::new();
    put_bytes(&mut block, 1, &[1, 0x55, 0x12, 32]);
    let mut whole = Vec::new();
    for _ in 0..MAX_ITEMS_PER_MESSAGE + 5 {
        put_bytes(&mut whole, 3, &block);
        put_bytes(&mut whole, 4, &[]);
    }
    let message = decode(&Bytes::from(whole)).unwrap();
    assert_eq!((message.blocks.len(), message.presences.len()), (MAX_ITEMS_PER_MESSAGE, 0));
    assert_eq!(message.refused, 5 + MAX_ITEMS_PER_MESSAGE as u64 + 5);
}

#[test]
fn blocks_of_2_mib_are_read_and_larger_ones_left_out() {
    let cid = Cid::new_v1(0x55, Key::wrap(0x12, &[0; 32]).unwrap());
    for (len, kept) in [(MAX_BLOCK_BYTES, 1), (MAX_BLOCK_BYTES + 1, 0)] {
        let blocks = [(cid, Bytes::from(vec![7; len]))];
        let frame = encode(Version::V12, false, &[], &[], &blocks).unwrap();
        let message = decode(&body(&frame)).unwrap();
        assert_eq!((message.blocks.len(), message.refused), (kept, 1 - kept as u64));
    }
}

#[test]
fn small_blocks_do_not_hold_the_memory_of_their_message() {
    let cid = Cid::new_v1(0x55, Key::wrap(0x12, &[0; 32]).unwrap());
    let blocks = [(cid, Bytes::from(vec![1; 100_000])), (cid, Bytes::from(vec![2; 100]))];
    let frame = body(&encode(Version::V12, false, &[], &[], &blocks).unwrap());
    let message = decode(&frame).unwrap();
    let inside = frame.as_ptr_range();
    assert!(inside.contains(&message.blocks[0].data.as_ptr()), "the large one is not copied");
    assert!(!inside.contains(&message.blocks[1].data.as_ptr()), "the small one is");
}

#[test]
fn identity_and_oversized_cids_are_left_out_without_refusing_the_message() {
    let good = Cid::new_v1(0x55, Key::wrap(0x12, &[1; 32]).unwrap());
    let inline = Cid::new_v1(0x55, Key::wrap(0, b"inline").unwrap());
    let mut list = Vec::new();
    for cid in [inline.to_bytes(), vec![1; 200], [&good.to_bytes()[..], &[0]].concat(), good.to_bytes()] {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, &cid);
        put_bytes(&mut list, 1, &entry);
    }
    let mut whole = Vec::new();
    put_bytes(&mut whole, 1, &list);
    let message = decode(&Bytes::from(whole)).unwrap();
    assert_eq!(message.wants.iter().map(|want| want.cid).collect::<Vec<_>>(), [good]);
    assert_eq!(message.refused, 3);
}

#[test]
fn malformed_messages_are_refused_by_name() {
    let refused = |bytes: &[u8]| decode(&Bytes::copy_from_slice(bytes)).unwrap_err();
    assert_eq!(refused(&[0x0a, 5, 0]), DecodeError::Truncated);
    assert_eq!(refused(&[0x0a]), DecodeError::Truncated);
    assert_eq!(refused(&[0x08, 1]), DecodeError::Type("wantlist"));
    assert_eq!(refused(&[0x0b]), DecodeError::Field, "a group");
    assert_eq!(refused(&[0x02, 0]), DecodeError::Field, "field 0");
    assert_eq!(refused(&[0x1a, 2, 0x12, 0]), DecodeError::Prefix, "a block without a prefix");
    assert_eq!(refused(&[0x1a, 6, 0x0a, 4, 2, 0x55, 0x12, 32]), DecodeError::Prefix, "CID version 2");
    // Fields that the schema does not have are skipped, as protobuf wants it.
    assert_eq!(decode(&Bytes::from_static(&[0x78, 1, 0x7a, 1, 9])).unwrap(), Message::default());
}

#[test]
fn older_versions_get_what_they_understand() {
    let v0 = Cid::new_v0(Key::wrap(0x12, &[3; 32]).unwrap()).unwrap();
    let raw = Cid::new_v1(0x55, Key::wrap(0x12, &[4; 32]).unwrap());
    let wants = [
        Entry { cid: raw, priority: 1, cancel: false, kind: Kind::Have, send_dont_have: true },
        Entry { cid: raw, priority: 1, cancel: false, kind: Kind::Block, send_dont_have: true },
    ];
    let presences = [Presence { cid: raw, have: true }];
    let blocks = [(v0, Bytes::from_static(b"dag-pb")), (raw, Bytes::from_static(b"raw"))];
    let read = |version| decode(&body(&encode(version, false, &wants, &presences, &blocks).unwrap())).unwrap();

    let v11 = read(Version::V11);
    assert_eq!((v11.wants.len(), v11.presences.len(), v11.blocks.len()), (1, 0, 2));
    assert!(!v11.wants[0].send_dont_have);
    let v10 = read(Version::V10);
    assert_eq!((v10.wants.len(), v10.blocks.len()), (1, 1), "without a prefix only sha2-256 in dag-pb can be told");
    assert_eq!(v10.blocks[0].data, "dag-pb");
    assert!(encode(Version::V11, false, &wants[..1], &presences, &[]).is_none(), "nothing is left to say");
}
