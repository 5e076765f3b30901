//! One list: reading it, and looking something up in it.

use std::{
    collections::{HashMap, HashSet},
    io::{BufRead, Read as _},
    str::FromStr as _,
    sync::{Arc, LazyLock},
};

use cid::{Cid, multihash::Multihash};
use percent_encoding::percent_decode_str;
use rustdht_core::ports::IpnsName;
use sha2::Digest as _;

use super::{DenyRoot, header::Header};

/// The specification's bounds.
const MAX_HEADER_BYTES: usize = 1 << 20;
const MAX_LINE_BYTES: usize = 2 << 20;
/// Rules of one list: about 80 bytes each, a double-hashed one 33. The greatest public list has half a million.
const MAX_RULES: usize = 4_000_000;
/// Lines that could not be read and are told.
const MAX_TOLD: usize = 8;

const SHA2_256: u64 = 0x12;
const BLAKE3: u64 = 0x1e;
/// Digests of the empty file and the empty directory in their usual codecs. Denied, they would take unrelated content with
/// them, so a rule about one is passed over.
static HARMLESS: LazyLock<HashSet<Vec<u8>>> = LazyLock::new(|| {
    let cids = [
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
        "bafyaabakaieac",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        "bafkqaaa",
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
        "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua",
        "baguqeeraiqjw7i2vwntyuekgvulpp2det2kpwt6cd7tx5ayqybqpmhfk76fa",
    ];
    cids.into_iter().filter_map(multihash_of).collect()
});

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DenyRulesError {
    /// It could not be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// Its header is not text.
    #[error("its header is not UTF-8")]
    Header,
    /// It is of another version of the format.
    #[error("it is of version {0} of the format, and 1 is what is understood")]
    Version(String),
    /// A line is too long.
    #[error("line {0} is longer than 2 MiB")]
    Line(u64),
    /// It has too many rules.
    #[error("it has more than {MAX_RULES} rules")]
    TooMany,
}

type Digest = [u8; 32];

/// What a matching rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) allow: bool,
    pub(super) by_law: bool,
}

/// A rule about one root.
#[derive(Debug)]
struct Rule {
    /// Without slashes at its ends.
    path: Box<str>,
    /// Paths that begin so, and not this one only.
    prefix: bool,
    verdict: Verdict,
}

impl Rule {
    fn matches(&self, path: &str) -> bool {
        if self.prefix { path.starts_with(&*self.path) } else { *path == *self.path }
    }
}

/// The rules about one root, mostly a single one.
#[derive(Debug)]
enum Rules {
    One(Rule),
    Many(Vec<Rule>),
}

impl Rules {
    fn push(&mut self, rule: Rule) {
        let held = std::mem::replace(self, Self::Many(Vec::new()));
        *self = match held {
            Self::One(first) => Self::Many(vec![first, rule]),
            Self::Many(mut rules) => {
                rules.push(rule);
                Self::Many(rules)
            }
        };
    }

    /// What the last rule about a path says.
    fn verdict(&self, path: &str) -> Option<Verdict> {
        let rules = match self {
            Self::One(rule) => std::slice::from_ref(rule),
            Self::Many(rules) => rules,
        };
        rules.iter().rev().find(|rule| rule.matches(path)).map(|rule| rule.verdict)
    }
}

/// Double hashes of one function, ascending once read.
#[derive(Debug, Default)]
struct Hashed(Vec<(Digest, Verdict)>);

impl Hashed {
    /// Of several rules about one hash the last one stays.
    fn settle(&mut self) {
        self.0.reverse();
        self.0.sort_by_key(|(digest, _)| *digest);
        self.0.dedup_by_key(|(digest, _)| *digest);
        self.0.shrink_to_fit();
    }

    fn get(&self, digest: impl FnOnce() -> Digest) -> Option<Verdict> {
        if self.0.is_empty() {
            return None;
        }
        let digest = digest();
        self.0.binary_search_by_key(&digest, |(held, _)| *held).ok().map(|at| self.0[at].1)
    }
}

/// The rules of one list.
#[derive(Debug)]
pub struct DenyRules {
    name: Arc<str>,
    /// By the hash of namespace and root.
    clear: HashMap<Digest, Rules>,
    sha2: Hashed,
    blake3: Hashed,
    count: usize,
    unreadable: Vec<(u64, &'static str)>,
    more_unreadable: u64,
}

/// What clear rules are found by.
fn key(namespace: &str, root: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(namespace.as_bytes()).update(&[0]).update(root);
    *hasher.finalize().as_bytes()
}

/// A path as the rules see it.
pub(super) struct Asked<'a> {
    path: &'a str,
    key: Digest,
    /// What is hashed with SHA-256 for rules in the older notation.
    legacy: String,
    /// What is hashed for rules in the newer notation.
    modern: String,
}

impl<'a> Asked<'a> {
    pub(super) fn of(root: DenyRoot<'_>, path: &'a str) -> Self {
        let of_hash = |namespace, cid: &Cid| {
            let hash = cid.hash().to_bytes();
            let text = Cid::new_v1(cid.codec(), *cid.hash()).to_string();
            (key(namespace, &hash), text, bs58::encode(&hash).into_string())
        };
        let (key, legacy, modern) = match root {
            DenyRoot::Cid(cid) => of_hash("ipfs", cid),
            DenyRoot::Name(name) => match IpnsName::from_str(name) {
                Ok(name) => of_hash("ipns", &name.to_cid()),
                Err(_) => (key("host", name.as_bytes()), name.to_owned(), format!("/ipns/{name}")),
            },
        };
        let slash = if path.is_empty() { "" } else { "/" };
        Self { path, key, legacy: format!("{legacy}/{path}"), modern: format!("{modern}{slash}{path}") }
    }
}

fn sha2(text: &str) -> Digest {
    sha2::Sha256::digest(text.as_bytes()).into()
}

/// A CID, or a multihash in base58, as its multihash.
fn multihash_of(text: &str) -> Option<Vec<u8>> {
    if let Ok(cid) = text.parse::<Cid>() {
        return Some(cid.hash().to_bytes());
    }
    let bytes = bs58::decode(text).into_vec().ok()?;
    Multihash::<64>::from_bytes(&bytes).ok().map(|_| bytes)
}

impl DenyRules {
    /// Reads a list; `name` names it where its header does not.
    ///
    /// # Errors
    /// When it cannot be read, breaks a bound of the format, or is of another version. Single rules that cannot be read
    /// are passed over: [`DenyRules::unreadable`].
    pub fn read(mut reader: impl BufRead, name: &str) -> Result<Self, DenyRulesError> {
        let mut rules = Self {
            name: name.into(),
            clear: HashMap::new(),
            sha2: Hashed::default(),
            blake3: Hashed::default(),
            count: 0,
            unreadable: Vec::new(),
            more_unreadable: 0,
        };
        let mut number = 0;
        let mut line = Vec::new();
        // Until there is a line `---`, what was read may be the header, or rules of a list without one.
        let mut begun: Option<(Vec<Vec<u8>>, usize)> = Some((Vec::new(), 0));
        let mut by_law = false;
        while next_line(&mut reader, &mut line, number)? {
            number += 1;
            if let Some((lines, bytes)) = &mut begun {
                if line == b"---" {
                    let header = Header::parse(lines.iter().map(Vec::as_slice))?;
                    if let Some(name) = header.name {
                        rules.name = name.into();
                    }
                    by_law = header.gateway_status.as_deref() == Some("451");
                    begun = None;
                    continue;
                }
                *bytes += line.len() + 1;
                if *bytes <= MAX_HEADER_BYTES {
                    lines.push(std::mem::take(&mut line));
                    continue;
                }
                rules.take_all(begun.take(), by_law)?;
            }
            rules.take(&line, number, by_law)?;
        }
        rules.take_all(begun, by_law)?;
        rules.sha2.settle();
        rules.blake3.settle();
        rules.clear.shrink_to_fit();
        Ok(rules)
    }

    fn take_all(&mut self, begun: Option<(Vec<Vec<u8>>, usize)>, by_law: bool) -> Result<(), DenyRulesError> {
        let lines = begun.map(|(lines, _)| lines).unwrap_or_default();
        (1..).zip(&lines).try_for_each(|(number, line)| self.take(line, number, by_law))
    }

    /// The name of the list.
    pub(super) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How many rules it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The first lines that are no rules, each with the reason, and how many others there are.
    #[must_use]
    pub fn unreadable(&self) -> (&[(u64, &'static str)], u64) {
        (&self.unreadable, self.more_unreadable)
    }

    fn take(&mut self, line: &[u8], number: u64, list_by_law: bool) -> Result<(), DenyRulesError> {
        let Err(why) = self.rule(line, list_by_law) else {
            return if self.count > MAX_RULES { Err(DenyRulesError::TooMany) } else { Ok(()) };
        };
        if self.unreadable.len() < MAX_TOLD {
            self.unreadable.push((number, why));
        } else {
            self.more_unreadable += 1;
        }
        Ok(())
    }

    fn rule(&mut self, line: &[u8], list_by_law: bool) -> Result<(), &'static str> {
        let line = std::str::from_utf8(line).map_err(|_| "not UTF-8")?;
        let mut words = line.split_whitespace();
        let Some(rule) = words.next().filter(|word| !word.starts_with('#')) else { return Ok(()) };
        let mut by_law = list_by_law;
        for hint in words.take_while(|word| !word.starts_with('#')) {
            // The specification separates key and value by a colon, lists in use by an equals sign.
            if let Some((_, status)) = hint.split_once([':', '=']).filter(|(key, _)| *key == "gateway_status") {
                by_law = status == "451";
            }
        }
        // `+` and `-` were written before the specification settled on `!`.
        let (rule, allow) = match rule.strip_prefix(['!', '+', '-']) {
            Some(rule) => (rule, true),
            None => (rule, false),
        };
        let verdict = Verdict { allow, by_law };
        if let Some(hashed) = rule.strip_prefix("//") {
            self.hashed(hashed, verdict)
        } else if let Some(path) = rule.strip_prefix("/ipfs/") {
            let (root, path) = path.split_once('/').unwrap_or((path, ""));
            let hash = multihash_of(root).ok_or("not a CID")?;
            if HARMLESS.contains(&hash) { Ok(()) } else { self.clear(key("ipfs", &hash), path, verdict) }
        } else if let Some(path) = rule.strip_prefix("/ipns/") {
            let (name, path) = path.split_once('/').unwrap_or((path, ""));
            let key = match name.parse::<IpnsName>() {
                Ok(name) => key("ipns", &name.multihash().to_bytes()),
                Err(_) => key("host", name.to_ascii_lowercase().as_bytes()),
            };
            self.clear(key, path, verdict)
        } else {
            Err("neither /ipfs/, /ipns/ nor //")
        }
    }

    fn clear(&mut self, key: Digest, path: &str, verdict: Verdict) -> Result<(), &'static str> {
        // Before the percent signs are decoded: an asterisk that stands behind one is none.
        let (path, prefix) = match path.strip_suffix('*') {
            Some(path) => (path, true),
            None => (path, false),
        };
        let path = percent_decode_str(path).decode_utf8().map_err(|_| "a path that is not UTF-8")?;
        let rule = Rule { path: path.trim_matches('/').into(), prefix, verdict };
        self.count += 1;
        match self.clear.get_mut(&key) {
            Some(rules) => rules.push(rule),
            None => {
                self.clear.insert(key, Rules::One(rule));
            }
        }
        Ok(())
    }

    /// A hash in base58, or 64 hex digits of a SHA-256. What can be read as both counts as both.
    fn hashed(&mut self, text: &str, verdict: Verdict) -> Result<(), &'static str> {
        let before = self.count;
        let hash = bs58::decode(text).into_vec().ok().and_then(|bytes| Multihash::<64>::from_bytes(&bytes).ok());
        if let Some(hash) = hash
            && let Ok(digest) = Digest::try_from(hash.digest())
        {
            match hash.code() {
                SHA2_256 => self.push_hashed(digest, verdict, false),
                BLAKE3 => self.push_hashed(digest, verdict, true),
                _ => {}
            }
        }
        let mut digest = [0; 32];
        if hex::decode_to_slice(text, &mut digest).is_ok() {
            self.push_hashed(digest, verdict, false);
        }
        if self.count > before { Ok(()) } else { Err("no hash by sha2-256 or blake3") }
    }

    fn push_hashed(&mut self, digest: Digest, verdict: Verdict, by_blake3: bool) {
        self.count += 1;
        if by_blake3 { self.blake3.0.push((digest, verdict)) } else { self.sha2.0.push((digest, verdict)) }
    }

    /// What the list says of exactly this path.
    pub(super) fn verdict(&self, asked: &Asked<'_>) -> Option<Verdict> {
        self.clear
            .get(&asked.key)
            .and_then(|rules| rules.verdict(asked.path))
            .or_else(|| self.sha2.get(|| sha2(&asked.legacy)))
            .or_else(|| self.sha2.get(|| sha2(&asked.modern)))
            .or_else(|| self.blake3.get(|| *blake3::hash(asked.modern.as_bytes()).as_bytes()))
    }
}

/// The next line without its end; `false`: there is none.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>, number: u64) -> Result<bool, DenyRulesError> {
    line.clear();
    let read = reader.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', line)?;
    if read > MAX_LINE_BYTES {
        return Err(DenyRulesError::Line(number + 1));
    }
    while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        line.pop();
    }
    Ok(read > 0)
}
