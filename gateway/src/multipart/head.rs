//! What stands before the content of a part, and the parameters that name boundaries and files.

/// The head of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// `filename` as it was sent. Absent for a field that is no file.
    pub(crate) file_name: Option<String>,
    /// `Content-Type`.
    pub(crate) content_type: Option<String>,
}

impl Head {
    /// Reads the lines from the boundary's own end on.
    pub(super) fn parse(head: &[u8]) -> Result<Self, String> {
        let head = std::str::from_utf8(head).map_err(|_| "the head of a part is not UTF-8")?;
        let mut lines = head.split("\r\n");
        if !lines.next().unwrap_or("").trim().is_empty() {
            return Err("a boundary goes on after its end".into());
        }
        let mut read = Self::default();
        let mut disposed = false;
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or("a line in the head of a part without a colon")?;
            match name.trim().to_ascii_lowercase().as_str() {
                "content-disposition" => {
                    disposed = true;
                    read.file_name = parameter(value, "filename");
                }
                "content-type" => read.content_type = Some(value.trim().to_owned()),
                _ => {}
            }
        }
        if disposed { Ok(read) } else { Err("a part without Content-Disposition".into()) }
    }
}

/// The boundary that the type of a form names (RFC 2046 section 5.1.1: 1 to 70 characters).
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    parameter(content_type, "boundary").filter(|boundary| (1..=70).contains(&boundary.len()))
}

/// A parameter of a header's value. In quotes a backslash stands before a quote or another one; browsers and curl write
/// `%22` for a quote instead, which is left to the reader of names.
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim_start_matches([' ', '\t', ';']).trim_end();
        let (text, next) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(text);
        }
        rest = next;
    }
}

/// The text up to the closing quote, and what is behind it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((text, &quoted[at + 1..])),
            '\\' => match characters.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                Some((_, escaped)) => text.push(escaped),
                None => text.push('\\'),
            },
            other => text.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_with_and_without_quotes() {
        for (value, wanted, expected) in [
            (r#"form-data; name="a"; filename="b c;d.txt""#, "filename", Some("b c;d.txt")),
            (r#"form-data; filename="a\"b\\c\d""#, "filename", Some(r#"a"b\c\d"#)),
            (r#"form-data;FileName = plain ; x=y"#, "filename", Some("plain")),
            (r#"form-data; name="filename=x""#, "filename", None),
            (r#"form-data; filename="open"#, "filename", None),
            ("form-data", "filename", None),
            (r#"form-data; filename="""#, "filename", Some("")),
            ("multipart/form-data; boundary=----WebKit7MA4", "boundary", Some("----WebKit7MA4")),
            (r#"multipart/form-data; charset=utf-8; boundary="a b""#, "boundary", Some("a b")),
        ] {
            assert_eq!(parameter(value, wanted).as_deref(), expected, "{value}");
        }
        assert_eq!(boundary("multipart/form-data"), None);
        assert_eq!(boundary("multipart/form-data; boundary="), None);
        assert_eq!(boundary(&format!("multipart/form-data; boundary={}", "x".repeat(71))), None);
    }

    #[test]
    fn heads() {
        let head = Head::parse(
            b"  \r\nContent-Disposition: form-data; name=f; filename=\"a/\xc3\xbc\"\r\ncontent-TYPE: text/x-a\r\n",
        )
        .unwrap();
        assert_eq!(head, Head { file_name: Some("a/\u{fc}".into()), content_type: Some("text/x-a".into()) });
        for (head, why) in [
            (&b"x\r\nContent-Disposition: form-data\r\n"[..], "goes on"),
            (b"\r\nContent-Type: a/b\r\n", "without Content-Disposition"),
            (b"\r\nodd\r\n", "without a colon"),
            (b"\r\nContent-Disposition: form-data; filename=\"\xff\"\r\n", "not UTF-8"),
        ] {
            assert!(Head::parse(head).unwrap_err().contains(why), "{why}");
        }
    }
}
