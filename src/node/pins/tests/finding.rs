//! Finding pins.

use proptest::prelude::*;
use rustdht_core::ports::SideRow;

use super::*;

/// Pins as they were made, to compare with what is found.
#[derive(Clone, Debug)]
struct Made {
    cid: usize,
    name: String,
    status: PinStatus,
    meta: bool,
}

fn made() -> impl Strategy<Value = Made> {
    let name = prop_oneof![Just(String::new()), "[abAB]{1,3}"];
    let status = proptest::sample::select(vec![PinStatus::Queued, PinStatus::Pinned, PinStatus::Failed]);
    (0..3_usize, name, status, any::<bool>()).prop_map(|(cid, name, status, meta)| Made { cid, name, status, meta })
}

/// What is asked for.
#[derive(Clone, Debug)]
struct Asked {
    cids: Vec<usize>,
    name: Option<(String, NameMatch)>,
    statuses: Vec<PinStatus>,
    before_ms: Option<u64>,
    after_ms: Option<u64>,
    meta: bool,
    limit: usize,
}

fn asked() -> impl Strategy<Value = Asked> {
    let names = proptest::sample::select(vec![
        NameMatch::Exact,
        NameMatch::IgnoringCase,
        NameMatch::Partial,
        NameMatch::PartialIgnoringCase,
    ]);
    (
        proptest::collection::vec(0..3_usize, 0..3),
        proptest::option::of(("[abAB]{0,2}", names)),
        proptest::sample::subsequence(PinStatus::ALL.to_vec(), 1..=4),
        (proptest::option::of(0..14_u64), proptest::option::of(0..14_u64)),
        any::<bool>(),
        1..6_usize,
    )
        .prop_map(|(cids, name, statuses, (before_ms, after_ms), meta, limit)| Asked {
            cids,
            name,
            statuses,
            before_ms,
            after_ms,
            meta,
            limit,
        })
}

fn cids() -> [Cid; 3] {
    [
        "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
        "bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e",
        "QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8",
    ]
    .map(|cid| cid.parse().unwrap())
}

fn notes(some: bool) -> std::collections::BTreeMap<String, String> {
    if some { [("k".to_owned(), "v".to_owned())].into() } else { Default::default() }
}

impl Asked {
    fn filter(&self) -> PinFilter {
        PinFilter {
            cids: self.cids.iter().map(|cid| cids()[*cid]).collect(),
            name: self.name.clone(),
            statuses: self.statuses.clone(),
            before_ms: self.before_ms,
            after_ms: self.after_ms,
            meta: notes(self.meta),
            limit: self.limit,
        }
    }

    fn takes(&self, at: u64, made: &Made) -> bool {
        let named = |(name, how): &(String, NameMatch)| match how {
            NameMatch::Exact => made.name == *name,
            NameMatch::IgnoringCase => made.name.eq_ignore_ascii_case(name),
            NameMatch::Partial => made.name.contains(name.as_str()),
            NameMatch::PartialIgnoringCase => made.name.to_ascii_lowercase().contains(&name.to_ascii_lowercase()),
        };
        (self.cids.is_empty() || self.cids.contains(&made.cid))
            && self.name.as_ref().is_none_or(named)
            && self.statuses.contains(&made.status)
            && self.before_ms.is_none_or(|before| at < before)
            && self.after_ms.is_none_or(|after| at > after)
            && (!self.meta || made.meta)
    }
}

/// The rows of a pin that was made so.
fn rows_of(holder: &PublicKey, at: u64, made: &Made) -> Vec<SideRow> {
    let row = row::PinRow {
        cid: cids()[made.cid],
        name: made.name.clone(),
        meta: notes(made.meta),
        origins: Vec::new(),
        recursive: true,
        uploaded: false,
        status: made.status,
        bytes: 1,
        due_ms: None,
        attempts: 0,
        detail: String::new(),
    };
    row::rows(holder, &PinId::new(at, [at as u8; 8]), &row, None)
}

#[test]
fn what_is_found_is_what_a_look_at_all_would_find() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Without its tasks: nothing works on the queue.
    let (node, _tasks) = runtime.block_on(async {
        let ports = crate::Ports {
            store: Arc::new(rustdht_testkit::MemoryStore::default()),
            blobs: Arc::new(rustdht_testkit::TempBlobs::default()),
            clock: Arc::new(rustdht_testkit::ManualClock::new(crate::tests::NOW_MS)),
            entropy: Arc::new(rustdht_testkit::SeededEntropy::new(1)),
        };
        let config = crate::Config::new(crate::tests::founding(), [0; 32], [9; 32].into());
        crate::Node::start(ports, config).await.unwrap()
    });
    let count = std::cell::Cell::new(0_u64);
    let mut runner = proptest::test_runner::TestRunner::default();
    let strategy = (proptest::collection::vec(made(), 0..12), proptest::collection::vec(asked(), 1..6));
    let case = |(all, questions): (Vec<Made>, Vec<Asked>)| {
        // Each case is another holder.
        count.set(count.get() + 1);
        let mut holder = [0; 32];
        holder[..8].copy_from_slice(&count.get().to_be_bytes());
        let holder = PublicKey(holder);
        runtime.block_on(async {
            let rows = (1..).zip(&all).flat_map(|(at, made)| rows_of(&holder, at, made)).collect();
            node.side(rows).await.unwrap();
            for asked in questions {
                let found = node.pins(Principal::Account(holder), &asked.filter()).await.unwrap();
                let mut expected: Vec<u64> =
                    (1..).zip(&all).filter(|(at, made)| asked.takes(*at, made)).map(|(at, _)| at).collect();
                expected.reverse();
                prop_assert_eq!(found.count, expected.len() as u64);
                expected.truncate(asked.limit);
                let times: Vec<u64> = found.pins.iter().map(|pin| pin.created_ms).collect();
                prop_assert_eq!(times, expected);
            }
            Ok(())
        })
    };
    runner.run(&strategy, case).unwrap();
}
