//! What of a stanza becomes which field of a node.

use crate::{
    ndjson::{Fields, Link},
    stanza::Stanza,
};

/// A text that is longer becomes no field: a value is at most 64 KiB of DAG-CBOR, of which up to 5 bytes are its head.
/// (`Provides` of a few language runtimes reaches this; its links are kept.)
const MAX_TEXT_BYTES: usize = (64 << 10) - 5;

/// Fields taken as they are.
const TEXTS: [(&str, &str); 9] = [
    ("Package", "package"),
    ("Version", "version"),
    ("Section", "section"),
    ("Priority", "priority"),
    ("Architecture", "architecture"),
    ("Maintainer", "maintainer"),
    ("Description", "description"),
    ("Homepage", "homepage"),
    ("Source", "source"),
];

/// Fields that name other packages: links, and beside them the exact text.
const RELATIONS: [(&str, &str, &str); 9] = [
    ("Depends", "depends", "depends_text"),
    ("Pre-Depends", "pre_depends", "pre_depends_text"),
    ("Recommends", "recommends", "recommends_text"),
    ("Suggests", "suggests", "suggests_text"),
    ("Enhances", "enhances", "enhances_text"),
    ("Breaks", "breaks", "breaks_text"),
    ("Conflicts", "conflicts", "conflicts_text"),
    ("Replaces", "replaces", "replaces_text"),
    ("Provides", "provides", "provides_text"),
];

/// The soul of the package called `name`.
pub(crate) fn soul(name: &str) -> String {
    format!("debian/{name}")
}

/// Whether `name` is a package name (Debian Policy 5.6.1, with the upper case letters of old virtual packages).
pub(crate) fn is_name(name: &str) -> bool {
    name.len() >= 2
        && name.len() <= 256
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
}

/// A package, read from its stanza.
pub(crate) struct Package<'a> {
    texts: Vec<(&'static str, &'a str)>,
    integers: Vec<(&'static str, u32)>,
    links: Vec<(&'static str, Vec<Link>)>,
}

impl<'a> Package<'a> {
    /// Reads the fields that become fields of a node.
    ///
    /// # Errors
    /// A sentence about the field to blame.
    pub(crate) fn read(stanza: &'a Stanza) -> Result<Self, String> {
        let mut texts: Vec<_> =
            TEXTS.iter().filter_map(|(name, key)| stanza.get(name).map(|text| (*key, text))).collect();
        let mut integers = Vec::new();
        if let Some(text) = stanza.get("Installed-Size") {
            let size = text.parse().map_err(|_| format!("'Installed-Size' should be a number, not '{text}'"))?;
            integers.push(("installed_size", size));
        }
        let mut links = Vec::new();
        for (name, key, text_key) in RELATIONS {
            if let Some(text) = stanza.get(name) {
                let names = names(text).map_err(|what| format!("'{name}': {what}"))?;
                links.push((key, names.into_iter().map(|name| Link(soul(name))).collect()));
                texts.push((text_key, text));
            }
        }
        texts.retain(|(_, text)| !text.is_empty() && text.len() <= MAX_TEXT_BYTES);
        Ok(Self { texts, integers, links })
    }

    /// Writes the fields.
    pub(crate) fn write(self, fields: &mut Fields<'_>) {
        fields.value("type", "package");
        for (key, text) in self.texts {
            fields.value(key, text);
        }
        for (key, integer) in self.integers {
            fields.value(key, &integer);
        }
        for (key, links) in self.links {
            fields.set(key, links);
        }
    }
}

/// The package names of a relationship field such as `a (>= 1) | b:any [amd64] <!nocheck>, c`, alternatives alike.
fn names(text: &str) -> Result<Vec<&str>, String> {
    let mut names = Vec::new();
    for part in text.split([',', '|']).map(str::trim_ascii).filter(|part| !part.is_empty()) {
        let end = part.find(|c: char| c.is_ascii_whitespace() || "([<:".contains(c)).unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        if !is_name(name) {
            return Err(format!("'{name}' is no package name"));
        }
        if rest.contains('(') != rest.contains(')') {
            return Err(format!("a parenthesis is open in '{part}'"));
        }
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_architectures_and_profiles_are_dropped() {
        let text = "aa(>= 1), bb:any | cc [amd64 !i386] <!nocheck>,\n dd-1.0+x ,";
        assert_eq!(names(text).unwrap(), ["aa", "bb", "cc", "dd-1.0+x"]);
    }

    #[test]
    fn what_is_no_name_is_an_error() {
        for text in ["a b", "(>= 1)", "-x", "aa (>= 1, bb", "ünicode"] {
            assert!(names(text).is_err(), "{text}");
        }
    }
}
