//! Indents JSON without reading its numbers, so that `5.0` stays a float and a large integer keeps its digits.

/// The same JSON with two blanks of indentation. Text that is not JSON comes out readable, not refused.
pub(crate) fn indent(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0usize;
    let mut chars = text.trim().chars().peekable();
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(char) = chars.next() {
        match char {
            '"' => {
                out.push('"');
                while let Some(inner) = chars.next() {
                    out.push(inner);
                    match inner {
                        '\\' => out.extend(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(char);
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    newline(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                newline(&mut out, depth);
                out.push(char);
            }
            ',' => {
                out.push(',');
                newline(&mut out, depth);
            }
            ':' => out.push_str(": "),
            blank if blank.is_ascii_whitespace() => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_changes_and_nothing_else() {
        let text = r#"{"a":5.0,"b":[],"c":{"d":[1,"x,{}\":\\"]},"e":9007199254740993, "f": {} }"#;
        let shown = indent(text);
        assert_eq!(
            shown,
            "{\n  \"a\": 5.0,\n  \"b\": [],\n  \"c\": {\n    \"d\": [\n      1,\n      \"x,{}\\\":\\\\\"\n    ]\n  },\n  \"e\": 9007199254740993,\n  \"f\": {}\n}"
        );
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&shown), read(text));
        assert_eq!(indent(&shown), shown);
    }

    #[test]
    fn broken_json_does_not_panic() {
        for text in ["", "\"", "\"\\", "}}}", "[", "{\"a\""] {
            let _ = indent(text);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken_and_json_keeps_its_value(text in "[ -~äö\\n]{0,100}", deep in 0usize..20) {
            let _ = indent(&text);
            let json = format!("{}{}{}", "[".repeat(deep), serde_json::json!({ &text: [&text, 1, null] }), "]".repeat(deep));
            let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            proptest::prop_assert_eq!(read(&indent(&json)), read(&json));
        }
    }
}
