//! Measures verified ingest on one core: envelopes are decoded and checked, their signatures verified in batches, and the
//! entries joined to nodes in memory.
//!
//! `cargo run --release -p rustdht-wire --example verify_bench [-- COMMITS]`
//!
//! Rates are per second of processor time (Linux), so that other work on the machine does not count.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring tool that prints and may stop at any error")]

use std::{collections::HashMap, sync::Arc};

use rustdht_core::{
    Body, CertificateId, Field, Kind, Mode, NetId, PublicKey, Salt, Session, Slot, Soul, Stamp, Value,
    ports::Endorsement,
};
use rustdht_graph::NodeState;
use rustdht_wire::{
    Certificate, Certificates, Operation, Place, Rights, Rules, Signing, SigningKey, check, sign_commit, slot_of,
    verify_batch,
};

const NET: NetId = NetId([1; 32]);
const NOW_MS: u64 = 1_800_000_000_000;
/// Authors who write in turn; one key of many commits is cheaper to verify than many keys.
const AUTHORS: usize = 500;
/// Envelopes that are judged together, as a gateway does with what members send.
const TOGETHER: usize = 128;

/// Processor seconds of this process (proc(5)), in steps of 10 ms.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn key(number: usize) -> SigningKey {
    SigningKey::from_seed(blake3::hash(&number.to_be_bytes()).as_bytes())
}

fn community() -> SigningKey {
    key(usize::MAX)
}

fn gateway() -> SigningKey {
    key(usize::MAX - 1)
}

fn certificate(issuer: &SigningKey, audience: PublicKey, rights: Rights, known: &mut Certificates) -> CertificateId {
    let space = Soul::of_key(issuer.public());
    let certificate = Certificate {
        net: NET,
        issuer: issuer.public(),
        audience,
        prefixes: vec![space.clone()],
        space,
        fields: Vec::new(),
        rights,
        not_before: Stamp(0),
        not_after: Stamp(u64::MAX),
        parent: None,
        nonce: [0; 16],
    };
    let signed = certificate.sign(issuer).unwrap();
    let id = signed.id();
    known.insert(id, Arc::new(signed));
    id
}

/// What a run measures.
#[derive(Clone, Copy)]
struct Plan {
    what: &'static str,
    commits: usize,
    operations: usize,
    mode: Mode,
    /// Each author writes another's space, under a certificate.
    delegated: bool,
}

fn operation(soul: &Soul, field: &str, number: usize, author: &PublicKey, writer: &rustdht_core::Writer) -> Operation {
    let kind = Kind::listed(Kind::REGISTER);
    let slot = slot_of(&kind, soul, author, &Session([0; 8]), writer).unwrap_or(Slot::Own);
    let value = Value::from(format!("the text of number {number}, a sentence").as_str());
    Operation {
        soul: soul.clone(),
        field: field.parse().unwrap(),
        kind,
        slot,
        body: Body::Live { value, salt: Some(Salt([number as u8; 16])) },
        kills: Vec::new(),
        over: Vec::new(),
        base: None,
    }
}

fn envelopes(plan: Plan, known: &mut Certificates) -> Vec<bytes::Bytes> {
    let keys: Vec<SigningKey> = (0..AUTHORS).map(key).collect();
    let owner = key(AUTHORS);
    let space = Soul::of_key(owner.public());
    let write = Rights { write: true, ..Rights::default() };
    let leaves: Vec<CertificateId> = if plan.delegated {
        keys.iter().map(|key| certificate(&owner, key.public(), write, known)).collect()
    } else {
        Vec::new()
    };
    let endorse = Rights { endorse: true, ..Rights::default() };
    let (gateway, community) = (gateway(), community());
    let member = certificate(&community, gateway.public(), endorse, known);
    let commit = |number: usize| {
        let key = &keys[number % AUTHORS];
        let mut signing = Signing::new(key, NET, Session([0; 8]));
        if plan.delegated {
            signing = signing.under(&leaves[number % AUTHORS..=number % AUTHORS], known).unwrap();
        }
        if plan.mode == Mode::Members {
            signing = signing.endorsed_by(&gateway, &member, &community.public(), known).unwrap();
        }
        let stamp = Stamp::from_ms(NOW_MS - 1_000_000 + number as u64);
        let soul: Soul = if plan.delegated {
            format!("{space}/node/{}", number / 4).parse().unwrap()
        } else {
            format!("people/{:06}", number / 4).parse().unwrap()
        };
        let field: Field = "f".parse().unwrap();
        let writer = signing.standing(&soul, &field, stamp).unwrap().writer;
        let author = key.public();
        let operations = (0..plan.operations).map(|at| {
            operation(&soul, &format!("field{}", number % 4 * plan.operations + at), number, &author, &writer)
        });
        let built = sign_commit(&signing, 0, None, stamp, operations.collect()).unwrap();
        // Members send certificates only to those who lack them.
        let extras = rustdht_wire::Extras { certificates: &[], endorsements: &built.endorsements };
        rustdht_wire::with_extras(&built.envelope, &extras).unwrap().into()
    };
    (0..plan.commits).map(commit).collect()
}

fn run(plan: Plan) {
    let mut known = Certificates::new();
    let envelopes = envelopes(plan, &mut known);
    let rules =
        Rules { net: NET, now_ms: NOW_MS, mode: plan.mode, community: community().public(), certificates: &known };
    let mut nodes: HashMap<Soul, NodeState> = HashMap::new();
    let mut endorsements: Vec<Endorsement> = Vec::new();
    let (mut taken, mut checking, mut verifying, mut joining) = (0_usize, 0.0, 0.0, 0.0);
    let bytes: usize = envelopes.iter().map(bytes::Bytes::len).sum();
    // Many batches between two looks at the clock, whose steps are coarse.
    for lot in envelopes.chunks(TOGETHER * 32) {
        let began = processor_seconds();
        let checked: Vec<Vec<_>> = lot
            .chunks(TOGETHER)
            .map(|part| part.iter().map(|envelope| check(envelope, Place::Replica, &rules).unwrap()).collect())
            .collect();
        let after_check = processor_seconds();
        let verified: Vec<_> = checked.into_iter().flat_map(verify_batch).map(Result::unwrap).collect();
        let after_verify = processor_seconds();
        for commit in verified {
            endorsements.extend(commit.endorsements.iter().map(|by| Endorsement {
                commit: commit.commit.id,
                certificate: by.certificate,
                signature: by.signature,
                record: rustdht_core::EndorsementId::of(&commit.commit.id, &by.certificate).record_id(&[7; 32]),
            }));
            for (_, entry) in commit.entries {
                let entry = entry.unwrap();
                let soul = entry.soul.clone();
                let node = nodes.entry(soul.clone()).or_insert_with(|| NodeState::new(soul));
                node.join(Arc::new(entry));
                taken += 1;
            }
        }
        checking += after_check - began;
        verifying += after_verify - after_check;
        joining += processor_seconds() - after_verify;
    }
    assert_eq!(taken, plan.commits * plan.operations);
    let expected = if plan.mode == Mode::Members { plan.commits } else { 0 };
    assert_eq!(endorsements.len(), expected);
    let total = checking + verifying + joining;
    let each = |seconds: f64| seconds / plan.commits as f64 * 1e6;
    println!(
        "{:<44} {:>8.0} commits/s {:>9.0} operations/s {:>6.1} MB/s; a commit takes {:.1} us: check {:.1}, signatures {:.1}, join {:.1}",
        plan.what,
        plan.commits as f64 / total,
        taken as f64 / total,
        bytes as f64 / total / 1e6,
        each(total),
        each(checking),
        each(verifying),
        each(joining),
    );
}

fn main() {
    let commits: usize = std::env::args().nth(1).map_or(60_000, |text| text.parse().unwrap());
    let plan = |what, operations, mode, delegated| Plan {
        what,
        commits: commits * 4 / (3 + operations),
        operations,
        mode,
        delegated,
    };
    for plan in [
        plan("open, one operation", 1, Mode::Open, false),
        plan("open, 64 operations", 64, Mode::Open, false),
        plan("members, one operation, one endorsement", 1, Mode::Members, false),
        plan("members, 64 operations, one endorsement", 64, Mode::Members, false),
        plan("open, one operation under a certificate", 1, Mode::Open, true),
        plan("open, 64 operations under a certificate", 64, Mode::Open, true),
    ] {
        run(plan);
    }
}
