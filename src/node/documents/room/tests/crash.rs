//! A gateway that is killed at any point loses nothing that it passed on, and signs nothing twice.

use proptest::prelude::*;

use super::*;

/// What survives: rows and entries.
#[derive(Default)]
struct Disk {
    rows: BTreeMap<u64, (Principal, Update)>,
    entries: Vec<Arc<Entry>>,
}

impl Disk {
    fn open(&self) -> Room {
        let mut room = room();
        room.view(view(&self.entries));
        for (number, (by, update)) in &self.rows {
            room.restore_row(*number, *by, Some(update.clone()));
        }
        room
    }

    fn write(&mut self, rows: &[RowOf]) {
        self.rows.extend(rows.iter().map(|row| (row.number, (row.by, row.update.clone()))));
    }

    /// One transaction: entries, and the rows that they came from.
    fn sign(&mut self, signing: &super::super::Signing) {
        for part in &signing.parts {
            let number = u8::try_from(self.entries.len() + 1).unwrap();
            self.entries.push(entry(number, u64::from(number), part));
        }
        signing.rows.iter().for_each(|row| drop(self.rows.remove(row)));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(usize, u32),
    Delete(usize, u32),
    Flush,
    Sign,
    Crash,
    Reconnect(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3_usize, any::<u32>()).prop_map(|(who, at)| Step::Insert(who, at)),
        2 => (0..3_usize, any::<u32>()).prop_map(|(who, at)| Step::Delete(who, at)),
        4 => Just(Step::Flush),
        2 => Just(Step::Sign),
        2 => Just(Step::Crash),
        1 => (0..3_usize).prop_map(Step::Reconnect),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn nothing_acknowledged_is_lost_and_nothing_is_signed_twice(steps in steps()) {
        let mut disk = Disk::default();
        let mut room = disk.open();
        let clients: Vec<Client> = (1..=3).map(Client::new).collect();
        let id = |who: usize| EditorId(who as u64 + 1);
        let by = |who: usize| account(who as u8 + 1);
        let everybody: Vec<(EditorId, &Client)> = clients.iter().enumerate().map(|(who, client)| (id(who), client)).collect();
        // What any client was given or told to be durable: client and clock.
        let mut acknowledged = Ranges::default();
        let mut here: BTreeSet<usize> = BTreeSet::new();
        for (who, client) in clients.iter().enumerate() {
            enter(&mut room, id(who), by(who), client);
            here.insert(who);
        }
        for step in steps.into_iter().chain([Step::Flush, Step::Crash, Step::Flush, Step::Sign]) {
            match step {
                Step::Insert(who, at) => {
                    let len = u32::try_from(clients[who].text().len()).unwrap();
                    let frame = clients[who].insert(at % (len + 1), "x");
                    if here.contains(&who) {
                        prop_assert_eq!(closes(&room.frame(id(who), &frame, NOW)), vec![]);
                    }
                }
                Step::Delete(who, at) => {
                    let len = u32::try_from(clients[who].text().len()).unwrap();
                    if len > 0 {
                        let frame = clients[who].edit(|txn, text| text.remove_range(txn, at % len, 1));
                        if here.contains(&who) {
                            prop_assert_eq!(closes(&room.frame(id(who), &frame, NOW)), vec![]);
                        }
                    }
                }
                Step::Flush => {
                    let rows = room.rows();
                    disk.write(&rows);
                    let effects = room.durable(&rows, NOW);
                    for effect in &effects {
                        if let Effect::Send(_, frame) = effect {
                            acknowledged.extend(&update_in(frame).structs());
                        }
                    }
                    pass(&effects, &everybody);
                }
                Step::Sign => {
                    for signing in room.due(NOW + 100_000) {
                        disk.sign(&signing);
                        room.signed(signing.by, Verdict::Signed, NOW);
                    }
                    let change = room.view(view(&disk.entries));
                    prop_assert_eq!(change, Change::Goes(vec![]));
                }
                Step::Crash => {
                    room = disk.open();
                    here.clear();
                    for (who, client) in clients.iter().enumerate() {
                        enter(&mut room, id(who), by(who), client);
                        here.insert(who);
                    }
                }
                Step::Reconnect(who) => {
                    room.leave(id(who), NOW);
                    enter(&mut room, id(who), by(who), &clients[who]);
                }
            }
            // What was acknowledged is on the disk, as a row or as an entry.
            let mut durable = Ranges::default();
            disk.rows.values().for_each(|(_, update)| durable.extend(&update.structs()));
            disk.entries.iter().filter_map(|entry| crate::documents::replica::update_of(entry)).for_each(|update| durable.extend(&update.structs()));
            let mut lost = acknowledged.clone();
            lost.subtract(&durable);
            prop_assert!(lost.is_empty(), "{:?}", lost);
        }
        prop_assert!(disk.rows.is_empty());
        // Each element is signed once.
        let mut signed = Ranges::default();
        for update in disk.entries.iter().filter_map(|entry| crate::documents::replica::update_of(entry)) {
            prop_assert!(!signed.meets(&update.structs()));
            signed.extend(&update.structs());
        }
        // And everybody reads the same as the view.
        let shown = Client::new(9);
        enter(&mut disk.open(), EditorId(9), account(9), &shown);
        for client in &clients {
            prop_assert_eq!(client.text(), shown.text());
        }
    }
}
