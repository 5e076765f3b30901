//! Judges many randomly damaged commits: nothing passes that nobody signed, nothing panics, and memory stays flat.
//!
//! `cargo run --release -p rustdht-wire --example mutate [-- COUNT [SEED]]`
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a tool that prints and may stop at any error")]

#[path = "../tests/shared/mutator.rs"]
mod mutator;

/// Resident memory in KiB (proc(5)); 0 where there is no such file.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().unwrap());
    let (count, seed) = (arguments.next().unwrap_or(1_000_000), arguments.next().unwrap_or(1));
    let mut mutator = mutator::Mutator::new(seed);
    println!("{count} mutants from seed {seed}; resident at the start: {} KiB", resident_kib());
    for at in 0..count {
        if at == count / 100 || at == count / 2 {
            println!("resident after {at}: {} KiB", resident_kib());
        }
        mutator.step();
    }
    println!("resident at the end: {} KiB", resident_kib());
    let tally = &mutator.tally;
    println!(
        "{} mutants: none passed with anything that was not signed; {} were not damaged after all, {} passed a door with \
         only what travels along changed, {} passed between replicas with signed parts only",
        tally.mutants, tally.identical, tally.beside, tally.parts
    );
    tally.refused.iter().for_each(|(code, count)| println!("  {code:<24} {count:>9}"));
}
