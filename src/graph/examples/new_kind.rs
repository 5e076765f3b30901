//! A kind that the crate does not know: an approval, given when every writer who spoke said yes.

use std::{error::Error, io::Write as _, sync::Arc};

use rustdht_core::{Body, CommitId, Entry, EntryId, PublicKey, Refusal, Salt, Session, Soul, Stamp, Value};
use rustdht_graph::{Content, Draft, Kinds, Lattice, NodeState, Pen, Planner, Shown, Wanted, render, write};

struct Approval;

impl Lattice for Approval {
    fn name(&self) -> &'static str {
        "approval"
    }

    fn accepts(&self, value: &Value) -> bool {
        matches!(value, Value::Bool(_))
    }

    fn view(&self, votes: &[&Arc<Entry>]) -> Option<Shown> {
        let unanimous = votes.iter().all(|vote| vote.body.value() == Some(&Value::Bool(true)));
        Some(Shown::Wrapped(Value::Bool(unanimous).into()))
    }

    /// A writer has one vote, in a slot of its own: the later one counts.
    fn wish(&self, planner: &Planner<'_>, wish: &Content) -> Result<Vec<Draft>, Refusal> {
        let slot = planner.pen().named_slot(&planner.rules(), b"");
        let draft = planner.draft(&self.name().parse()?).in_slot(slot);
        Ok(vec![draft.with_value(wish.as_value()?.clone())])
    }
}

fn vote(node: &NodeState, author: u8, stamp: u64, vote: bool) -> Result<Arc<Entry>, Box<dyn Error>> {
    let pen = Pen::new(PublicKey([author; 32]), Session([0; 8]), None);
    let wanted = Wanted::Wrapped { kind: "approval".parse()?, content: Value::Bool(vote).into() };
    let mut drafts = write(node, &pen, &"release".parse()?, &wanted, false)?;
    let Draft { soul, field, kind, slot, value, kills, over, base, .. } = drafts.remove(0);
    let body = value.map_or(Body::None, |value| Body::Live { value, salt: Some(Salt([0; 16])) });
    // A gateway signs the draft as part of a commit; its id would be the hash of that.
    let commit = CommitId([author + 10 * u8::from(vote); 32]);
    let (id, author, leaf, writer, stamp) = (EntryId::of(&commit, 0), pen.author, pen.leaf, pen.writer(), Stamp(stamp));
    let entry =
        Entry { id, commit, index: 0, soul, field, kind, slot, stamp, author, leaf, writer, body, kills, over, base };
    Ok(Arc::new(entry))
}

fn main() -> Result<(), Box<dyn Error>> {
    let empty = NodeState::with_kinds("v2".parse::<Soul>()?, Arc::new(Kinds::builtin().with(Arc::new(Approval))));
    let votes = [vote(&empty, 1, 1, true)?, vote(&empty, 2, 2, false)?, vote(&empty, 2, 3, true)?];
    let (mut one, mut other) = (empty.clone(), empty);
    votes.iter().for_each(|vote| drop(one.join(Arc::clone(vote))));
    votes.iter().rev().for_each(|vote| drop(other.join(Arc::clone(vote))));
    for node in [one, other] {
        let mut line = String::new();
        render::write_export_line(&mut line, &node);
        std::io::stdout().write_all(line.as_bytes())?;
    }
    Ok(())
}
