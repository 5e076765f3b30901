use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const BLOCK: usize = 256 * 1024;
const SESSION: SessionId = SessionId(1);

/// The engine with peers, and a clock that only moves when told.
struct World {
    engine: Engine,
    now: Duration,
    waiters: u64,
    meters: HashMap<PeerId, Arc<Meter>>,
}

impl World {
    fn new() -> Self {
        Self { engine: Engine::new(Config::default()), now: Duration::ZERO, waiters: 0, meters: HashMap::new() }
    }

    fn peers<const N: usize>(&mut self) -> [PeerId; N] {
        std::array::from_fn(|_| self.connect(PeerId::random()))
    }

    fn connect(&mut self, peer: PeerId) -> PeerId {
        let meter = Arc::clone(self.meters.entry(peer).or_default());
        self.engine.connected(peer, meter, self.now);
        peer
    }

    fn get_in(&mut self, session: SessionId, n: u32) -> WaiterId {
        self.waiters += 1;
        let waiter = WaiterId(self.waiters);
        self.engine.get(waiter, session, None, block(n).0, self.now);
        waiter
    }

    fn get(&mut self, n: u32) -> WaiterId {
        let waiter = self.get_in(SESSION, n);
        self.engine.schedule(self.now);
        waiter
    }

    /// A session that has had block 0 from each of these.
    fn warm(&mut self, peers: &[PeerId]) {
        for (n, peer) in peers.iter().enumerate() {
            let n = 1_000_000 + n as u32;
            self.get(n);
            self.sends();
            for other in peers {
                if other != peer {
                    self.says(*other, n, false);
                }
            }
            self.says(*peer, n, true);
            self.sends();
            self.sleep(10);
            assert_eq!(self.gives(*peer, n), Fate::Wanted);
        }
        self.sends();
        self.actions();
    }

    fn gives(&mut self, peer: PeerId, n: u32) -> Fate {
        let (cid, data) = block(n);
        self.meters[&peer].add(data.len());
        let fate = self.engine.block(peer, cid.hash(), &data, self.now);
        self.engine.schedule(self.now);
        fate
    }

    fn says(&mut self, peer: PeerId, n: u32, have: bool) {
        self.engine.presence(peer, block(n).0.hash(), have, self.now);
        self.engine.schedule(self.now);
    }

    fn sleep(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// Lets `ms` pass with ticks.
    fn wait(&mut self, ms: u64) -> u64 {
        (0..ms / 50)
            .map(|_| {
                self.sleep(50);
                self.engine.tick(self.now)
            })
            .sum()
    }

    fn sends(&mut self) -> HashMap<PeerId, Vec<Entry>> {
        self.engine.take_sends()
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.engine.pop_action()).collect()
    }

    /// Nothing is left of what was asked.
    fn assert_empty(&self) {
        let engine = &self.engine;
        assert!(engine.wants.is_empty() && engine.waiters.is_empty() && engine.deadlines.is_empty());
        for peer in engine.peers.values() {
            assert!(!peer.owes() && peer.haves == 0, "{peer:?}");
        }
        for session in engine.sessions.values() {
            assert!(session.queue.is_empty() && session.searching.is_empty() && session.waiters == 0);
            assert_eq!(session.fresh_searches, 0);
        }
        assert!(engine.searching.is_empty());
    }
}

/// A block of 256 KiB that begins with its number. Its key is not its hash: the engine takes the handler's word.
fn block(n: u32) -> (Cid, Bytes) {
    static DATA: [u8; BLOCK] = [0; BLOCK];
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&n.to_be_bytes());
    (Cid::new_v1(0x55, Key::wrap(0x12, &digest).unwrap()), Bytes::from_static(&DATA))
}

/// What was sent to a peer: the kind of each entry and its block.
fn to(sends: &HashMap<PeerId, Vec<Entry>>, peer: PeerId) -> Vec<(&'static str, u32)> {
    let entries = sends.get(&peer).map_or(&[][..], Vec::as_slice);
    let word = |entry: &Entry| match (entry.cancel, entry.kind) {
        (true, _) => "cancel",
        (false, crate::wire::Kind::Have) => "have",
        (false, crate::wire::Kind::Block) => "block",
    };
    let number = |entry: &Entry| u32::from_be_bytes(entry.cid.hash().digest()[..4].try_into().unwrap());
    entries.iter().map(|entry| (word(entry), number(entry))).collect()
}

#[test]
fn a_single_peer_is_asked_for_the_block_at_once() {
    let mut world = World::new();
    let [a] = world.peers();
    let waiter = world.get(1);
    assert_eq!(to(&world.sends(), a), [("block", 1)]);
    assert_eq!(world.gives(a, 1), Fate::Wanted);
    assert_eq!(world.actions(), [Action::Deliver { waiter, data: block(1).1 }]);
    assert_eq!(to(&world.sends(), a), []);
    world.assert_empty();
}

#[test]
fn a_cold_session_asks_all_who_has_it_and_then_one_for_it() {
    let mut world = World::new();
    let [a, b, c] = world.peers();
    world.get(1);
    let sends = world.sends();
    for peer in [a, b, c] {
        assert_eq!(to(&sends, peer), [("have", 1)]);
    }
    world.says(a, 1, false);
    world.says(b, 1, true);
    assert_eq!(to(&world.sends(), b), [("block", 1)]);
    world.sleep(10);
    world.gives(b, 1);
    let sends = world.sends();
    assert_eq!(to(&sends, a), [("cancel", 1)], "it would send the block when it gets it");
    assert_eq!(to(&sends, b), []);
    assert_eq!(to(&sends, c), [("cancel", 1)]);
    world.assert_empty();
}

#[test]
fn who_had_something_is_asked_directly_and_in_the_order_asked() {
    let mut world = World::new();
    let [a, b] = world.peers();
    world.warm(&[a]);
    for n in 0..6 {
        world.get_in(SESSION, n);
    }
    world.engine.schedule(world.now);
    let sends = world.sends();
    let blocks: Vec<_> = to(&sends, a).into_iter().filter(|(kind, _)| *kind == "block").collect();
    assert_eq!(blocks, (0..6).map(|n| ("block", n)).collect::<Vec<_>>());
    let priorities: Vec<i32> = sends[&a].iter().map(|entry| entry.priority).collect();
    assert!(priorities.is_sorted_by(|x, y| x > y), "peers serve by falling priority");
    // One block is no proof, so the other is asked whether it has the same.
    assert!(to(&sends, b).iter().all(|(kind, _)| *kind == "have"));
    for n in 0..6 {
        world.gives(a, n);
    }
    world.sends();
    world.get(7);
    assert_eq!(to(&world.sends(), b), [], "by now it is sure");
}

#[test]
fn the_queue_is_left_in_order_when_a_peer_is_full() {
    let mut world = World::new();
    let [a] = world.peers();
    for n in 0..100 {
        world.get_in(SESSION, n);
    }
    world.engine.schedule(world.now);
    let mut asked = to(&world.sends(), a);
    assert!((8..64).contains(&asked.len()), "{}", asked.len());
    for n in 0..100 {
        world.sleep(2);
        world.gives(a, n);
        asked.extend(to(&world.sends(), a));
    }
    assert_eq!(asked, (0..100).map(|n| ("block", n)).collect::<Vec<_>>());
    world.assert_empty();
}

#[test]
fn blocks_are_split_by_speed() {
    let mut world = World::new();
    let [fast, slow] = world.peers();
    world.warm(&[fast, slow]);
    let total = 400;
    for n in 0..total {
        world.get_in(SESSION, n);
    }
    world.engine.schedule(world.now);
    // One sends a block every millisecond, the other every eight.
    let mut queues: HashMap<PeerId, VecDeque<u32>> = HashMap::new();
    let mut counts: HashMap<PeerId, u32> = HashMap::new();
    for ms in 0..2000 {
        for (peer, entries) in world.sends() {
            let queue = queues.entry(peer).or_default();
            for entry in to(&HashMap::from([(peer, entries)]), peer) {
                match entry {
                    ("block", n) => queue.push_back(n),
                    ("cancel", n) => queue.retain(|other| *other != n),
                    _ => {}
                }
            }
        }
        world.sleep(1);
        for (peer, every) in [(fast, 1), (slow, 8)] {
            if ms % every == 0
                && let Some(n) = queues.get_mut(&peer).and_then(VecDeque::pop_front)
            {
                *counts.entry(peer).or_default() += 1;
                world.gives(peer, n);
            }
        }
        if ms % 50 == 0 {
            world.engine.tick(world.now);
        }
        if world.engine.wants.is_empty() {
            assert!(ms < 500, "together they need 356 ms: {ms}");
            let ratio = f64::from(counts[&fast]) / f64::from(counts[&slow]);
            assert!((4.0..12.0).contains(&ratio), "{counts:?}");
            assert!(counts.values().sum::<u32>() < total + 20, "next to nothing came twice: {counts:?}");
            return;
        }
    }
    panic!("not done: {counts:?}");
}

#[test]
fn when_all_deny_the_owner_is_told_at_once_and_a_newcomer_is_asked() {
    let mut world = World::new();
    let [a, b] = world.peers();
    world.get(1);
    world.says(a, 1, false);
    assert_eq!(world.actions(), []);
    world.says(b, 1, false);
    let need = || Action::NeedProviders { session: SESSION, cid: block(1).0 };
    assert_eq!(world.actions(), [need()]);
    world.wait(4900);
    assert_eq!(world.actions(), []);
    world.wait(200);
    assert_eq!(world.actions(), [need()], "again after 5 s");
    world.sends();
    let c = world.connect(PeerId::random());
    assert_eq!(to(&world.sends(), c), [("have", 1)]);
    world.says(c, 1, true);
    assert_eq!(to(&world.sends(), c), [("block", 1)]);
    world.gives(c, 1);
    world.assert_empty();
}

#[test]
fn nobody_at_all_is_reported_at_once_and_silence_after_half_a_second() {
    let mut world = World::new();
    world.get(1);
    assert_eq!(world.actions(), [Action::NeedProviders { session: SESSION, cid: block(1).0 }]);
    let mut world = World::new();
    let [_a, _b] = world.peers();
    world.get(1);
    world.get(2);
    world.wait(450);
    assert_eq!(world.actions(), []);
    world.wait(100);
    assert_eq!(world.actions().len(), 1, "one of a session is enough for a second");
    world.wait(1000);
    assert_eq!(world.actions().len(), 1, "then the other");
}

#[test]
fn providers_are_asked_for_the_block_when_they_connect() {
    let mut world = World::new();
    let [a] = world.peers();
    let [b, c] = [PeerId::random(), PeerId::random()];
    assert_eq!(world.engine.add_providers(SESSION, [a, b], world.now), [b], "who is not connected is to be dialled");
    world.get(1);
    assert_eq!(to(&world.sends(), a), [("block", 1)]);
    world.says(a, 1, false);
    world.connect(b);
    assert_eq!(to(&world.sends(), b), [("block", 1)]);
    world.connect(c);
    assert!(to(&world.sends(), c).iter().all(|(kind, _)| *kind == "have"));
}

#[test]
fn a_stalled_peer_is_left_for_another_within_half_a_second_and_late_blocks_count() {
    let mut world = World::new();
    let [a, b] = world.peers();
    world.warm(&[a, b]);
    for n in 0..10 {
        world.get_in(SESSION, n);
    }
    world.engine.schedule(world.now);
    let sends = world.sends();
    let at_a: Vec<u32> = to(&sends, a).iter().filter(|(kind, _)| *kind == "block").map(|(_, n)| *n).collect();
    let at_b: Vec<u32> = to(&sends, b).iter().filter(|(kind, _)| *kind == "block").map(|(_, n)| *n).collect();
    assert!(!at_a.is_empty() && !at_b.is_empty());
    for n in &at_b {
        world.sleep(5);
        world.gives(b, *n);
    }
    world.sends();
    // The latency was some milliseconds, so 200 ms of silence are enough.
    assert_eq!(world.wait(150), 0);
    assert_eq!(world.wait(100), 1, "it has stalled once");
    let sends = world.sends();
    let cancelled: Vec<_> = at_a.iter().map(|n| ("cancel", *n)).collect();
    assert_eq!(to(&sends, a), cancelled);
    let again: Vec<u32> = to(&sends, b).iter().filter(|(kind, _)| *kind == "block").map(|(_, n)| *n).collect();
    assert_eq!(again, at_a);
    // It wakes up: the first of its blocks is wanted still, and the same from the other is late.
    assert_eq!(world.gives(a, at_a[0]), Fate::Wanted);
    assert_eq!(to(&world.sends(), b), [("cancel", at_a[0])]);
    assert_eq!(world.gives(b, at_a[0]), Fate::Late);
    assert_eq!(world.gives(b, at_a[0]), Fate::Unwanted, "a second copy is not");
    for n in &at_a[1..] {
        world.gives(b, *n);
    }
    world.assert_empty();
}

#[test]
fn the_only_peer_is_asked_again_when_it_stalls() {
    let mut world = World::new();
    let [a] = world.peers();
    world.get(1);
    world.get(2);
    world.sends();
    world.wait(900);
    assert_eq!(to(&world.sends(), a), []);
    world.wait(700);
    assert_eq!(to(&world.sends(), a), [("block", 1), ("block", 2)], "the question may have been lost");
    assert!(world.actions().iter().any(|action| matches!(action, Action::NeedProviders { .. })));
    let b = world.connect(PeerId::random());
    assert_eq!(to(&world.sends(), b), [("have", 2), ("have", 1)]);
    world.says(b, 2, true);
    assert_eq!(to(&world.sends(), b), [("block", 2)]);
}

#[test]
fn a_peer_that_stalls_and_says_have_meanwhile_is_asked_when_it_is_back() {
    let mut world = World::new();
    let [a, b] = world.peers();
    world.warm(&[a]);
    world.get(1);
    world.sends();
    world.says(b, 1, false);
    assert_eq!(world.wait(500), 1);
    // The next want finds nobody, and the answer to its WANT-HAVE comes from the one that has stalled.
    world.get(2);
    assert_eq!(to(&world.sends(), a), [("have", 2)]);
    world.says(b, 2, false);
    world.says(a, 2, true);
    assert_eq!(to(&world.sends(), a), []);
    world.gives(a, 1);
    world.wait(50);
    assert_eq!(to(&world.sends(), a), [("block", 2)]);
}

#[test]
fn a_pause_of_this_process_is_nobodys_stall() {
    let mut world = World::new();
    let [a, b] = world.peers();
    world.warm(&[a, b]);
    world.get(1);
    world.sends();
    world.sleep(60_000);
    assert_eq!(world.engine.tick(world.now), 0);
    assert!(world.sends().values().flatten().all(|entry| !entry.cancel));
}

#[test]
fn what_a_peer_owed_is_asked_elsewhere_when_it_is_gone_or_denies() {
    let mut world = World::new();
    let [a, b, c] = world.peers();
    world.warm(&[a, b, c]);
    world.get(1);
    let sends = world.sends();
    let first = *[a, b, c].iter().find(|id| to(&sends, **id).contains(&("block", 1))).unwrap();
    world.engine.disconnected(&first, world.now);
    let sends = world.sends();
    let second = *[a, b, c].iter().find(|id| to(&sends, **id).contains(&("block", 1))).unwrap();
    assert_ne!(first, second);
    world.says(second, 1, false);
    let sends = world.sends();
    let third = *[a, b, c].iter().find(|id| to(&sends, **id).contains(&("block", 1))).unwrap();
    assert!(third != first && third != second);
    world.says(third, 1, false);
    assert!(matches!(world.actions()[..], [Action::NeedProviders { .. }]));
}

#[test]
fn a_peer_that_sends_other_bytes_is_the_last_choice_and_then_none() {
    let mut world = World::new();
    let [liar, honest] = world.peers();
    world.warm(&[liar, honest]);
    for n in 0..10 {
        world.get_in(SESSION, n);
    }
    world.engine.schedule(world.now);
    let at_liar = to(&world.sends(), liar).iter().filter(|(kind, _)| *kind == "block").count();
    assert!(at_liar > 0);
    assert_eq!(world.gives(liar, 999), Fate::Unwanted);
    let sends = world.sends();
    assert_eq!(to(&sends, liar).len(), at_liar, "all that it owes is withdrawn at the first lie");
    assert!(to(&sends, liar).iter().all(|(kind, _)| *kind == "cancel"));
    for n in 0..64 {
        assert_eq!(world.gives(liar, 2000 + n), Fate::Unwanted);
    }
    assert_eq!(world.actions(), [Action::Ignore { peer: liar, unwanted: 65 }]);
    world.get(50);
    assert_eq!(to(&world.sends(), liar), []);
}

#[test]
fn dropping_the_future_takes_the_want_back_unless_another_waits() {
    let mut world = World::new();
    let [a] = world.peers();
    let first = world.get(1);
    let second = world.get_in(SessionId(2), 1);
    world.sends();
    world.engine.close_session(SESSION);
    world.engine.cancel(first);
    assert_eq!(to(&world.sends(), a), []);
    assert!(!world.engine.sessions.contains_key(&SESSION), "a closed session ends with its last waiter");
    world.engine.disconnected(&a, world.now);
    world.connect(a);
    assert_eq!(to(&world.sends(), a), [("block", 1)], "the want has moved to the other session");
    world.engine.cancel(second);
    assert_eq!(to(&world.sends(), a), [("cancel", 1)]);
    assert_eq!(world.gives(a, 1), Fate::Late);
    world.assert_empty();
}

#[test]
fn a_session_with_a_time_out_fails_by_name() {
    let mut world = World::new();
    let (cid, _) = block(1);
    world.engine.get(WaiterId(7), SESSION, Some(Duration::from_secs(2)), cid, world.now);
    world.engine.schedule(world.now);
    world.wait(1950);
    assert!(!world.actions().iter().any(|action| matches!(action, Action::Fail { .. })));
    world.wait(100);
    assert_eq!(world.actions(), [Action::Fail { waiter: WaiterId(7), error: Error::TimedOut { cid } }]);
    world.assert_empty();
}

#[test]
fn a_session_with_thousands_of_wants_does_not_hold_up_another() {
    let mut world = World::new();
    let [a] = world.peers();
    for n in 0..10_000 {
        world.get_in(SESSION, n);
    }
    world.engine.schedule(world.now);
    let mut asked: VecDeque<u32> = to(&world.sends(), a).into_iter().map(|(_, n)| n).collect();
    world.get_in(SessionId(2), 77_777);
    for turn in 0..200 {
        let n = asked.pop_front().unwrap();
        if n == 77_777 {
            assert!(turn < 100, "{turn}");
            return;
        }
        world.sleep(1);
        world.gives(a, n);
        asked.extend(to(&world.sends(), a).into_iter().map(|(_, n)| n));
    }
    panic!("the other session was not asked for");
}

#[test]
fn the_end_of_a_transfer_does_not_wait_for_the_slowest() {
    let mut world = World::new();
    let [a, b] = world.peers();
    world.warm(&[a, b]);
    world.get(1);
    let sends = world.sends();
    let (slow, idle) = if to(&sends, a).contains(&("block", 1)) { (a, b) } else { (b, a) };
    // It trickles, so it has not stalled.
    for _ in 0..14 {
        world.meters[&slow].add(8192);
        assert_eq!(world.wait(50), 0);
    }
    assert!(to(&world.sends(), idle).contains(&("block", 1)));
    world.gives(idle, 1);
    assert_eq!(to(&world.sends(), slow), [("cancel", 1)]);
}

#[test]
fn blocks_that_nobody_has_do_not_hold_up_those_that_somebody_has() {
    let mut world = World::new();
    let [a, b] = world.peers();
    for n in 0..300 {
        world.get_in(SESSION, n);
    }
    world.engine.schedule(world.now);
    assert_eq!(to(&world.sends(), a).len(), 64, "so many are searched for at a time");
    let mut asked = 64;
    for _ in 0..50 {
        world.wait(50);
        asked += to(&world.sends(), a).len();
    }
    assert_eq!(asked, 300, "none of them has an answer");
    world.get(1000);
    assert_eq!(to(&world.sends(), b), [("have", 1000)]);
    world.says(b, 1000, true);
    assert_eq!(to(&world.sends(), b), [("block", 1000)]);
}

#[test]
fn a_peer_that_promises_and_never_sends_is_left_and_tried_with_single_blocks() {
    let mut world = World::new();
    let [liar, honest] = world.peers();
    let mut longest = 0;
    for n in 0..60 {
        world.get(n);
        let mut waited = 0;
        loop {
            let sends = world.sends();
            for (peer, has) in [(liar, true), (honest, true)] {
                for (kind, n) in to(&sends, peer) {
                    if kind == "have" {
                        world.says(peer, n, has);
                    }
                }
            }
            if to(&sends, honest).contains(&("block", n)) {
                world.sleep(5);
                world.gives(honest, n);
                break;
            }
            if world.engine.wants.is_empty() {
                break;
            }
            world.wait(50);
            waited += 50;
            assert!(waited < 1000, "block {n}");
        }
        longest = longest.max(waited);
        world.wait(50);
    }
    assert!(longest <= 600, "{longest}");
    assert_eq!(world.engine.peers[&liar].wanted, 0);
}

#[test]
fn presences_that_nobody_asked_for_are_not_kept() {
    let mut world = World::new();
    let [a, b] = world.peers();
    world.get(1);
    world.says(a, 1, false);
    world.says(a, 1, true);
    world.says(a, 2, true);
    world.sends();
    assert_eq!(world.engine.wants[block(1).0.hash()].known[&a], Known::DontHave);
    assert_eq!(world.engine.wants.len(), 1);
    world.says(b, 1, true);
    assert_eq!(to(&world.sends(), b), [("block", 1)]);
}

/// What one of the peers of the simulation does with a question.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Honest,
    HasHalf,
    Silent,
    Liar,
    Denies,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever the others do, an honest peer is enough: every block comes, and nothing is left behind.
    #[test]
    fn every_want_is_met_and_nothing_is_left_behind(
        manners in proptest::collection::vec(
            prop_oneof![
                Just(Manner::Honest), Just(Manner::HasHalf), Just(Manner::Silent), Just(Manner::Liar), Just(Manner::Denies),
            ],
            0..6,
        ),
        wants in 1_u32..200,
        reconnect in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut world = World::new();
        let mut manners: Vec<(PeerId, Manner)> =
            manners.into_iter().map(|manner| (PeerId::random(), manner)).collect();
        manners.push((PeerId::random(), Manner::Honest));
        for (peer, _) in &manners {
            world.connect(*peer);
        }
        let mut random = seed | 1;
        let mut next = move |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        for n in 0..wants {
            world.get_in(SessionId(1 + u64::from(n % 3)), n);
        }
        let mut questions: Vec<(PeerId, &'static str, u32)> = Vec::new();
        let mut delivered = 0;
        for step in 0..20_000 {
            world.engine.schedule(world.now);
            for (peer, entries) in world.sends() {
                for (kind, n) in to(&HashMap::from([(peer, entries)]), peer) {
                    if kind == "cancel" {
                        questions.retain(|other| *other != (peer, "block", n));
                    } else {
                        questions.push((peer, kind, n));
                    }
                }
            }
            for action in world.actions() {
                delivered += u32::from(matches!(action, Action::Deliver { .. }));
            }
            if delivered == wants {
                break;
            }
            if reconnect && step % 97 == 96 {
                let (peer, _) = manners[next(manners.len() as u64) as usize];
                world.engine.disconnected(&peer, world.now);
                questions.retain(|(other, ..)| *other != peer);
                world.connect(peer);
            }
            if step % 8 == 0 {
                world.sleep(50);
                world.engine.tick(world.now);
            }
            if questions.is_empty() {
                continue;
            }
            let (peer, kind, n) = questions.remove(next(questions.len() as u64) as usize);
            let manner = manners.iter().find(|(id, _)| *id == peer).unwrap().1;
            let has = match manner {
                Manner::Honest | Manner::Liar => true,
                Manner::HasHalf => n % 2 == 0,
                Manner::Silent => continue,
                Manner::Denies => false,
            };
            match (kind, manner) {
                ("have", _) => world.says(peer, n, has),
                (_, Manner::Liar) => drop(world.gives(peer, 1_000_000 + n)),
                _ if has => drop(world.gives(peer, n)),
                _ => world.says(peer, n, false),
            }
        }
        prop_assert_eq!(delivered, wants);
        world.assert_empty();
    }
}
