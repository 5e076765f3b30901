//! The paragraphs of a control file (deb822(5)): `Name: value` lines, continued by lines that begin with a space or a
//! tab, separated by empty lines.

use crate::lines::{Error, Lines};

/// Most fields of a stanza; a text of another kind is an error and not a full memory.
const MAX_FIELDS: usize = 256;

/// A paragraph.
#[derive(Debug, Default)]
pub(crate) struct Stanza {
    fields: Vec<(String, String)>,
}

impl Stanza {
    /// The value of a field; field names do not depend on case. A continuation is a line of its own.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn take(&mut self, line: &str) -> Result<(), String> {
        if line.starts_with([' ', '\t']) {
            let (_, value) = self.fields.last_mut().ok_or("a continuation without a field in front")?;
            value.push('\n');
            // An empty line of a value is written as a lone dot.
            value.push_str(if line.trim_ascii() == "." { "" } else { line.trim_ascii() });
            return Ok(());
        }
        let (name, value) = line.split_once(':').ok_or("a field should be 'Name: value'")?;
        if self.get(name).is_some() {
            return Err(format!("'{name}' stands twice"));
        }
        if self.fields.len() == MAX_FIELDS {
            return Err(format!("more than {MAX_FIELDS} fields"));
        }
        self.fields.push((name.to_owned(), value.trim_ascii().to_owned()));
        Ok(())
    }
}

/// The paragraphs of a text.
pub(crate) struct Stanzas {
    lines: Lines,
}

impl Stanzas {
    /// The paragraphs of `lines`.
    pub(crate) fn new(lines: Lines) -> Self {
        Self { lines }
    }

    /// The next paragraph; `None` at the end of the text.
    ///
    /// # Errors
    /// When a line is not a field.
    pub(crate) fn next_stanza(&mut self) -> Result<Option<Stanza>, Error> {
        let mut stanza = Stanza::default();
        while let Some(line) = self.lines.next_line()? {
            if !line.trim_ascii().is_empty() {
                stanza.take(line).map_err(|what| self.lines.error(what))?;
            } else if !stanza.fields.is_empty() {
                return Ok(Some(stanza));
            }
        }
        Ok((!stanza.fields.is_empty()).then_some(stanza))
    }

    /// An error that names the line read last.
    pub(crate) fn error(&self, what: String) -> Error {
        self.lines.error(what)
    }
}
