//! Which updates can be integrated together.

use std::collections::{BTreeSet, HashMap};

use super::{ids::StateVector, update::Update};

/// The greatest set of updates whose dependencies are integrated already (`held`: the clock of a client) or inside the
/// set; indices, ascending. `updates`: each with what it depends on.
///
/// It begins with all and removes whoever needs a clock that the rest does not reach, until nobody does: a greatest
/// fixed point, so circles stay.
pub(super) fn greatest_closed_set(updates: &[(&Update, &StateVector)], held: impl Fn(u64) -> u32) -> Vec<usize> {
    // Per client: what is brought (first clock, clock behind the last, by whom), and who needs which clock.
    let mut brought: HashMap<u64, Vec<(u32, u32, usize)>> = HashMap::new();
    let mut wanted: HashMap<u64, BTreeSet<(u32, usize)>> = HashMap::new();
    for (at, (update, needed)) in updates.iter().enumerate() {
        for (client, start, end) in update.structs().iter() {
            brought.entry(client).or_default().push((start, end, at));
        }
        for (client, clock) in needed.iter() {
            wanted.entry(client).or_default().insert((clock, at));
        }
    }
    brought.values_mut().for_each(|pieces| pieces.sort_unstable());
    let mut member = vec![true; updates.len()];
    let mut changed: BTreeSet<u64> = wanted.keys().copied().collect();
    while !changed.is_empty() {
        let mut removed = Vec::new();
        for client in std::mem::take(&mut changed) {
            let mut reach = held(client);
            if let Some(pieces) = brought.get_mut(&client) {
                pieces.retain(|(_, _, at)| member[*at]);
                for (start, end, _) in pieces.iter() {
                    if *start > reach {
                        break;
                    }
                    reach = reach.max(*end);
                }
            }
            let Some(wanted) = wanted.get_mut(&client) else { continue };
            while let Some((clock, at)) = wanted.pop_last() {
                if clock <= reach {
                    wanted.insert((clock, at));
                    break;
                }
                if std::mem::replace(&mut member[at], false) {
                    removed.push(at);
                }
            }
        }
        for at in removed {
            changed.extend(updates[at].0.sections.iter().map(|section| section.client));
        }
    }
    (0..updates.len()).filter(|at| member[*at]).collect()
}
