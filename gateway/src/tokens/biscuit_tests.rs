//! Tokens: what stands, what does not, and that adding blocks only takes away.

use biscuit_auth::{BlockBuilder, UnverifiedBiscuit};
use proptest::prelude::*;

use super::{
    super::{Narrowing, Scopes, narrow},
    *,
};

const NOW_MS: u64 = 1_795_000_000_000;

fn root() -> Root {
    Root::from_seed(&[7; 32]).unwrap()
}

fn account() -> Holder {
    let key = PublicKey::from_multibase("z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK").unwrap();
    Holder::Account { key, name: "ada".into() }
}

fn claims(holder: Holder, scopes: &[Scope], prefixes: &[&str]) -> Claims {
    Claims {
        id: TokenId([1; 16]),
        holder,
        scopes: scopes.iter().copied().collect(),
        prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
        expires_ms: NOW_MS + 60_000,
    }
}

fn token(scopes: &[Scope], prefixes: &[&str]) -> String {
    root().mint(&claims(account(), scopes, prefixes), &[9; 32]).unwrap()
}

fn add(token: &str, block: &str) -> String {
    let block = BlockBuilder::new().code(block).unwrap();
    UnverifiedBiscuit::from_base64(token).unwrap().append(block).unwrap().to_base64().unwrap()
}

fn allows(token: &str, scope: Scope, soul: &str) -> bool {
    allows_at(token, scope, Target::Soul(soul), NOW_MS)
}

fn allows_at(token: &str, scope: Scope, target: Target<'_>, now_ms: u64) -> bool {
    let asked = Asked { scope, target, method: "PATCH", now_ms };
    root().read(token).unwrap().allows(asked).is_ok()
}

#[test]
fn a_token_says_what_it_was_made_for() {
    for holder in [account(), Holder::Owner] {
        let made = claims(holder.clone(), &[Scope::Read, Scope::Register], &["a", "b/\"c\\"]);
        let read = root().read(&root().mint(&made, &[9; 32]).unwrap()).unwrap();
        assert_eq!((read.id, &read.holder, read.scopes), (made.id, &holder, made.scopes));
        assert_eq!((read.expires_ms, read.attenuated.is_none()), (made.expires_ms, true));
        let mut prefixes = read.prefixes.clone();
        prefixes.sort();
        assert_eq!(prefixes, made.prefixes);
    }
}

#[test]
fn a_token_of_another_root_or_changed_on_the_way_is_none() {
    let other =
        Root::from_seed(&[8; 32]).unwrap().mint(&claims(Holder::Owner, &[Scope::Admin], &[]), &[9; 32]).unwrap();
    for text in [&other, "", "x", "owner", "====", &"A".repeat(500)] {
        assert_eq!(root().read(text).unwrap_err().code(), "unauthenticated", "{text}");
    }
    let good = token(&[Scope::Read], &[]);
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        if let Ok(grant) = root().read(&changed) {
            // Bits of base64 that stand for nothing, or of the key for further blocks, which the holder may choose.
            assert_eq!(grant.scopes, Scopes::from_iter([Scope::Read]), "byte {at}");
        }
    }
}

#[test]
fn a_block_only_takes_away() {
    let whole = token(&[Scope::Read, Scope::Write], &[]);
    let reads = add(&whole, "check if operation(\"read\")");
    assert!(allows(&reads, Scope::Read, "a") && !allows(&reads, Scope::Write, "a"));
    let below = add(&whole, "check if soul($s), $s.starts_with(\"people/\")");
    assert!(allows(&below, Scope::Write, "people/ada") && !allows(&below, Scope::Write, "places/rome"));
    assert!(!allows_at(&below, Scope::Write, Target::Gateway, NOW_MS), "a file has no soul");
    let both = add(&below, "check if operation(\"read\")");
    assert!(allows(&both, Scope::Read, "people/ada") && !allows(&both, Scope::Write, "people/ada"));
    let patch = add(&whole, "check if method(\"GET\")");
    assert!(!allows(&patch, Scope::Write, "a"));
    let until = add(&whole, "check if time($t), $t < 2026-11-18T11:06:45Z");
    assert!(allows_at(&until, Scope::Read, Target::Soul("a"), NOW_MS));
    assert!(!allows_at(&until, Scope::Read, Target::Soul("a"), NOW_MS + 10_000));
}

#[test]
fn a_block_of_facts_or_rules_or_that_joins_much_is_refused() {
    let read = token(&[Scope::Read], &["people"]);
    for block in [
        "scope(\"admin\")",
        "owner(true); prefix(\"\"); expires(2100-01-01T00:00:00Z)",
        "scope(\"admin\") <- scope(\"read\")",
        "operation(\"read\")",
        "check if scope($a), scope($b), scope($c)",
        "check if true or scope($a), scope($b), scope($c)",
        "reject if soul(\"people/secret\")",
        "check if soul($s), $s.matches(\"^people/\")",
        "check if {1, 2}.any($a -> {1, 2}.all($b -> $a > 0))",
        "check if true && {1, 2}.any($a -> $a > 1)",
        &format!("check if true{}", " && true".repeat(MAX_STEPS)),
        &"check if true;".repeat(MAX_ALTERNATIVES + 1),
        &format!("check if true{}", " or true".repeat(MAX_ALTERNATIVES)),
    ] {
        assert!(root().read(&add(&read, block)).is_err(), "{block}");
    }
    let cheap = add(&read, "check if scope($a), operation($a); check if method($m), $m != \"PUT\" && true || false");
    assert!(allows(&cheap, Scope::Read, "people/ada") && !allows(&cheap, Scope::Write, "people/ada"));
    let mut long = token(&[Scope::Read], &[]);
    for _ in 0..MAX_BLOCKS {
        long = add(&long, "check if true");
    }
    assert!(root().read(&long).is_err());
}

#[test]
fn narrowed_tokens() {
    let whole = token(&[Scope::Read, Scope::Write], &[]);
    let narrowing = Narrowing {
        scopes: vec!["read".into()],
        prefixes: vec!["people".into(), "blog/".into(), "a\"b\\".into()],
        expires_s: Some(NOW_MS / 1000 + 10),
    };
    let narrowed = narrow(&whole, &narrowing, &[3; 32]).unwrap();
    for (soul, is) in [
        ("people", true),
        ("people/ada", true),
        ("peoples", false),
        ("blog/x", true),
        ("blog", false),
        ("a\"b\\", true),
        ("a\"b\\/x", true),
        ("a", false),
    ] {
        assert_eq!(allows(&narrowed, Scope::Read, soul), is, "{soul}");
        assert!(!allows(&narrowed, Scope::Write, soul));
    }
    let read = |target| allows_at(&narrowed, Scope::Read, target, NOW_MS);
    assert!(read(Target::Under("people/a")) && !read(Target::Under("people")) && !read(Target::Gateway));
    assert!(!allows_at(&narrowed, Scope::Read, Target::Soul("people"), NOW_MS + 10_000));
    assert!(narrow("x", &narrowing, &[3; 32]).is_err());
    let control = Narrowing { prefixes: vec!["a\nb".into()], ..Narrowing::default() };
    assert!(narrow(&whole, &control, &[3; 32]).is_err());
}

proptest! {
    #[test]
    fn any_text_is_a_token_or_a_problem(text in "[A-Za-z0-9_=-]{0,400}") {
        prop_assert!(root().read(&text).is_err());
    }

    #[test]
    fn any_prefix_narrows_to_itself(prefix in "[ -~äö]{1,20}", other in "[ -~äö]{1,20}") {
        let narrowing = Narrowing { prefixes: vec![prefix.clone()], ..Narrowing::default() };
        let narrowed = narrow(&token(&[Scope::Read], &[]), &narrowing, &[3; 32]).unwrap();
        prop_assert!(allows(&narrowed, Scope::Read, &prefix));
        let below = other.starts_with(&prefix) && (other.len() == prefix.len() || prefix.ends_with('/') || other[prefix.len()..].starts_with('/'));
        prop_assert_eq!(allows(&narrowed, Scope::Read, &other), below);
    }
}
