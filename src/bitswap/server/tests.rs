use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::limits::MAX_ITEMS_PER_MESSAGE;

const BLOCK: u64 = 256 * 1024;

fn cid(n: u32) -> Cid {
    let mut digest = [0; 32];
    digest[..4].copy_from_slice(&n.to_be_bytes());
    Cid::new_v1(0x55, Key::wrap(0x12, &digest).unwrap())
}

fn number(cid: &Cid) -> u32 {
    u32::from_be_bytes(cid.hash().digest()[..4].try_into().unwrap())
}

fn want(n: u32, priority: i32, kind: Kind) -> Entry {
    Entry { cid: cid(n), priority, cancel: false, kind, send_dont_have: true }
}

fn blocks(numbers: impl IntoIterator<Item = u32>) -> Vec<Entry> {
    numbers.into_iter().map(|n| want(n, 1, Kind::Block)).collect()
}

/// The engine with a store that has some blocks, and jobs that are done when told.
struct World {
    engine: Engine,
    sizes: BTreeMap<u32, u64>,
    log: Vec<(PeerId, String)>,
}

impl World {
    fn new(config: Config) -> Self {
        Self { engine: Engine::new(config), sizes: BTreeMap::new(), log: Vec::new() }
    }

    /// With blocks of 256 KiB under these numbers.
    fn with(numbers: impl IntoIterator<Item = u32>) -> Self {
        let mut world = Self::new(Config::default());
        world.sizes = numbers.into_iter().map(|n| (n, BLOCK)).collect();
        world
    }

    fn wants(&mut self, peer: PeerId, entries: &[Entry]) -> Accepted {
        self.engine.wants(peer, false, entries, |_| true)
    }

    fn schedule(&mut self) -> Vec<Action> {
        self.engine.schedule(|_, _| true);
        std::iter::from_fn(|| self.engine.pop_action()).collect()
    }

    fn look_up(&mut self, peer: PeerId, cids: &[(Cid, Kind)]) {
        let found = cids.iter().map(|(cid, _)| (*cid, self.sizes.get(&number(cid)).copied())).collect();
        self.engine.looked_up(peer, found);
    }

    /// Reads, and gives the bytes that are under way to the peer.
    fn read(&mut self, peer: PeerId, blocks: &[(Cid, u64)]) -> u64 {
        let asked = blocks.iter().map(|(_, size)| size).sum();
        let (read, missing): (Vec<Cid>, Vec<Cid>) =
            blocks.iter().map(|(cid, _)| *cid).partition(|cid| self.sizes.contains_key(&number(cid)));
        let sent = read.iter().map(|cid| self.sizes[&number(cid)]).sum();
        self.engine.read(peer, asked, sent, &read, &missing);
        sent
    }

    /// Does jobs until there are none; `takes` says whether a peer reads what it is sent.
    fn run(&mut self, takes: impl Fn(&PeerId) -> bool) {
        loop {
            let actions = self.schedule();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                match action {
                    Action::LookUp { peer, cids } => self.look_up(peer, &cids),
                    Action::Read { peer, blocks } => {
                        let sent = self.read(peer, &blocks);
                        for (cid, _) in &blocks {
                            self.log.push((peer, format!("block {}", number(cid))));
                        }
                        if takes(&peer) {
                            self.engine.written(peer, sent);
                        }
                    }
                    Action::Presences { peer, presences } => {
                        for presence in &presences {
                            let word = if presence.have { "have" } else { "dont" };
                            self.log.push((peer, format!("{word} {}", number(&presence.cid))));
                        }
                        self.engine.presences_written(peer, presences.len());
                    }
                }
            }
        }
    }

    fn log_of(&self, peer: PeerId) -> Vec<&str> {
        self.log.iter().filter(|(id, _)| *id == peer).map(|(_, line)| line.as_str()).collect()
    }

    /// The sums are what the parts say.
    fn assert_sums(&self) {
        let engine = &self.engine;
        assert_eq!(engine.total, engine.clients.values().map(|client| client.list.len()).sum::<usize>());
        assert_eq!(engine.outstanding, engine.clients.values().map(|client| client.outstanding).sum::<u64>());
        let jobs = |client: &Client| usize::from(client.looking_up) + usize::from(client.reading);
        assert_eq!(engine.jobs, engine.clients.values().map(jobs).sum::<usize>());
        assert_eq!(engine.total, engine.wanted_by.values().map(Vec::len).sum::<usize>());
        for (key, by) in &engine.wanted_by {
            assert!(by.iter().all(|(peer, cid)| cid.hash() == key && engine.clients[peer].list.get(cid).is_some()));
        }
    }
}

#[test]
fn wants_are_served_by_priority_and_then_in_the_order_asked() {
    let mut world = World::with(0..20);
    let peer = PeerId::random();
    // Helia gives everything the same priority.
    world.wants(peer, &blocks([5, 3, 9, 1]));
    world.wants(peer, &[want(7, 10, Kind::Block), want(2, 1, Kind::Block)]);
    world.run(|_| true);
    assert_eq!(world.log_of(peer), ["block 7", "block 5", "block 3", "block 9", "block 1", "block 2"]);
    assert!(!world.engine.has_wants(&peer));
    world.assert_sums();
}

#[test]
fn a_whole_file_asked_for_at_once_is_sent_from_its_start() {
    let mut world = World::with(0..4121);
    let peer = PeerId::random();
    world.wants(peer, &blocks(0..4121));
    world.run(|_| true);
    let lines: Vec<String> = (0..4121).map(|n| format!("block {n}")).collect();
    assert_eq!(world.log_of(peer), lines);
}

#[test]
fn presences_answer_what_is_asked_and_small_blocks_replace_them() {
    let mut world = World::with([1]);
    world.sizes.insert(2, 1024);
    world.sizes.insert(3, 1025);
    let peer = PeerId::random();
    let quiet = Entry { send_dont_have: false, ..want(5, 1, Kind::Have) };
    let entries: Vec<Entry> = [1, 2, 3, 4].map(|n| want(n, 1, Kind::Have)).into_iter().chain([quiet]).collect();
    world.wants(peer, &entries);
    world.run(|_| true);
    assert_eq!(world.log_of(peer), ["have 1", "have 3", "dont 4", "block 2"]);
    assert_eq!(world.engine.clients[&peer].list.len(), 2, "what is missing is kept");
    // After HAVE the peer asks for the block, which is a new want.
    world.wants(peer, &blocks([1]));
    world.run(|_| true);
    assert_eq!(world.log_of(peer).last(), Some(&"block 1"));
}

#[test]
fn presences_do_not_wait_for_a_peer_that_reads_no_blocks() {
    let mut world = World::with(0..100);
    let peer = PeerId::random();
    world.wants(peer, &blocks(0..100));
    world.run(|_| false);
    assert_eq!(world.log_of(peer).len(), 16, "four MiB are under way");
    world.wants(peer, &[want(200, -5, Kind::Block), want(50, -6, Kind::Have)]);
    world.run(|_| false);
    assert_eq!(world.log_of(peer)[16..], ["dont 200"], "50 is about to come as a block");
}

#[test]
fn a_wantlist_of_a_million_is_bounded_and_counted() {
    let mut world = World::with([]);
    let peer = PeerId::random();
    let mut dropped = 0;
    for message in 0..1_000_000 / MAX_ITEMS_PER_MESSAGE as u32 {
        let first = message * MAX_ITEMS_PER_MESSAGE as u32;
        let entries: Vec<Entry> =
            (first..first + MAX_ITEMS_PER_MESSAGE as u32).map(|n| want(n, 1, Kind::Block)).collect();
        dropped += world.wants(peer, &entries).dropped;
    }
    assert_eq!(world.engine.clients[&peer].list.len(), 16_384);
    assert_eq!(dropped, 999_424 - 16_384);
    let actions = world.schedule();
    let told: usize = actions
        .iter()
        .map(|action| if let Action::Presences { presences, .. } = action { presences.len() } else { 0 })
        .sum();
    assert_eq!(told, MAX_OUTSTANDING_PRESENCES, "who does not read hears no more than that");
    world.assert_sums();
}

#[test]
fn a_full_list_drops_what_is_missing_first_and_then_the_lowest_priority() {
    let mut world = World::new(Config { max_wantlist: 4, ..Config::default() });
    world.sizes = (0..100).map(|n| (n, BLOCK)).collect();
    let peer = PeerId::random();
    world.wants(
        peer,
        &[want(1, 5, Kind::Block), want(200, 9, Kind::Block), want(2, 4, Kind::Block), want(3, 3, Kind::Block)],
    );
    let Some(Action::LookUp { cids, .. }) = world.schedule().pop() else { panic!("sizes are looked up") };
    world.look_up(peer, &cids);
    assert_eq!(world.wants(peer, &[want(4, 1, Kind::Block)]).dropped, 0, "200 is not here and makes room");
    assert_eq!(world.wants(peer, &[want(5, 1, Kind::Block)]).dropped, 1, "as low as the last");
    assert_eq!(world.wants(peer, &[want(6, 2, Kind::Block)]).dropped, 1, "4 comes behind it and is out");
    world.run(|_| true);
    assert_eq!(world.log_of(peer), ["dont 200", "dont 5", "dont 4", "block 1", "block 2", "block 3", "block 6"]);
    world.assert_sums();
}

#[test]
fn all_lists_together_are_bounded() {
    let mut world = World::new(Config { max_wantlists_total: 3000, ..Config::default() });
    let [a, b] = [PeerId::random(), PeerId::random()];
    assert_eq!(world.wants(a, &blocks(0..4000)).dropped, 1000);
    assert_eq!(world.wants(b, &blocks(0..2000)).dropped, 976, "1,024 are sure");
    world.engine.connection_lost(&a, false);
    assert_eq!(world.wants(b, &blocks(0..2000)).dropped, 0);
    world.assert_sums();
}

#[test]
fn a_block_that_arrives_is_offered_to_those_who_want_it() {
    let mut world = World::with([]);
    let [a, b, c] = [PeerId::random(), PeerId::random(), PeerId::random()];
    world.wants(a, &[want(1, 1, Kind::Block)]);
    world.wants(b, &[want(1, 1, Kind::Have)]);
    world.wants(c, &[want(2, 1, Kind::Block)]);
    world.run(|_| true);
    world.sizes.insert(1, BLOCK);
    world.engine.notify(cid(1).hash());
    world.run(|_| true);
    assert_eq!(world.log_of(a), ["dont 1", "block 1"]);
    assert_eq!(world.log_of(b), ["dont 1", "have 1"]);
    assert_eq!(world.log_of(c), ["dont 2"]);
    world.sizes.insert(2, BLOCK);
    world.engine.recheck();
    world.run(|_| true);
    assert_eq!(world.log_of(c), ["dont 2", "block 2"]);
    world.assert_sums();
}

#[test]
fn a_block_that_arrives_while_its_size_is_looked_up_is_not_missed() {
    let mut world = World::with([]);
    let peer = PeerId::random();
    world.wants(peer, &blocks([1]));
    let Some(Action::LookUp { cids, .. }) = world.schedule().pop() else { panic!("sizes are looked up") };
    world.engine.notify(cid(1).hash());
    world.look_up(peer, &cids);
    world.sizes.insert(1, BLOCK);
    world.run(|_| true);
    assert_eq!(world.log_of(peer), ["block 1"]);
}

#[test]
fn peers_have_turns_of_equal_bytes() {
    let mut world = World::with(0..200);
    for n in 1000..3000 {
        world.sizes.insert(n, 4096);
    }
    let [large, small] = [PeerId::random(), PeerId::random()];
    world.wants(large, &blocks(0..200));
    world.wants(small, &blocks(1000..2000));
    world.run(|_| true);
    // 512 KiB each: two large blocks for 128 small ones.
    let mut bytes = [0_i64; 2];
    for (peer, line) in &world.log {
        let size = world.sizes[&line["block ".len()..].parse().unwrap()] as i64;
        bytes[usize::from(*peer == small)] += size;
        if world.log_of(small).last() != Some(&line.as_str()) {
            assert!((bytes[0] - bytes[1]).abs() <= 1024 * 1024, "{bytes:?}");
        } else {
            break;
        }
    }
}

#[test]
fn a_peer_that_does_not_read_holds_four_mib_and_nobody_up() {
    let mut world = World::with(0..300);
    let [deaf, other] = [PeerId::random(), PeerId::random()];
    world.wants(deaf, &blocks(0..300));
    world.wants(other, &blocks(0..300));
    world.run(|peer| *peer != deaf);
    assert_eq!(world.log_of(deaf).len(), 16);
    assert_eq!(world.log_of(other).len(), 300);
    assert_eq!(world.engine.outstanding, 16 * BLOCK);
    world.engine.written(deaf, 2 * BLOCK);
    world.run(|_| false);
    assert_eq!(world.log_of(deaf).len(), 18, "what it takes makes room");
    world.engine.connection_lost(&deaf, false);
    assert_eq!(world.engine.outstanding, 0);
    world.assert_sums();
}

#[test]
fn all_that_is_under_way_is_bounded() {
    let config = Config { max_outstanding_bytes: 8 * BLOCK as usize, ..Config::default() };
    let mut world = World::new(config);
    world.sizes = (0..100).map(|n| (n, BLOCK)).collect();
    let peers: Vec<PeerId> = (0..10).map(|_| PeerId::random()).collect();
    for peer in &peers {
        world.wants(*peer, &blocks(0..100));
    }
    world.run(|_| false);
    assert_eq!(world.engine.outstanding, 8 * BLOCK);
    // Whoever takes something makes room for those who wait.
    let first = world.log[0].0;
    world.engine.written(first, 2 * BLOCK);
    world.run(|_| false);
    assert_eq!(world.engine.outstanding, 8 * BLOCK);
    world.assert_sums();
}

#[test]
fn a_block_larger_than_the_budgets_goes_alone() {
    let mut world =
        World::new(Config { max_outstanding_bytes: 1000, max_outstanding_bytes_per_peer: 1000, ..Config::default() });
    world.sizes = [(1, 2 * 1024 * 1024), (2, 2 * 1024 * 1024 + 1), (3, 10)].into();
    let peer = PeerId::random();
    world.wants(peer, &blocks([1, 2, 3]));
    world.run(|_| true);
    assert_eq!(world.log_of(peer), ["dont 2", "block 1", "block 3"], "above 2 MiB no message could carry it");
}

#[test]
fn cancels_and_full_lists_take_wants_back_at_any_time() {
    let mut world = World::with(0..10);
    let peer = PeerId::random();
    world.wants(peer, &blocks([1, 2, 3]));
    let Some(Action::LookUp { cids, .. }) = world.schedule().pop() else { panic!("sizes are looked up") };
    world.wants(peer, &[Entry::cancel(cid(2))]);
    world.look_up(peer, &cids);
    world.engine.wants(peer, true, &blocks([3, 4]), |_| true);
    world.run(|_| true);
    assert_eq!(world.log_of(peer), ["block 3", "block 4"]);
    // A cancel that comes while the block is read is too late, and harmless.
    world.wants(peer, &blocks([5]));
    let Some(Action::LookUp { cids, .. }) = world.schedule().pop() else { panic!("sizes are looked up") };
    world.look_up(peer, &cids);
    let Some(Action::Read { blocks, .. }) = world.schedule().pop() else { panic!("the block is read") };
    world.wants(peer, &[Entry::cancel(cid(5))]);
    let sent = world.read(peer, &blocks);
    world.engine.written(peer, sent);
    world.assert_sums();
    assert!(!world.engine.has_wants(&peer));
}

#[test]
fn the_gate_decides_and_has_the_last_word() {
    let mut world = World::with(0..10);
    let peer = PeerId::random();
    let accepted = world.engine.wants(peer, false, &blocks([1, 2]), |cid| number(cid) != 1);
    assert_eq!(accepted, Accepted { dropped: 0, denied: 1 });
    world.run(|_| true);
    assert_eq!(world.log_of(peer), ["dont 1", "block 2"], "a refused block looks like one that is not here");
    // Refused after it was accepted.
    world.wants(peer, &blocks([3, 4]));
    let Some(Action::LookUp { cids, .. }) = world.schedule().pop() else { panic!("sizes are looked up") };
    world.look_up(peer, &cids);
    world.engine.schedule(|_, cid| number(cid) != 3);
    let actions: Vec<Action> = std::iter::from_fn(|| world.engine.pop_action()).collect();
    assert_eq!(
        actions,
        [
            Action::Read { peer, blocks: vec![(cid(4), BLOCK)] },
            Action::Presences { peer, presences: vec![Presence { cid: cid(3), have: false }] },
        ]
    );
    world.assert_sums();
}

#[test]
fn denials_without_end_are_bounded() {
    let mut world = World::with([]);
    let peer = PeerId::random();
    for _ in 0..10 {
        world.engine.wants(peer, false, &blocks(0..10_000), |_| false);
    }
    let presences: usize = world
        .schedule()
        .iter()
        .map(|action| if let Action::Presences { presences, .. } = action { presences.len() } else { 0 })
        .sum();
    assert_eq!(presences, MAX_OUTSTANDING_PRESENCES);
}

#[test]
fn another_connection_begins_anew_what_was_under_way() {
    let mut world = World::with(0..10);
    let peer = PeerId::random();
    world.wants(peer, &blocks([1, 2, 3]));
    let Some(Action::LookUp { cids, .. }) = world.schedule().pop() else { panic!("sizes are looked up") };
    world.look_up(peer, &cids);
    assert!(matches!(world.schedule()[..], [Action::Read { .. }]));
    world.engine.connection_lost(&peer, true);
    world.assert_sums();
    world.run(|_| true);
    assert_eq!(world.log_of(peer), ["block 1", "block 2", "block 3"]);
    world.assert_sums();
}

#[test]
fn a_block_that_goes_between_size_and_read_is_denied() {
    let mut world = World::with([1]);
    let peer = PeerId::random();
    world.wants(peer, &blocks([1]));
    let Some(Action::LookUp { cids, .. }) = world.schedule().pop() else { panic!("sizes are looked up") };
    world.look_up(peer, &cids);
    world.sizes.clear();
    world.run(|_| true);
    assert_eq!(world.log_of(peer), ["block 1", "dont 1"]);
    assert_eq!(world.engine.outstanding, 0);
    world.assert_sums();
}

#[test]
fn jobs_are_bounded() {
    let mut world = World::new(Config { max_jobs: 3, ..Config::default() });
    for _ in 0..10 {
        world.wants(PeerId::random(), &blocks([1]));
    }
    assert_eq!(world.schedule().len(), 3);
}

#[derive(Clone, Debug)]
enum Step {
    Want { peer: usize, n: u32, priority: i32, have: bool },
    Cancel { peer: usize, n: u32 },
    Full { peer: usize, n: u32 },
    Lose { peer: usize, left: bool },
    Put { n: u32 },
    Drop { n: u32 },
    Finish { at: usize },
    Take { at: usize },
}

fn steps() -> impl Strategy<Value = Step> {
    let (peer, n) = (0..3_usize, 0..12_u32);
    prop_oneof![
        6 => (peer.clone(), n.clone(), -2..3_i32, any::<bool>())
            .prop_map(|(peer, n, priority, have)| Step::Want { peer, n, priority, have }),
        1 => (peer.clone(), n.clone()).prop_map(|(peer, n)| Step::Cancel { peer, n }),
        1 => (peer.clone(), n.clone()).prop_map(|(peer, n)| Step::Full { peer, n }),
        1 => (peer, any::<bool>()).prop_map(|(peer, left)| Step::Lose { peer, left }),
        2 => n.clone().prop_map(|n| Step::Put { n }),
        1 => n.prop_map(|n| Step::Drop { n }),
        6 => any::<usize>().prop_map(|at| Step::Finish { at }),
        3 => any::<usize>().prop_map(|at| Step::Take { at }),
    ]
}

proptest! {
    /// In any order of events the sums hold, and in the end every want is answered as the store says.
    #[test]
    fn sums_hold_in_any_order_of_events(steps in proptest::collection::vec(steps(), 1..120)) {
        let config = Config { max_wantlist: 8, max_outstanding_bytes: 6 * BLOCK as usize, max_jobs: 3, ..Config::default() };
        let mut world = World::new(config);
        let peers: Vec<PeerId> = (0..3).map(|_| PeerId::random()).collect();
        let mut jobs: Vec<Action> = Vec::new();
        let mut written: Vec<(PeerId, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Want { peer, n, priority, have } => {
                    let kind = if have { Kind::Have } else { Kind::Block };
                    world.wants(peers[peer], &[want(n, priority, kind)]);
                }
                Step::Cancel { peer, n } => drop(world.wants(peers[peer], &[Entry::cancel(cid(n))])),
                Step::Full { peer, n } => drop(world.engine.wants(peers[peer], true, &blocks([n]), |_| true)),
                Step::Lose { peer, left } => {
                    world.engine.connection_lost(&peers[peer], left);
                    // A connection takes its jobs with it.
                    jobs.retain(|job| !matches!(job, Action::LookUp { peer: id, .. } | Action::Read { peer: id, .. } if *id == peers[peer]));
                    written.retain(|(id, _)| *id != peers[peer]);
                }
                Step::Put { n } => {
                    world.sizes.insert(n, BLOCK);
                    world.engine.notify(cid(n).hash());
                }
                Step::Drop { n } => drop(world.sizes.remove(&n)),
                Step::Finish { at } if !jobs.is_empty() => match jobs.remove(at % jobs.len()) {
                    Action::LookUp { peer, cids } => world.look_up(peer, &cids),
                    Action::Read { peer, blocks } => {
                        let sent = world.read(peer, &blocks);
                        written.push((peer, sent));
                    }
                    Action::Presences { .. } => {}
                },
                Step::Take { at } if !written.is_empty() => {
                    let (peer, bytes) = written.remove(at % written.len());
                    world.engine.written(peer, bytes);
                }
                Step::Finish { .. } | Step::Take { .. } => {}
            }
            jobs.extend(world.schedule().into_iter().filter(|job| !matches!(job, Action::Presences { .. })));
            world.assert_sums();
            prop_assert!(world.engine.outstanding <= 6 * BLOCK);
        }
        for job in std::mem::take(&mut jobs) {
            match job {
                Action::LookUp { peer, cids } => world.look_up(peer, &cids),
                Action::Read { peer, blocks } => written.push((peer, world.read(peer, &blocks))),
                Action::Presences { .. } => {}
            }
        }
        for (peer, bytes) in written {
            world.engine.written(peer, bytes);
        }
        world.run(|_| true);
        world.assert_sums();
        prop_assert_eq!((world.engine.outstanding, world.engine.jobs), (0, 0));
        for client in world.engine.clients.values() {
            for cid in client.list.cids() {
                prop_assert_eq!(client.list.state(cid), Some(State::Missing));
            }
        }
    }
}
