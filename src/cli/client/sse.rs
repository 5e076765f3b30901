//! Server-Sent Events (WHATWG HTML, "Server-sent events") from a stream of bytes.

/// Greatest event taken: a node of the gateway is far below.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its type; empty means `message`.
    pub name: String,
    /// The number to resume from.
    pub id: Option<String>,
    /// Its data lines, joined; empty when a block only told an id.
    pub data: String,
}

/// Collects bytes into events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    event: Event,
    bytes: usize,
    has_data: bool,
}

impl Events {
    /// Takes bytes in pieces of any size; gives the events that they complete.
    ///
    /// # Errors
    /// When an event grows beyond 16 MiB.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> anyhow::Result<Vec<Event>> {
        let mut done = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.bytes += piece.len();
            anyhow::ensure!(self.bytes <= MAX_EVENT_BYTES, "the gateway sent an event beyond {MAX_EVENT_BYTES} bytes");
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                done.extend(self.line(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r'])));
            }
        }
        Ok(done)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            self.bytes = 0;
            let event = std::mem::take(&mut self.event);
            // By the specification a block without data is no event, yet its id counts: the gateway's first block is one.
            return (std::mem::take(&mut self.has_data) || event.id.is_some()).then_some(event);
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event.name),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            // A line that begins with a colon is a comment that keeps the connection alive.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": hi\nid: 6\n\nevent: change\nid: 7\ndata: {\"soul\":\"ä\"}\n\nretry: 3\ndata:a\r\ndata: b\r\n\r\nevent: lost\n\n";

    fn read(piece: usize) -> Vec<Event> {
        let mut events = Events::default();
        STREAM.as_bytes().chunks(piece).flat_map(|bytes| events.feed(bytes).unwrap()).collect()
    }

    #[test]
    fn any_split_gives_the_same_events() {
        let whole = read(STREAM.len());
        assert_eq!(
            whole,
            [
                Event { id: Some("6".into()), ..Event::default() },
                Event { name: "change".into(), id: Some("7".into()), data: "{\"soul\":\"ä\"}".into() },
                Event { name: String::new(), id: None, data: "a\nb".into() },
            ]
        );
        for piece in 1..STREAM.len() {
            assert_eq!(read(piece), whole);
        }
    }

    #[test]
    fn a_flood_ends() {
        let mut events = Events::default();
        let chunk = vec![b'x'; 1 << 20];
        assert!((0..17).any(|_| events.feed(&chunk).is_err()));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_events(
            text in "(event|id|data|:|[ -~äö]|\r|\n){0,200}",
            piece in 1usize..40,
        ) {
            let read = |piece: usize| -> Vec<Event> {
                let mut events = Events::default();
                text.as_bytes().chunks(piece).flat_map(|bytes| events.feed(bytes).unwrap()).collect()
            };
            proptest::prop_assert_eq!(read(piece), read(usize::MAX));
        }

        #[test]
        fn bytes_that_are_no_text_do_not_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            Events::default().feed(&bytes).unwrap();
        }
    }
}
