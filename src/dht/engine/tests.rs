use bytes::Bytes;
use rustdht_core::{
    Code, CommitId, NetId, Placement, RecordId, Refusal, Soul, Stamp,
    ports::{IndexItem, IngestOutcome, Published, ReplicaId},
};
use rustdht_wire::{
    ReplicaRecord, Role, SignedReplica, SigningKey, peer_id_text,
    protocol::{MAX_FETCH_BYTES, PutOutcome, Reply, Request, Response, Summary, SyncMessage},
};

use super::*;
use crate::limits::{
    ASK_DEADLINE_MS, MAX_QUEUED_COMMITS, MAX_SERVED, MAX_SYNC_ROUNDS, RETIRE_AFTER_MS, RETIRE_AFTER_START_MS,
    SAVE_SEEN_EVERY_MS, SYNC_SOON_MS,
};

const NET: NetId = NetId([3; 32]);
const NOW_MS: u64 = 1_767_225_600_000;

fn signed(seed: u8) -> SignedReplica {
    let key = SigningKey::from_seed(&[seed; 32]);
    let replica = peer_id_text(&key.public());
    let record = ReplicaRecord { net: NET, replica, key: key.public(), role: Role::Full, stamp: Stamp(1) };
    record.sign(&key).unwrap()
}

fn id(seed: u8) -> ReplicaId {
    ReplicaId(signed(seed).record().replica.clone())
}

/// The engine of replica 1 with these others connected.
fn engine(others: &[u8]) -> Engine {
    let config = EngineConfig { net: NET, placement: Placement::default(), record: signed(1) };
    let mut engine = Engine::new(&config, Index::new(), &[]);
    for other in others {
        connect(&mut engine, *other);
    }
    engine
}

fn connect(engine: &mut Engine, other: u8) -> Vec<Output> {
    let records = vec![signed(other).encode().into()];
    engine.handle(Input::Connected { replica: id(other), records }, NOW_MS)
}

fn commit(number: u64) -> (CommitId, IndexItem, Bytes) {
    let digest = *blake3::hash(&number.to_be_bytes()).as_bytes();
    let item = IndexItem { seconds: number as u32, record: RecordId(digest), partition: 0 };
    (CommitId(digest), item, Bytes::from(number.to_be_bytes().to_vec()))
}

fn publish(engine: &mut Engine, numbers: std::ops::Range<u64>) -> Vec<Output> {
    let commits: Vec<_> = numbers.map(commit).collect();
    let adds = commits.iter().map(|(_, item, _)| *item).collect();
    let push = commits.into_iter().map(|(id, _, envelope)| (id, envelope)).collect();
    engine.handle(Input::Published(Published { adds, drops: vec![], push }), NOW_MS)
}

fn puts(outputs: &[Output]) -> Vec<(Token, ReplicaId, usize)> {
    let put = |output: &Output| match output {
        Output::Send { token, to, request: Request::Put { envelopes } } => Some((*token, to.clone(), envelopes.len())),
        _ => None,
    };
    outputs.iter().filter_map(put).collect()
}

fn durable(count: usize) -> Response {
    Response::Put { outcomes: vec![PutOutcome(IngestOutcome::Durable); count] }
}

fn strikes(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Note(Note::Misbehaved { .. }))).count()
}

#[test]
fn a_write_is_durable_when_a_quorum_says_so() {
    let mut engine = engine(&[2, 3]);
    let sent = puts(&publish(&mut engine, 0..1));
    assert_eq!(sent.len(), 2);
    let (wanted, caller) = (commit(0).0, CallerId(9));
    let input = Input::Await { caller, commit: wanted, deadline_ms: NOW_MS + 500 };
    assert_eq!(engine.handle(input, NOW_MS), []);
    let outputs = engine.handle(Input::Answer { token: sent[0].0, response: durable(1) }, NOW_MS);
    let [Output::Durable { caller: answered, durability }] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_eq!((*answered, durability.durable, durability.wanted), (caller, 2, 2));
    assert_eq!(durability.outstanding, [sent[1].1.clone()]);
    assert!(engine.outstanding(&wanted).is_some());
    engine.handle(Input::Answer { token: sent[1].0, response: durable(1) }, NOW_MS);
    assert_eq!(engine.outstanding(&wanted), None);
    // The same answer again is no second confirmation.
    assert_eq!(engine.handle(Input::Answer { token: sent[1].0, response: durable(1) }, NOW_MS), []);
}

#[test]
fn only_durable_counts() {
    let early = IngestOutcome::Early { until_ms: 5 };
    let refused = IngestOutcome::Refused(Refusal::new(Code::BadSlot, "no"));
    for outcome in [early, IngestOutcome::Pending, IngestOutcome::Unavailable, refused] {
        let mut engine = engine(&[2]);
        let sent = puts(&publish(&mut engine, 0..1));
        let response = Response::Put { outcomes: vec![PutOutcome(outcome)] };
        engine.handle(Input::Answer { token: sent[0].0, response }, NOW_MS);
        assert_eq!(engine.outstanding(&commit(0).0).unwrap().durable, 1);
        assert!(!engine.peers()[0].in_sync);
    }
}

#[test]
fn waiting_ends_when_the_quorum_is_out_of_reach_or_time_is_over() {
    let mut engine = engine(&[2, 3]);
    publish(&mut engine, 0..1);
    let input = Input::Await { caller: CallerId(1), commit: commit(0).0, deadline_ms: NOW_MS + 500 };
    assert_eq!(engine.handle(input, NOW_MS), []);
    let late = engine.handle(Input::Tick, NOW_MS + 500);
    assert!(late.iter().any(|output| matches!(output, Output::Durable { caller: CallerId(1), .. })));
    let input = Input::Await { caller: CallerId(2), commit: commit(0).0, deadline_ms: NOW_MS + 9_000 };
    assert_eq!(engine.handle(input, NOW_MS), []);
    engine.handle(Input::Disconnected { replica: id(2) }, NOW_MS);
    let gone = engine.handle(Input::Disconnected { replica: id(3) }, NOW_MS);
    assert!(gone.iter().any(|output| matches!(output, Output::Durable { caller: CallerId(2), .. })), "{gone:?}");
}

#[test]
fn bursts_are_batched_and_a_queue_over_its_bound_is_dropped() {
    let mut engine = engine(&[2]);
    let sent = puts(&publish(&mut engine, 0..3000));
    assert_eq!(sent.iter().map(|(_, _, count)| *count).collect::<Vec<_>>(), [256; 4]);
    let more = puts(&engine.handle(Input::Answer { token: sent[0].0, response: durable(256) }, NOW_MS));
    assert_eq!(more.len(), 1, "an answer makes room for the next");
    let outputs = publish(&mut engine, 3000..3000 + MAX_QUEUED_COMMITS as u64);
    let dropped = outputs.iter().any(
        |output| matches!(output, Output::Note(Note::QueueDropped { commits, .. }) if *commits > MAX_QUEUED_COMMITS),
    );
    assert!(dropped, "{}", outputs.len());
    assert_eq!(puts(&outputs), []);
}

#[test]
fn a_failed_push_is_repaired_by_reconciliation() {
    let mut engine = engine(&[2]);
    // The first comparison, whoever begins it, ends equal.
    let summary = Summary { below_seconds: None, count: 0, sum: [0; 32] };
    let request = Request::Sync(SyncMessage::Summary(summary));
    engine.handle(Input::Request { id: RequestId(1), from: id(2), request }, NOW_MS);
    assert!(engine.peers()[0].in_sync);
    let sent = puts(&publish(&mut engine, 0..1));
    assert!(!engine.peers()[0].in_sync, "not while a push is under way");
    engine.handle(Input::Failed { token: sent[0].0 }, NOW_MS);
    let later_ms = NOW_MS + SYNC_SOON_MS + 5_000;
    let outputs = [engine.handle(Input::Tick, later_ms), engine.handle(Input::Tick, later_ms + SYNC_SOON_MS)].concat();
    let compares = |output: &Output| {
        matches!(
            output,
            Output::Send { request: Request::Sync(SyncMessage::Summary(Summary { below_seconds: None, .. })), .. }
        )
    };
    // With the lesser id the comparison of the connect is still under way.
    assert!(id(1) < id(2) || outputs.iter().any(compares), "{outputs:?}");
}

#[test]
fn answers_of_the_wrong_kind_change_nothing_and_are_counted() {
    let mut engine = engine(&[2]);
    let wrong = [
        Response::Get { envelopes: vec![] },
        Response::Fetch { envelopes: vec![Bytes::from_static(b"unasked")], missing: vec![] },
        Response::Sync(SyncMessage::Ranges(Bytes::from_static(b"noise"))),
        Response::Certify(vec![]),
        Response::Hello(Reply::Denied),
        durable(2),
    ];
    let mut distrusted = 0;
    for round in 0..3 {
        for response in wrong.clone() {
            let sent = puts(&publish(&mut engine, round..round + 1));
            let outputs = engine.handle(Input::Answer { token: sent[0].0, response }, NOW_MS);
            assert_eq!(strikes(&outputs), 1);
            assert!(!outputs.iter().any(|output| matches!(output, Output::Ingest { .. })));
            distrusted += outputs.iter().filter(|output| matches!(output, Output::Distrust { .. })).count();
        }
    }
    assert_eq!(distrusted, 1, "after eight, once");
    assert!(engine.outstanding(&commit(0).0).is_some());
    assert_eq!(engine.handle(Input::Answer { token: Token(999), response: durable(1) }, NOW_MS), []);
}

#[test]
fn strangers_and_floods_are_refused() {
    let mut engine = engine(&[2]);
    let put = |engine: &mut Engine, number: u64, from: ReplicaId| {
        let request = Request::Put { envelopes: vec![Bytes::from_static(b"x")] };
        engine.handle(Input::Request { id: RequestId(number), from, request }, NOW_MS)
    };
    assert_eq!(put(&mut engine, 0, id(9)), [Output::Refuse { id: RequestId(0) }]);
    let mut tokens = vec![];
    for number in 0..MAX_SERVED as u64 {
        let outputs = put(&mut engine, number, id(2));
        let [Output::Ingest { token, .. }] = outputs.as_slice() else { panic!("{outputs:?}") };
        tokens.push(*token);
    }
    let busy = Response::Put { outcomes: vec![PutOutcome(IngestOutcome::Unavailable)] };
    assert_eq!(put(&mut engine, 99, id(2)), [Output::Respond { id: RequestId(99), response: busy }]);
    let outputs = engine.handle(Input::Ingested { token: tokens[0], outcomes: vec![IngestOutcome::Durable] }, NOW_MS);
    assert_eq!(outputs, [Output::Respond { id: RequestId(0), response: durable(1) }]);
    assert!(matches!(put(&mut engine, 100, id(2)).as_slice(), [Output::Ingest { .. }]));
}

#[test]
fn a_fetch_is_answered_within_its_bound() {
    let mut engine = engine(&[2]);
    let request = Request::Fetch { records: vec![RecordId([1; 32])] };
    let outputs = engine.handle(Input::Request { id: RequestId(1), from: id(2), request }, NOW_MS);
    let [Output::LoadRecords { token, max_bytes, .. }] = outputs.as_slice() else { panic!("{outputs:?}") };
    assert_eq!(*max_bytes, MAX_FETCH_BYTES);
    let envelopes = vec![Bytes::from(vec![0; 1_000_000]); 9];
    let outputs = engine.handle(Input::Loaded { token: *token, envelopes, missing: vec![] }, NOW_MS);
    let [Output::Respond { response: Response::Fetch { envelopes, .. }, .. }] = outputs.as_slice() else {
        panic!("a response")
    };
    assert_eq!(envelopes.len(), 4);
}

#[test]
fn an_ask_joins_what_the_members_know() {
    let soul: Soul = "people/ada".parse().unwrap();
    let asked = |outputs: &[Output]| -> Vec<Token> {
        let get = |output: &Output| match output {
            Output::Send { token, request: Request::Get { .. }, .. } => Some(*token),
            _ => None,
        };
        outputs.iter().filter_map(get).collect()
    };
    let answer = |bytes: &'static [u8]| Response::Get { envelopes: vec![Bytes::from_static(bytes)] };
    let mut engine = engine(&[]);
    let alone = engine.handle(Input::Ask { caller: CallerId(1), soul: soul.clone() }, NOW_MS);
    assert_eq!(alone, [Output::Found { caller: CallerId(1), envelopes: vec![] }]);
    for other in 2..7 {
        connect(&mut engine, other);
    }
    let tokens = asked(&engine.handle(Input::Ask { caller: CallerId(2), soul: soul.clone() }, NOW_MS));
    assert_eq!(tokens.len(), 3);
    assert_eq!(engine.handle(Input::Answer { token: tokens[0], response: answer(b"one") }, NOW_MS), []);
    assert_eq!(engine.handle(Input::Answer { token: tokens[1], response: answer(b"one") }, NOW_MS), []);
    let outputs = engine.handle(Input::Answer { token: tokens[2], response: answer(b"two") }, NOW_MS);
    let envelopes = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
    assert_eq!(outputs, [Output::Found { caller: CallerId(2), envelopes }]);
    // Silence ends it too.
    engine.handle(Input::Ask { caller: CallerId(3), soul }, NOW_MS);
    let outputs = engine.handle(Input::Tick, NOW_MS + ASK_DEADLINE_MS);
    assert!(outputs.contains(&Output::Found { caller: CallerId(3), envelopes: vec![] }));
}

#[test]
fn gossip_is_judged_and_small_writes_are_announced_when_somebody_is_away() {
    let mut engine = engine(&[2]);
    let announced = |outputs: &[Output]| outputs.iter().filter(|o| matches!(o, Output::Announce { .. })).count();
    assert_eq!(announced(&publish(&mut engine, 0..1)), 0);
    connect(&mut engine, 3);
    engine.handle(Input::Disconnected { replica: id(3) }, NOW_MS);
    assert_eq!(announced(&publish(&mut engine, 1..3)), 2);
    assert_eq!(announced(&publish(&mut engine, 3..1000)), 0, "an import is not gossiped");
    let hear = |from: ReplicaId| Input::Heard { caller: CallerId(7), from, envelope: Bytes::from_static(b"x") };
    let judged = |outcome: IngestOutcome| [Output::Judged { caller: CallerId(7), outcome }];
    assert_eq!(engine.handle(hear(id(3)), NOW_MS), judged(IngestOutcome::Unavailable));
    let outputs = engine.handle(hear(id(2)), NOW_MS);
    let [Output::Ingest { token, .. }] = outputs.as_slice() else { panic!("{outputs:?}") };
    let outputs = engine.handle(Input::Ingested { token: *token, outcomes: vec![IngestOutcome::Durable] }, NOW_MS);
    assert_eq!(outputs, judged(IngestOutcome::Durable));
}

#[test]
fn a_restart_remembers_the_members() {
    let mut first = engine(&[]);
    let rows: Vec<(Vec<u8>, Vec<u8>)> = connect(&mut first, 2)
        .into_iter()
        .filter_map(|output| match output {
            Output::Save { key, value } => Some((key, value?)),
            _ => None,
        })
        .collect();
    let config = EngineConfig { net: NET, placement: Placement::default(), record: signed(1) };
    let mut second = Engine::new(&config, Index::new(), &rows);
    assert_eq!((second.replicas(), second.reachable(), second.write_quorum()), (2, 1, 2));
    let before = second.outstanding(&commit(7).0).unwrap();
    assert_eq!((before.durable, before.outstanding), (1, vec![id(2)]), "what was before the stop is not confirmed");
    publish(&mut second, 0..1);
    let input = Input::Await { caller: CallerId(1), commit: commit(0).0, deadline_ms: NOW_MS + 500 };
    let outputs = second.handle(input, NOW_MS);
    assert!(matches!(&outputs[..], [Output::Durable { durability, .. }] if durability.durable == 1), "{outputs:?}");
}

#[test]
fn a_peer_without_its_own_record_gets_no_place() {
    let mut engine = engine(&[]);
    let records = vec![signed(3).encode().into()];
    engine.handle(Input::Connected { replica: id(2), records }, NOW_MS);
    assert_eq!(engine.reachable(), 1);
    assert_eq!(puts(&publish(&mut engine, 0..1)), []);
}

#[test]
fn a_fetch_answered_in_part_is_asked_again_for_the_rest_only() {
    let mut engine = engine(&[]);
    let other = (2..40).find(|seed| id(*seed) > id(1)).unwrap();
    let mut theirs = Index::new();
    let items: Vec<IndexItem> = (0..3).map(|number| commit(number).1).collect();
    items.iter().for_each(|item| assert!(theirs.insert(Key::from(item), 0)));
    // The only request of these outputs.
    let sent = |outputs: &[Output]| -> (Token, Request) {
        let send = |output: &Output| match output {
            Output::Send { token, request, .. } => Some((*token, request.clone())),
            _ => None,
        };
        let sends: Vec<_> = outputs.iter().filter_map(send).collect();
        assert_eq!(sends.len(), 1, "{outputs:?}");
        sends[0].clone()
    };
    let (token, request) = sent(&connect(&mut engine, other));
    assert!(matches!(request, Request::Sync(SyncMessage::Summary(Summary { count: 0, .. }))));
    let summary = Summary { below_seconds: None, count: 3, sum: theirs.sum(0, 3).to_bytes() };
    let response = Response::Sync(SyncMessage::Summary(summary));
    let (token, request) = sent(&engine.handle(Input::Answer { token, response }, NOW_MS));
    let Request::Sync(SyncMessage::Ranges(message)) = request else { panic!("ranges") };
    let answer = crate::reconcile::respond(&theirs, &message, 65_536).unwrap();
    let response = Response::Sync(SyncMessage::Ranges(answer.into()));
    let (token, request) = sent(&engine.handle(Input::Answer { token, response }, NOW_MS));
    assert!(matches!(request, Request::Fetch { records } if records.len() == 3));
    let response = Response::Fetch { envelopes: vec![Bytes::from_static(b"x")], missing: vec![RecordId([9; 32])] };
    let outputs = engine.handle(Input::Answer { token, response }, NOW_MS);
    let [Output::Ingest { token, .. }] = outputs.as_slice() else { panic!("{outputs:?}") };
    engine.handle(Input::Published(Published { adds: vec![items[0]], ..Published::default() }), NOW_MS);
    let done = Input::Ingested { token: *token, outcomes: vec![IngestOutcome::Durable] };
    let (token, request) = sent(&engine.handle(done, NOW_MS));
    let Request::Fetch { records } = request else { panic!("a fetch") };
    assert_eq!(records.len(), 2);
    assert!(!records.contains(&items[0].record));
    // An answer that brings nothing ends it, and both are compared anew.
    let response = Response::Fetch { envelopes: vec![], missing: vec![] };
    let (_, request) = sent(&engine.handle(Input::Answer { token, response }, NOW_MS));
    assert!(matches!(request, Request::Sync(SyncMessage::Summary(Summary { count: 1, .. }))), "{request:?}");
}

fn saves(outputs: &[Output]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let save = |output: &Output| match output {
        Output::Save { key, value: Some(value) } => Some((key.clone(), value.clone())),
        _ => None,
    };
    outputs.iter().filter_map(save).collect()
}

#[test]
fn who_is_connected_is_seen_and_nobody_is_retired_soon_after_a_start() {
    let mut first = engine(&[]);
    let mut rows = saves(&connect(&mut first, 2));
    rows.extend(saves(&connect(&mut first, 3)));
    assert_eq!(saves(&first.handle(Input::Tick, NOW_MS + SAVE_SEEN_EVERY_MS - 1)), []);
    assert_eq!(saves(&first.handle(Input::Tick, NOW_MS + SAVE_SEEN_EVERY_MS)).len(), 2, "hourly");
    let config = EngineConfig { net: NET, placement: Placement::default(), record: signed(1) };
    let mut second = Engine::new(&config, Index::new(), &rows);
    let start_ms = NOW_MS + 2 * RETIRE_AFTER_MS;
    second.handle(Input::Tick, start_ms);
    second.handle(Input::Connected { replica: id(2), records: vec![] }, start_ms + 1);
    second.handle(Input::Tick, start_ms + RETIRE_AFTER_START_MS - 1);
    assert_eq!((second.replicas(), second.is_alone()), (3, false));
    second.handle(Input::Tick, start_ms + RETIRE_AFTER_START_MS);
    assert_eq!((second.replicas(), second.is_alone()), (2, false), "the one that came back counts");
    let retired: Vec<ReplicaId> = second.peers().into_iter().filter(|peer| peer.retired).map(|peer| peer.id).collect();
    assert_eq!(retired, [id(3)]);
    // Seven days on a connection are seven days of being seen.
    second.handle(Input::Tick, start_ms + 2 * RETIRE_AFTER_MS);
    assert_eq!(second.replicas(), 2);
}

#[test]
fn alone_is_who_never_knew_another_or_has_waited_for_them() {
    let mut engine = engine(&[]);
    assert!(engine.is_alone());
    connect(&mut engine, 2);
    engine.handle(Input::Disconnected { replica: id(2) }, NOW_MS);
    assert!(!engine.is_alone());
    engine.handle(Input::Tick, NOW_MS + RETIRE_AFTER_MS);
    assert!(engine.is_alone());
    let key = SigningKey::from_seed(&[1; 32]);
    let replica = peer_id_text(&key.public());
    let record = ReplicaRecord { net: NET, replica, key: key.public(), role: Role::Client, stamp: Stamp(1) };
    let config = EngineConfig { net: NET, placement: Placement::default(), record: record.sign(&key).unwrap() };
    let mut client = Engine::new(&config, Index::new(), &[]);
    connect(&mut client, 2);
    client.handle(Input::Tick, NOW_MS + RETIRE_AFTER_START_MS);
    assert_eq!((client.replicas(), client.is_alone()), (1, false), "the one that counts is another one");
}

#[test]
fn a_wall_clock_that_steps_moves_no_interval() {
    let mut engine = engine(&[2]);
    publish(&mut engine, 0..1);
    let hour_ms = 3_600_000;
    let at = |steady_ms: u64, wall_ms: u64| Now { steady_ms: NOW_MS + steady_ms, wall_ms };
    let input = Input::Await { caller: CallerId(1), commit: commit(0).0, deadline_ms: NOW_MS + 500 };
    assert_eq!(engine.handle(input, at(0, NOW_MS)), []);
    let answered = |outputs: &[Output]| outputs.iter().any(|output| matches!(output, Output::Durable { .. }));
    assert!(!answered(&engine.handle(Input::Tick, at(100, NOW_MS + hour_ms))));
    assert!(!answered(&engine.handle(Input::Tick, at(499, NOW_MS))));
    assert!(answered(&engine.handle(Input::Tick, at(500, NOW_MS - hour_ms))));
    assert_eq!(engine.peers()[0].seen_ms, NOW_MS - hour_ms);
}

/// The engine of replica 1 in a reconciliation with a peer, and the token of its first comparison.
fn reconciling() -> (Engine, Token) {
    let mut engine = engine(&[]);
    let other = (2..40).find(|seed| id(*seed) > id(1)).unwrap();
    let sent = sync_sent(&connect(&mut engine, other));
    (engine, sent.0)
}

fn sync_sent(outputs: &[Output]) -> (Token, SyncMessage) {
    let send = |output: &Output| match output {
        Output::Send { token, request: Request::Sync(message), .. } => Some((*token, message.clone())),
        _ => None,
    };
    outputs.iter().find_map(send).unwrap_or_else(|| panic!("{outputs:?}"))
}

#[test]
fn a_pair_under_load_becomes_equal_again() {
    let (mut engine, mut token) = reconciling();
    let nothing = Index::new();
    // Whenever both are compared, the peer has one more that is under way.
    for count in 1..3 {
        let theirs = Summary { below_seconds: None, count, sum: [count as u8; 32] };
        let response = Response::Sync(SyncMessage::Summary(theirs));
        let (ranges, message) = sync_sent(&engine.handle(Input::Answer { token, response }, NOW_MS));
        let SyncMessage::Ranges(message) = message else { panic!("ranges") };
        let answer = crate::reconcile::respond(&nothing, &message, 65_536).unwrap();
        let response = Response::Sync(SyncMessage::Ranges(answer.into()));
        let (next, message) = sync_sent(&engine.handle(Input::Answer { token: ranges, response }, NOW_MS));
        let SyncMessage::Summary(ours) = message else { panic!("a summary") };
        assert_eq!(ours.below_seconds.is_some(), count == 2, "what has settled, after the second exchange");
        token = next;
        if count == 2 {
            let response = Response::Sync(SyncMessage::Summary(ours));
            engine.handle(Input::Answer { token, response }, NOW_MS);
        }
    }
    assert!(engine.peers()[0].in_sync);
}

#[test]
fn a_reconciliation_of_too_many_rounds_pauses() {
    let (mut engine, token) = reconciling();
    publish(&mut engine, 0..500);
    let theirs = Summary { below_seconds: None, count: 500, sum: [1; 32] };
    let response = Response::Sync(SyncMessage::Summary(theirs));
    let (token, message) = sync_sent(&engine.handle(Input::Answer { token, response }, NOW_MS));
    let SyncMessage::Ranges(message) = message else { panic!("ranges") };
    let mut index = Index::new();
    (500..1000).for_each(|number| assert!(index.insert(Key::from(&commit(number).1), 0)));
    let answer = crate::reconcile::respond(&index, &message, 65_536).unwrap();
    for link in engine.links.values_mut() {
        link.session.as_mut().unwrap().rounds = MAX_SYNC_ROUNDS;
    }
    // What is found before the bound is exchanged all the same; then it ends instead of asking on.
    let response = Response::Sync(SyncMessage::Ranges(answer.into()));
    let mut outputs = engine.handle(Input::Answer { token, response }, NOW_MS);
    while let Some(output) = outputs.pop() {
        match output {
            Output::Note(Note::Unequal { .. }) => return,
            Output::Send { request: Request::Sync(_), .. } => panic!("it went on"),
            Output::Send { token, request: Request::Fetch { .. }, .. } => {
                let response = Response::Fetch { envelopes: vec![], missing: vec![] };
                outputs.extend(engine.handle(Input::Answer { token, response }, NOW_MS));
            }
            Output::LoadRecords { token, .. } => {
                let loaded = Input::Loaded { token, envelopes: vec![], missing: vec![] };
                outputs.extend(engine.handle(loaded, NOW_MS));
            }
            _ => {}
        }
    }
    panic!("it neither ended nor went on");
}

/// Content never settles, being indexed behind every second; it is compared with what has.
#[test]
fn what_is_compared_below_a_second_holds_the_content() {
    let mut engine = engine(&[]);
    let item = |seconds, byte| IndexItem { seconds, record: RecordId([byte; 32]), partition: 0 };
    let adds = vec![item(10, 1), item(20, 2), item(u32::MAX, 3), item(u32::MAX, 4), item(u32::MAX - 1, 5)];
    engine.handle(Input::Published(Published { adds, ..Published::default() }), NOW_MS);
    let mut expected = Index::new();
    for (seconds, byte) in [(10, 1), (u32::MAX, 3), (u32::MAX, 4)] {
        expected.insert(Key { seconds, record: RecordId([byte; 32]) }, 0);
    }
    let summary = engine.summary(Some(15));
    assert_eq!((summary.count, summary.sum), (3, expected.sum(0, 3).to_bytes()));
    assert_eq!((engine.summary(None).count, engine.summary(Some(u32::MAX)).count), (5, 5));
}
