//! The shortest way from one sequence to another (Myers, "An O(ND) difference algorithm and its variations", 1986),
//! within bounds.

/// Most single insertions and deletions that are looked for; beyond, the middle is replaced as a whole. The search
/// takes (length + this) times this steps at most, and keeps the square of it.
const MAX_STEPS: usize = 256;

/// At `at` of the old sequence `delete` elements go, and those of `insert` of the new one come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hunk {
    pub(super) at: usize,
    pub(super) delete: usize,
    pub(super) insert: std::ops::Range<usize>,
}

/// Hunks that turn `old` into `new`, ascending, none touching the next.
pub(super) fn diff<T: PartialEq>(old: &[T], new: &[T]) -> Vec<Hunk> {
    let prefix = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[prefix..], &new[prefix..]);
    let suffix = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[..old.len() - suffix], &new[..new.len() - suffix]);
    if old.is_empty() && new.is_empty() {
        return Vec::new();
    }
    let whole = Hunk { at: 0, delete: old.len(), insert: 0..new.len() };
    let mut hunks = if old.is_empty() || new.is_empty() { vec![whole] } else { myers(old, new).unwrap_or(vec![whole]) };
    for hunk in &mut hunks {
        hunk.at += prefix;
        hunk.insert = hunk.insert.start + prefix..hunk.insert.end + prefix;
    }
    hunks
}

/// `None`: more than [`MAX_STEPS`] steps.
fn myers<T: PartialEq>(old: &[T], new: &[T]) -> Option<Vec<Hunk>> {
    let offset = MAX_STEPS + 1;
    // furthest[offset + k]: how far into `old` the best path on diagonal k (old index - new index) leads.
    let mut furthest = vec![0_usize; 2 * offset + 1];
    let mut history: Vec<Vec<usize>> = Vec::new();
    for steps in 0..=MAX_STEPS {
        history.push(furthest[offset - steps..=offset + steps].to_vec());
        for diagonal in (offset - steps..=offset + steps).step_by(2) {
            let down = diagonal == offset - steps
                || (diagonal != offset + steps && furthest[diagonal - 1] < furthest[diagonal + 1]);
            let mut x = if down { furthest[diagonal + 1] } else { furthest[diagonal - 1] + 1 };
            let Some(mut y) = (x + offset).checked_sub(diagonal) else { continue };
            while x < old.len() && y < new.len() && old[x] == new[y] {
                x += 1;
                y += 1;
            }
            furthest[diagonal] = x;
            if x >= old.len() && y >= new.len() {
                return Some(back(&history, steps, offset, old.len(), new.len()));
            }
        }
    }
    None
}

/// Walks from the end to the begin along what was kept of each step, and joins steps that touch.
fn back(history: &[Vec<usize>], steps: usize, offset: usize, mut x: usize, mut y: usize) -> Vec<Hunk> {
    let mut hunks: Vec<Hunk> = Vec::new();
    for step in (1..=steps).rev() {
        let kept = &history[step];
        let at = |diagonal: usize| kept[diagonal + step - offset];
        let diagonal = x + offset - y;
        let down = diagonal == offset - step || (diagonal != offset + step && at(diagonal - 1) < at(diagonal + 1));
        let (from_x, from_y) = if down {
            let x = at(diagonal + 1);
            (x, x + offset - (diagonal + 1))
        } else {
            let x = at(diagonal - 1);
            (x, x + offset - (diagonal - 1))
        };
        let hunk = if down {
            Hunk { at: from_x, delete: 0, insert: from_y..from_y + 1 }
        } else {
            Hunk { at: from_x, delete: 1, insert: from_y..from_y }
        };
        match hunks.last_mut() {
            Some(next) if next.at == hunk.at + hunk.delete && next.insert.start == hunk.insert.end => {
                next.delete += hunk.delete;
                next.at = hunk.at;
                next.insert.start = hunk.insert.start;
            }
            _ => hunks.push(hunk),
        }
        (x, y) = (from_x, from_y);
    }
    hunks.reverse();
    hunks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apply(old: &[u8], new: &[u8], hunks: &[Hunk]) -> Vec<u8> {
        let mut made = old.to_vec();
        for hunk in hunks.iter().rev() {
            made.splice(hunk.at..hunk.at + hunk.delete, new[hunk.insert.clone()].iter().copied());
        }
        made
    }

    /// Length of the longest common subsequence, by the textbook.
    fn common(old: &[u8], new: &[u8]) -> usize {
        let mut row = vec![0; new.len() + 1];
        for a in old {
            let mut corner = 0;
            for (at, b) in new.iter().enumerate() {
                let above = row[at + 1];
                row[at + 1] = if a == b { corner + 1 } else { above.max(row[at]) };
                corner = above;
            }
        }
        row[new.len()]
    }

    proptest! {
        #[test]
        fn hunks_lead_there_and_are_the_fewest_elements(
            old in prop::collection::vec(0_u8..4, 0..30),
            new in prop::collection::vec(0_u8..4, 0..30),
        ) {
            let hunks = diff(&old, &new);
            prop_assert_eq!(apply(&old, &new, &hunks), new.clone());
            let steps: usize = hunks.iter().map(|hunk| hunk.delete + hunk.insert.len()).sum();
            prop_assert_eq!(steps, old.len() + new.len() - 2 * common(&old, &new));
            prop_assert!(hunks.windows(2).all(|pair| pair[0].at + pair[0].delete < pair[1].at
                || pair[0].insert.end < pair[1].insert.start));
        }
    }

    #[test]
    fn what_differs_too_much_is_replaced_as_a_whole() {
        let old: Vec<u32> = (0..2000).collect();
        let new: Vec<u32> = (0..2000).map(|value| if value % 2 == 0 { value } else { value + 5000 }).collect();
        assert_eq!(diff(&old, &new), [Hunk { at: 1, delete: 1999, insert: 1..2000 }]);
    }
}
