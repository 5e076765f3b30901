//! Unknown keys are errors, with the nearest known key as a suggestion.

use figment::value::{Dict, Value};

use super::sections::{SECTIONS, keys};

/// The first key of a layer that is not one, as `section.key`.
pub(super) fn first_unknown(layer: &Dict) -> Option<String> {
    for (name, value) in layer {
        let Some((_, _, known)) = SECTIONS.iter().find(|(section, ..)| section == name) else {
            if keys().any(|key| key == *name) {
                continue;
            }
            // Below an unknown section the first key says more than the section alone.
            let below = if let Value::Dict(_, inner) = value { inner.keys().next() } else { None };
            return Some(below.map_or_else(|| name.clone(), |key| format!("{name}.{key}")));
        };
        let Value::Dict(_, inner) = value else { continue };
        if let Some(key) = inner.keys().find(|key| known.iter().all(|known| known.name != **key)) {
            return Some(format!("{name}.{key}"));
        }
    }
    None
}

/// The known key nearest to `key`, when near enough to be meant.
pub(super) fn suggestion(key: &str) -> Option<String> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    keys()
        // The right key in the wrong section is as near as one slip.
        .map(|known| (if last(&known) == last(key) { 1 } else { distance(&known, key) }, known))
        .min()
        .filter(|(slips, _)| *slips <= 1 + key.len() / 4)
        .map(|(_, known)| known)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let cost = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }

    #[test]
    fn slips_are_corrected_and_nonsense_is_not() {
        assert_eq!(suggestion("gateway.listn").as_deref(), Some("gateway.listen"));
        assert_eq!(suggestion("http.listen").as_deref(), Some("gateway.listen"));
        assert_eq!(suggestion("net.wsport").as_deref(), Some("net.ws_port"));
        assert_eq!(suggestion("datadir").as_deref(), Some("data_dir"));
        assert_eq!(suggestion("zzzzzz.qqqqqqqqqqqq"), None);
    }
}
