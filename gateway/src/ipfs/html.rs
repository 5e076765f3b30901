//! What the pages that this gateway makes have in common. They load nothing, run nothing and show only escaped text.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode};

/// Our style, no scripts, no forms, an origin of their own.
pub(super) const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; sandbox allow-top-navigation allow-popups",
);

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}\
a{color:#06c;text-decoration:none}a:hover{text-decoration:underline}\
table{border-collapse:collapse;width:100%}td{border-top:1px solid #8884;padding:.3rem .6rem;vertical-align:top;overflow-wrap:anywhere}\
td:last-child{text-align:right;white-space:nowrap}code,.ipfs-hash{font:.85em ui-monospace,monospace}\
ul.value{list-style:none;margin:0;padding-left:1.2rem}\
@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#6af}}";

/// Text as it can stand in an element or a quoted attribute.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

/// The beginning of a page.
pub(super) fn head(title: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        escape(title)
    )
}

/// Its end.
pub(super) const FOOT: &str = "</body>\n</html>\n";

/// The page of an error.
pub(super) fn error(status: StatusCode, code: &str, detail: &str) -> String {
    let title = status.canonical_reason().unwrap_or(code);
    let mut page = head(&format!("{} {title}", status.as_u16()));
    page.push_str(&format!(
        "<h1>{} {}</h1>\n<p>{}</p>\n<p><code>{}</code></p>\n{FOOT}",
        status.as_u16(),
        escape(title),
        escape(detail),
        escape(code)
    ));
    page
}

/// Bytes for people: powers of 1,000, as file managers count.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    // Integers only: tenths of the unit.
    let mut tenths = bytes / 100;
    for unit in UNITS {
        if tenths < 10_000 {
            return if tenths < 100 {
                format!("{}.{} {unit}", tenths / 10, tenths % 10)
            } else {
                format!("{} {unit}", tenths / 10)
            };
        }
        tenths /= 1000;
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (9_999, "9.9 kB"),
            (10_000, "10 kB"),
            (999_999, "999 kB"),
            (1_000_000, "1.0 MB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn an_error_shows_text_only() {
        let page = error(StatusCode::NOT_FOUND, "not_found", "no link named \"<script>\"");
        assert!(page.contains("no link named &#34;&lt;script&gt;&#34;") && page.ends_with(FOOT), "{page}");
        assert!(page.contains("<h1>404 Not Found</h1>"));
    }

    proptest! {
        #[test]
        fn escaped_text_opens_and_ends_nothing(text in any::<String>()) {
            prop_assert!(!escape(&text).contains(['<', '>', '"', '\'']));
        }
    }
}
