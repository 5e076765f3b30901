//! What writers do.

use rustdht_core::{Entry, EntryId, Field, Kind, Slot, Stamp, Value};

use super::{Profile, Random, World};
use crate::{Action, Content, Draft, FieldRef, Wanted};

fn number(random: &mut Random) -> Value {
    let near = [
        Value::Int(9_007_199_254_740_993),
        Value::Float(9_007_199_254_740_992.0),
        Value::Int(5),
        Value::Float(5.0),
        Value::Float(-0.5),
        Value::Int(-1),
        Value::Int(0),
        Value::Float(-0.0),
        Value::Int(i64::MAX),
        Value::Float(1e19),
    ];
    random.pick(&near).clone()
}

fn element(random: &mut Random) -> Value {
    let all = [
        Value::Int(5),
        Value::Float(5.0),
        Value::from("a"),
        Value::from("\u{ffff}"),
        Value::from("\u{10000}"),
        Value::Bool(false),
        Value::Bool(true),
        Value::Link("x".parse().unwrap()),
    ];
    random.pick(&all).clone()
}

impl World {
    fn raw(&mut self, at: usize, kind: &str, slot: Option<&[u8]>, value: Value) -> Draft {
        let replica = &self.replicas[at];
        let rules = replica.node.rules();
        let kind: Kind = kind.parse().unwrap();
        let named = slot.map(|name| match rules.writer_slots {
            true => replica.pen.named_slot(&rules, name),
            false => Slot::Explicit(name.into()),
        });
        let slot = named.or_else(|| replica.pen.slot_of(&kind, &rules)).unwrap_or(Slot::Own);
        Draft {
            soul: replica.node.soul().clone(),
            field: self.fields[0].clone(),
            kind,
            slot,
            value: Some(value),
            kills: Vec::new(),
            over: Vec::new(),
            base: None,
            after: Stamp::default(),
        }
    }

    /// Kills of a few entries of an unknown kind, as its own planner would make them.
    fn observed(&mut self, at: usize, kind: &str) -> Vec<EntryId> {
        let field = self.replicas[at].node.field(&self.fields[0]);
        let mut ids: Vec<EntryId> = field
            .into_iter()
            .flat_map(FieldRef::counted)
            .filter(|entry| &*entry.kind == kind && entry.slot.is_own())
            .map(|entry| entry.id)
            .collect();
        ids.retain(|_| self.random.one_in(2));
        ids.sort_unstable();
        ids
    }

    pub(super) fn write(&mut self, profile: Profile) {
        let at = usize::try_from(self.random.below(self.replicas.len() as u64)).unwrap();
        let field = self.random.pick(&self.fields.clone()).clone();
        let action = match profile {
            Profile::Register => {
                if self.random.one_in(6) {
                    Action::Set(Wanted::Value(Value::Null))
                } else {
                    Action::Set(Wanted::Value(element(&mut self.random)))
                }
            }
            Profile::Null => match self.random.below(6) {
                0..3 => Action::Set(Wanted::Value(element(&mut self.random))),
                3 => Action::Add(element(&mut self.random)),
                _ => Action::Delete { erase: false },
            },
            Profile::Kill => match self.random.below(8) {
                0..2 => Action::Set(Wanted::Value(element(&mut self.random))),
                2..5 => Action::Add(element(&mut self.random)),
                5 => Action::Remove(element(&mut self.random)),
                6 => Action::Delete { erase: false },
                _ => Action::Delete { erase: true },
            },
            Profile::Set => self.set_action(),
            Profile::Counter => match self.random.below(8) {
                0..5 => Action::Increment(i64::try_from(self.random.below(9)).unwrap() - 4),
                5 => Action::Delete { erase: self.random.one_in(4) },
                _ => {
                    let wanted = Value::Int(i64::try_from(self.random.below(20)).unwrap());
                    wish("counter", wanted)
                }
            },
            Profile::Flag => match self.random.below(8) {
                0..3 => Action::Enable,
                3..5 => Action::Disable,
                5 => wish("flag", Value::Bool(true)),
                6 => wish("flag", Value::Bool(false)),
                _ => Action::Delete { erase: self.random.one_in(4) },
            },
            Profile::Max | Profile::Min => match self.random.below(8) {
                0 => Action::Delete { erase: self.random.one_in(4) },
                1 => Action::Set(Wanted::Value(element(&mut self.random))),
                _ => wish(if profile == Profile::Max { "max" } else { "min" }, number(&mut self.random)),
            },
            Profile::Origins if &*field == "origin_time" => {
                Action::Set(Wanted::Value(Value::Int(i64::try_from(self.random.below(3)).unwrap())))
            }
            Profile::Origins => match self.random.below(6) {
                0 => Action::Delete { erase: false },
                1 => self.set_action(),
                _ => Action::Set(Wanted::Value(element(&mut self.random))),
            },
            Profile::Permanent => match self.random.below(6) {
                0 => Action::Set(Wanted::Value(Value::Null)),
                1 => Action::Set(Wanted::Value(element(&mut self.random))),
                2 => return self.attack(at, &field),
                _ => Action::Add(element(&mut self.random)),
            },
            Profile::Text | Profile::List if !self.random.one_in(8) => self.sequence_action(profile),
            Profile::Map if !self.random.one_in(8) => self.map_action(),
            Profile::Text | Profile::List | Profile::Map => match self.random.below(3) {
                0 => Action::Set(Wanted::Value(element(&mut self.random))),
                1 => Action::Delete { erase: self.random.one_in(4) },
                _ => self.whole(profile),
            },
            Profile::OwnUnknown | Profile::SlottedUnknown | Profile::Ciphertext => return self.write_raw(at, profile),
            Profile::Mixed => {
                const ALL: [Profile; 11] = [
                    Profile::Register,
                    Profile::Null,
                    Profile::Kill,
                    Profile::Set,
                    Profile::Counter,
                    Profile::Flag,
                    Profile::Max,
                    Profile::Min,
                    Profile::OwnUnknown,
                    Profile::SlottedUnknown,
                    Profile::Ciphertext,
                ];
                let one = *self.random.pick(&ALL);
                return self.write(one);
            }
        };
        self.act(at, &field, &action);
    }

    fn set_action(&mut self) -> Action {
        match self.random.below(8) {
            0..4 => Action::Add(element(&mut self.random)),
            4..6 => Action::Remove(element(&mut self.random)),
            6 => Action::Delete { erase: self.random.one_in(4) },
            _ => {
                let count = self.random.below(4);
                Action::Set(Wanted::set((0..count).map(|_| element(&mut self.random)).collect::<Vec<_>>()))
            }
        }
    }

    /// A whole text, list or map.
    fn whole(&mut self, profile: Profile) -> Action {
        let length = usize::try_from(self.random.below(4)).unwrap();
        let items = (0..length).map(|_| Content::from(Value::Int(i64::try_from(self.random.below(9)).unwrap())));
        let (kind, content) = match profile {
            Profile::Text => (Kind::TEXT, Content::Value(Value::from("abcd".get(..length).unwrap()))),
            Profile::List => (Kind::LIST, Content::List(items.collect())),
            _ => (Kind::MAP, Content::Map(items.enumerate().map(|(key, item)| (key.to_string(), item)).collect())),
        };
        Action::Set(Wanted::Wrapped { kind: Kind::listed(kind), content })
    }

    fn sequence_action(&mut self, profile: Profile) -> Action {
        let is_text = profile == Profile::Text;
        let kind = Kind::listed(if is_text { Kind::TEXT } else { Kind::LIST });
        let index = self.random.below(4);
        let value = match (is_text, self.random.below(3)) {
            (true, 0) => Value::from("\u{1f600}"),
            (true, _) => Value::from("xyz"),
            (false, number) => Value::Int(i64::try_from(number).unwrap()),
        };
        if self.random.one_in(3) {
            let value = if is_text { value.into() } else { Content::List(vec![value.into()]) };
            let value = self.random.one_in(2).then_some(value);
            return Action::Splice { kind, index, delete: 1, value };
        }
        Action::Insert { kind, index, value: value.into() }
    }

    fn map_action(&mut self) -> Action {
        let (kind, key) = (Kind::listed(Kind::MAP), self.random.pick(&["a", "b"]).to_string());
        if self.random.one_in(3) {
            return Action::RemoveKey { kind, key };
        }
        Action::SetKey { kind, key, value: Value::Int(i64::try_from(self.random.below(5)).unwrap()).into() }
    }

    fn write_raw(&mut self, at: usize, profile: Profile) {
        if self.random.one_in(8) {
            let (field, erase) = (self.fields[0].clone(), self.random.one_in(3));
            self.act(at, &field, &Action::Delete { erase });
            return;
        }
        let value = element(&mut self.random);
        let draft = match profile {
            Profile::OwnUnknown => {
                let kills = self.observed(at, "hologram");
                let value = (kills.is_empty() || self.random.one_in(2)).then_some(value);
                Draft { kills, value, ..self.raw(at, "hologram", None, Value::Null) }
            }
            Profile::SlottedUnknown => {
                let name = [u8::try_from(self.random.below(2)).unwrap()];
                self.raw(at, "tensor", Some(&name), value)
            }
            _ => {
                let kind = *self.random.pick(&["register", "set", "counter", "flag", "max", "hologram"]);
                let clear = matches!(kind, "counter" | "max") && self.random.one_in(2);
                let byte = u8::try_from(self.random.below(3)).unwrap();
                let value = if clear { Value::Int(1) } else { Value::Enc(vec![byte].into()) };
                self.raw(at, kind, None, value)
            }
        };
        self.sign(at, vec![draft]);
    }

    /// Kills, cut-offs and erases of a permanent field, as somebody with the key could sign them.
    fn attack(&mut self, at: usize, field: &Field) {
        let kills: Vec<EntryId> = {
            let entries = self.replicas[at].node.field(field);
            let mut ids: Vec<_> = entries.into_iter().flat_map(FieldRef::entries).map(|entry| entry.id).collect();
            ids.sort_unstable();
            ids.truncate(4);
            ids
        };
        let kill = Draft { field: field.clone(), kills, ..self.raw(at, "kill", None, Value::from(Entry::ERASE)) };
        let null = Draft { field: field.clone(), ..self.raw(at, "null", None, Value::Null) };
        let register = Draft { field: field.clone(), ..self.raw(at, "register", None, Value::Int(0)) };
        let drafts = match self.random.below(4) {
            0 => vec![kill],
            1 => vec![null],
            2 => vec![register],
            _ => vec![kill, null],
        };
        self.sign(at, drafts);
    }
}

pub(super) fn wish(kind: &'static str, value: Value) -> Action {
    Action::Set(Wanted::Wrapped { kind: Kind::listed(kind), content: Content::Value(value) })
}
