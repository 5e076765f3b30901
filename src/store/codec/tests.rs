use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn entries() -> impl Strategy<Value = Entry> {
    let body = prop_oneof![
        Just(Body::None),
        any::<[u8; 32]>().prop_map(|hash| Body::Dropped(ValueHash(hash))),
        (".{0,20}", any::<Option<[u8; 16]>>())
            .prop_map(|(text, salt)| Body::Live { value: Value::from(&*text), salt: salt.map(Salt) }),
        (any::<i64>(), any::<[u8; 16]>())
            .prop_map(|(number, salt)| Body::Live { value: number.into(), salt: Some(Salt(salt)) }),
    ];
    let slot = proptest::option::of(vec(any::<u8>(), 0..=64));
    let ids = || vec(any::<[u8; 32]>().prop_map(EntryId), 0..4);
    let fixed = (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<u16>(), any::<u64>(), any::<[u8; 32]>());
    let leaf = any::<Option<[u8; 32]>>().prop_map(|leaf| leaf.map(CertificateId));
    (fixed, body, slot, ids(), ids(), any::<Option<u64>>(), leaf).prop_map(
        |(fixed, body, slot, kills, over, base, leaf)| {
            let (id, commit, index, stamp, author) = fixed;
            let author = PublicKey(author);
            Entry {
                id: EntryId(id),
                commit: CommitId(commit),
                index,
                soul: "people/ada".parse().unwrap(),
                field: "name".parse().unwrap(),
                kind: "register".parse().unwrap(),
                slot: slot.map_or(Slot::Own, |slot| Slot::Explicit(slot.into())),
                stamp: Stamp(stamp),
                author,
                leaf,
                writer: Writer::new(&author, leaf.as_ref()),
                body,
                kills,
                over,
                base: base.map(Stamp),
            }
        },
    )
}

fn read_back(entry: &Entry, data: &[u8]) -> Result<Entry, StoreError> {
    let columns = Columns {
        id: entry.id.0,
        soul: &entry.soul,
        field: &entry.field,
        commit: entry.commit.0,
        index: entry.index,
        stamp: entry.stamp.0,
        author: entry.author.0,
    };
    Decoder::default().entry(&columns, data)
}

proptest! {
    #[test]
    fn entries_and_losers_come_back(entry in entries()) {
        prop_assert_eq!(&read_back(&entry, &encode_entry(&entry)).unwrap(), &entry);
        let loser = Decoder::default().loser(entry.id.0, &entry.soul, &entry.field, &encode_loser(&entry)).unwrap();
        prop_assert_eq!(loser, entry);
    }

    /// A damaged row is an error or another well-formed row: never a panic, never a row of another spelling.
    #[test]
    fn a_changed_byte_never_panics(entry in entries(), at in any::<prop::sample::Index>(), bit in 0..8_u32, cut in any::<bool>()) {
        for (data, history) in [(encode_entry(&entry), false), (encode_loser(&entry), true)] {
            let mut changed = data.clone();
            let at = at.index(changed.len());
            changed[at] ^= 1 << bit;
            if cut {
                changed.truncate(at);
            }
            if history {
                let mut decoder = Decoder::default();
                if let Ok(read) = decoder.loser(entry.id.0, &entry.soul, &entry.field, &changed) {
                    prop_assert_eq!(encode_loser(&read), changed);
                }
            } else if let Ok(read) = read_back(&entry, &changed) {
                prop_assert_eq!(encode_entry(&read), changed);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..80)) {
        let mut decoder = Decoder::default();
        if let Ok(changes) = decoder.changes(&bytes) {
            prop_assert_eq!(encode_changes(&changes), bytes.clone());
        }
        prop_assert!(decoder.loser([0; 32], "a", "b", &bytes).is_err() || !bytes.is_empty());
    }

    #[test]
    fn changes_come_back(names in vec(("[a-z]{1,9}", vec("[a-z]{1,9}", 0..4)), 0..5)) {
        let changes: Vec<Change> = names
            .iter()
            .map(|(soul, fields)| Change {
                soul: soul.parse().unwrap(),
                fields: fields.iter().map(|field| field.parse().unwrap()).collect(),
            })
            .collect();
        prop_assert_eq!(Decoder::default().changes(&encode_changes(&changes)).unwrap(), changes);
    }
}

#[test]
fn lists_of_ids_are_whole_and_bounded() {
    let row = |kills: usize, over: usize| {
        let mut out = Vec::new();
        cbor::array(&mut out, 6);
        cbor::text(&mut out, "kill");
        cbor::null(&mut out);
        cbor::null(&mut out);
        cbor::bytes(&mut out, &vec![1; kills]);
        cbor::bytes(&mut out, &vec![1; over]);
        cbor::null(&mut out);
        let (id, commit, author) = ([0; 32], [0; 32], [0; 32]);
        let columns = Columns { id, soul: "a", field: "b", commit, index: 0, stamp: 0, author };
        Decoder::default().entry(&columns, &out)
    };
    assert_eq!(row(32 * MAX_KILLS, 32 * MAX_OVER).unwrap().kills.len(), MAX_KILLS);
    for (kills, over) in [(33, 0), (31, 0), (0, 33), (32 * MAX_KILLS + 32, 0), (0, 32 * MAX_OVER + 32)] {
        assert!(row(kills, over).is_err(), "{kills} and {over} bytes of ids");
    }
}

#[test]
fn one_author_under_two_certificates_is_two_writers() {
    let mut decoder = Decoder::default();
    let mut row = |leaf: Option<[u8; 32]>| {
        let mut out = Vec::new();
        cbor::array(&mut out, 6 + usize::from(leaf.is_some()));
        cbor::text(&mut out, "register");
        cbor::bytes(&mut out, &[]);
        (0..1).for_each(|_| cbor::null(&mut out));
        cbor::bytes(&mut out, &[]);
        cbor::bytes(&mut out, &[]);
        cbor::null(&mut out);
        leaf.iter().for_each(|leaf| cbor::bytes(&mut out, leaf));
        let (id, commit, author) = ([0; 32], [0; 32], [9; 32]);
        let columns = Columns { id, soul: "a", field: "b", commit, index: 0, stamp: 0, author };
        decoder.entry(&columns, &out).unwrap()
    };
    let (bare, first, second) = (row(None), row(Some([1; 32])), row(Some([2; 32])));
    assert_eq!(
        (bare.leaf, first.leaf),
        (None, Some(CertificateId([1; 32]))),
        "rows without certificate have six parts"
    );
    assert_eq!(bare.writer, Writer::new(&PublicKey([9; 32]), None));
    assert_eq!(first.writer, Writer::new(&PublicKey([9; 32]), Some(&CertificateId([1; 32]))));
    assert!(first.writer != second.writer && row(None).writer == bare.writer);
}
