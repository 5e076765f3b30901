//! The real engine among simulated peers: one thread, one seed, one order of events. Messages are delayed, reordered,
//! lost and doubled, links are cut, stores fail now and then; when everything heals, every replica must hold the same,
//! and no write that was called durable may be missing where it was said to be.

#[cfg(test)]
mod model;
#[cfg(test)]
mod world;

use world::{Faults, World};

const CHAOS_MS: u64 = 25_000;

fn run(seed: u64, replicas: u8, traced: bool) -> World {
    let mut world = World::new(seed, replicas, Faults::harsh());
    if traced {
        world.begin_trace();
    }
    world.connect_all();
    world.chaos(CHAOS_MS);
    world.heal();
    world.settle(180_000);
    world
}

#[test]
fn whatever_happens_all_become_equal() {
    for seed in 0..200 {
        let replicas = 2 + (seed % 4) as u8;
        let world = run(seed, replicas, false);
        world.check_equal();
        world.check_acknowledged();
    }
}

#[test]
fn without_faults_every_write_is_acknowledged_in_time() {
    for seed in 0..10 {
        let mut world = World::new(seed, 3, Faults::none());
        world.connect_all();
        world.advance(3_000);
        world.writes(20_000);
        world.advance(2_000);
        world.check_acknowledged();
        assert_eq!(world.unacknowledged(), 0, "seed {seed}");
        world.settle(60_000);
        world.check_equal();
    }
}

#[test]
fn a_minority_answers_at_once_and_delivers_later() {
    let mut world = World::new(7, 3, Faults::none());
    world.connect_all();
    world.advance(3_000);
    world.isolate(0);
    world.advance(1_000);
    let asked_ms = world.now_ms();
    let commit = world.publish(0, 4096);
    world.advance(1);
    let (answered_ms, durability) = world.answer(&commit).expect("answered at once");
    assert_eq!((*answered_ms, durability.durable, durability.wanted), (asked_ms, 1, 2));
    assert_eq!(durability.outstanding.len(), 2);
    assert_eq!(world.engine(0).outstanding(&commit).map(|durability| durability.durable), Some(1));
    world.heal();
    world.advance(5_000);
    world.check_equal();
    assert_eq!(world.engine(0).outstanding(&commit), None);
}

#[test]
fn a_large_backlog_is_reconciled_within_seconds() {
    let mut world = World::new(11, 2, Faults::none());
    for _ in 0..6_000 {
        world.publish(0, 4096);
        world.publish(1, 4096);
    }
    world.connect_all();
    world.settle(20_000);
    world.check_equal();
    assert_eq!(world.engine(0).indexed(), 12_000);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let (a, b, other) = (run(3, 4, true), run(3, 4, true), run(4, 4, true));
    assert_eq!(a.trace(), b.trace());
    assert_ne!(a.trace(), other.trace());
}

#[test]
fn an_idle_pair_costs_less_than_200_bytes_a_tick() {
    let mut world = World::new(5, 2, Faults::none());
    world.connect_all();
    for _ in 0..200 {
        world.publish(0, 4096);
    }
    world.settle(60_000);
    let before = world.bytes_sent();
    world.advance(300_000);
    let bytes = world.bytes_sent() - before;
    assert!(bytes > 0 && bytes <= 200 * 11, "{bytes} bytes in ten ticks");
}
