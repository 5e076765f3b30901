//! The media type of a file, from its name or its first bytes.

use std::borrow::Cow;

use crate::limits;

const JSON: &str = "application/json";
/// What nothing is known of.
pub(crate) const UNKNOWN: &str = "application/octet-stream";

/// First bytes that tell a type: offset, bytes, type. Longer tables exist; these are what browsers show or play.
const SIGNATURES: &[(usize, &[u8], &str)] = &[
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftypavif", "image/avif"),
    (8, b"WAVE", "audio/wav"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1a\x45\xdf\xa3", "video/webm"),
    (0, b"OggS", "application/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"\0asm", "application/wasm"),
    (0, b"wOF2", "font/woff2"),
];

const EXTENSIONS: &[(&str, &str)] = &[
    // Without a charset: a page's own `<meta charset>` counts then.
    ("html", "text/html"),
    ("htm", "text/html"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("txt", "text/plain; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("xml", "text/xml; charset=utf-8"),
    // A dictionary of all extensions takes it for a video.
    ("ts", "text/plain; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("ico", "image/x-icon"),
    ("pdf", "application/pdf"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("mp3", "audio/mpeg"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("wav", "audio/wav"),
    ("flac", "audio/flac"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("wasm", "application/wasm"),
    ("woff2", "font/woff2"),
];

/// The type that the extension of a file name tells: what browsers agree on, else the dictionary's.
pub(crate) fn of_name(name: &str) -> Option<Cow<'static, str>> {
    let (_, extension) = name.rsplit_once('.')?;
    if let Some((_, mime)) = EXTENSIONS.iter().find(|(known, _)| extension.eq_ignore_ascii_case(known)) {
        return Some(Cow::Borrowed(mime));
    }
    let mime = mime_guess::from_ext(extension).first_raw()?;
    Some(if mime.starts_with("text/") { format!("{mime}; charset=utf-8").into() } else { mime.into() })
}

/// Whether what a client says of a file's type says anything: this is what curl and forms say when nobody said it.
pub(crate) fn tells(said: &str) -> bool {
    let bare = said.split(';').next().unwrap_or("").trim();
    !matches!(bare, "" | UNKNOWN | "application/x-www-form-urlencoded" | "multipart/form-data")
}

/// The type that the first bytes tell; text when they read as such.
pub(crate) fn sniff(head: &[u8]) -> &'static str {
    for (offset, bytes, mime) in SIGNATURES {
        if head.get(*offset..).is_some_and(|rest| rest.starts_with(bytes)) {
            return mime;
        }
    }
    match text(head) {
        Some(text) if is_json(text, head.len()) => JSON,
        Some(text) => markup(text),
        None => UNKNOWN,
    }
}

/// An object or array, whole or as far as the head goes.
fn is_json(text: &str, head_bytes: usize) -> bool {
    if !text.trim_start().starts_with(['{', '[']) {
        return false;
    }
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => true,
        Err(error) => error.is_eof() && head_bytes >= limits::SNIFF_BYTES,
    }
}

fn text(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The head may end inside a character.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let plain = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\x0c' | '\x1b');
    (!text.is_empty() && text.chars().all(plain)).then_some(text)
}

fn markup(text: &str) -> &'static str {
    let start = text.trim_start_matches('\u{feff}').trim_start();
    let begins = |word: &str| start.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    if begins("<!doctype html") || begins("<html") {
        "text/html"
    } else if begins("<svg") || (begins("<?xml") && start.contains("<svg")) {
        "image/svg+xml"
    } else if begins("<?xml") {
        "text/xml; charset=utf-8"
    } else {
        "text/plain; charset=utf-8"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes() {
        for (head, mime) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], "image/png"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
            (b"\0\0\0\x20ftypisom", "video/mp4"),
            (b"%PDF-1.7", "application/pdf"),
            (b" <!DOCTYPE HTML><p>", "text/html"),
            (b"<?xml version=\"1.0\"?><svg>", "image/svg+xml"),
            (b"<?xml version=\"1.0\"?><a>", "text/xml; charset=utf-8"),
            (b" {\"a\": [1, null]}\n", JSON),
            (b"[]", JSON),
            (b"{\"a\": [1, nul", "text/plain; charset=utf-8"),
            (b"{a}", "text/plain; charset=utf-8"),
            (b"[1] and more", "text/plain; charset=utf-8"),
            (b"17", "text/plain; charset=utf-8"),
            (b"plain words\n", "text/plain; charset=utf-8"),
            (b"cut inside \xc3", "text/plain; charset=utf-8"),
            (b"cut \xc3 inside", UNKNOWN),
            (b"a\0b", UNKNOWN),
            (b"", UNKNOWN),
        ] {
            assert_eq!(sniff(head), mime, "{head:?}");
        }
    }

    #[test]
    fn names() {
        for (name, mime) in [
            ("a.b.CSS", Some("text/css; charset=utf-8")),
            ("index.html", Some("text/html")),
            ("a.epub", Some("application/epub+zip")),
            ("a.rs", Some("text/x-rust; charset=utf-8")),
            ("a.ts", Some("text/plain; charset=utf-8")),
            ("css", None),
            ("a.unheard", None),
        ] {
            assert_eq!(of_name(name).as_deref(), mime, "{name}");
        }
    }

    #[test]
    fn json_that_the_head_cuts_is_json() {
        let long = format!("{{\"a\": \"{}\"}}", "x".repeat(2 * limits::SNIFF_BYTES));
        assert_eq!(sniff(&long.as_bytes()[..limits::SNIFF_BYTES]), JSON);
        assert_eq!(sniff(long.as_bytes()), JSON);
    }
}
