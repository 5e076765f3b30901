//! The rules of a `_redirects` file: `from to [status]`, a line each.

use axum::http::StatusCode;
use percent_encoding::percent_decode_str;

use crate::ipfs::{path, query};

/// In the order of the file.
#[derive(Debug)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    from: Vec<Part>,
    /// `*` at the end, with what stands in front of it in its segment.
    splat: Option<String>,
    to: String,
    status: StatusCode,
}

#[derive(Debug)]
enum Part {
    Literal(String),
    Placeholder(String),
}

/// What a rule makes of a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Matched {
    pub(super) status: StatusCode,
    /// A path or URL, percent-encoded.
    pub(super) to: String,
}

impl Rules {
    /// Reads a file; the error says which line is to blame and why.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            rules.push(Rule::parse(line).map_err(|why| format!("line {}: {why}", at + 1))?);
        }
        Ok(Self(rules))
    }

    /// The first rule for a path, whose segments are decoded.
    pub(super) fn first_match(&self, path: &[String]) -> Option<Matched> {
        self.0.iter().find_map(|rule| rule.apply(path))
    }
}

impl Rule {
    fn parse(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let (Some(from), Some(to)) = (words.next(), words.next()) else {
            return Err("a rule is: from to [status]".to_owned());
        };
        let status = words.next().map_or(Ok(StatusCode::MOVED_PERMANENTLY), status)?;
        if words.next().is_some() {
            return Err("more than from, to and status".to_owned());
        }
        let is_path = to.starts_with('/') && !to.starts_with("//");
        let is_url = ["http://", "https://", "ipfs://", "ipns://"]
            .iter()
            .any(|scheme| to.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)));
        let fits = is_path || (is_url && status.is_redirection());
        if !fits {
            return Err(format!("'{to}' is neither a path nor, for a redirect, a URL"));
        }
        let (from, splat) = pattern(from)?;
        Ok(Self { from, splat, to: to.to_owned(), status })
    }

    fn apply(&self, path: &[String]) -> Option<Matched> {
        let (front, rest) = path.split_at_checked(self.from.len())?;
        let mut captured: Vec<(&str, Vec<String>)> = Vec::new();
        for (part, segment) in self.from.iter().zip(front) {
            match part {
                Part::Literal(literal) if literal == segment => {}
                Part::Literal(_) => return None,
                Part::Placeholder(name) => captured.push((name, vec![segment.clone()])),
            }
        }
        match &self.splat {
            None if !rest.is_empty() => return None,
            None => {}
            Some(prefix) => {
                let mut rest = rest.to_vec();
                // `/a/*` is for what lies below `/a`, as Kubo has it.
                let first = rest.first_mut()?;
                *first = first.strip_prefix(prefix.as_str())?.to_owned();
                captured.push(("splat", rest));
            }
        }
        Some(Matched { status: self.status, to: expand(&self.to, &captured) })
    }
}

fn status(text: &str) -> Result<StatusCode, String> {
    match text {
        "200" | "301" | "302" | "303" | "307" | "308" | "404" | "410" | "451" => {
            text.parse().map_err(|_| format!("'{text}' is no status"))
        }
        _ => Err(format!("status '{text}' is not supported; 200, 301, 302, 303, 307, 308, 404, 410 and 451 are")),
    }
}

/// Segments of `from`, and what stands in front of a `*` at its end.
fn pattern(from: &str) -> Result<(Vec<Part>, Option<String>), String> {
    let Some(rest) = from.strip_prefix('/') else { return Err(format!("'{from}' does not begin with /")) };
    let (rest, has_splat) = rest.strip_suffix('*').map_or((rest, false), |rest| (rest, true));
    if rest.contains('*') {
        return Err(format!("'{from}' has a * that is not at its end"));
    }
    let (rest, splat) = match (has_splat, rest.rsplit_once('/')) {
        (false, _) => (rest, None),
        (true, Some((rest, prefix))) => (rest, Some(decode(prefix))),
        (true, None) => ("", Some(decode(rest))),
    };
    let mut parts = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for segment in rest.split('/').filter(|segment| !segment.is_empty()) {
        match segment.strip_prefix(':') {
            Some(name) if names.contains(&name) => {
                return Err(format!("the placeholder :{name} stands twice in '{from}'"));
            }
            Some(name) if !name.is_empty() => {
                names.push(name);
                parts.push(Part::Placeholder(name.to_owned()));
            }
            _ => parts.push(Part::Literal(decode(segment))),
        }
    }
    Ok((parts, splat))
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Puts what was captured in place of `:name`. In a query a value is one value, elsewhere it is segments of a path.
fn expand(to: &str, captured: &[(&str, Vec<String>)]) -> String {
    let mut out = String::new();
    let mut rest = to;
    while let Some(at) = rest.find(':') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        // `:year-:month` has two of them: a name ends where the longest known one does.
        let after = &after[1..];
        let known = captured.iter().filter(|(name, _)| after.starts_with(name)).max_by_key(|(name, _)| name.len());
        let Some((name, segments)) = known else {
            out.push(':');
            rest = after;
            continue;
        };
        if out.contains('?') {
            out.push_str(&query::encode(&segments.join("/")));
        } else {
            // Empty ones would make `//host` of `/:splat`, which leads away.
            let segments = segments.iter().filter(|segment| !segment.is_empty());
            let segments: Vec<String> = segments.map(|segment| path::encode(segment)).collect();
            out.push_str(&segments.join("/"));
        }
        rest = &after[name.len()..];
    }
    out.push_str(rest);
    query::clean(&out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apply(rules: &str, path: &str) -> Option<(u16, String)> {
        let matched = Rules::parse(rules).unwrap().first_match(&path::segments(path).unwrap())?;
        Some((matched.status.as_u16(), matched.to))
    }

    #[test]
    fn the_specifications_examples() {
        let rules = "/redirect-one /one.html\r\n/301-redirect-one /one.html 301\n/302-redirect-two /two.html 302\n\
                     /200-index /index.html 200\n/posts/:year/:month/:day/:title /articles/:year/:month/:day/:title 301\n\
                     /splat/* /redirected-splat/:splat 301\n/not-found/* /404.html 404\n\n# a comment\n\t /gone/*  /410.html\t410  \n\
                     /unavail/* /451.html 451\n/* /index.html 200";
        for (path, status, to) in [
            ("/redirect-one", 301, "/one.html"),
            ("/302-redirect-two", 302, "/two.html"),
            ("/200-index", 200, "/index.html"),
            ("/posts/2022/01/01/hello-world", 301, "/articles/2022/01/01/hello-world"),
            ("/splat/one/two.html", 301, "/redirected-splat/one/two.html"),
            ("/not-found/x/y", 404, "/404.html"),
            ("/gone/x", 410, "/410.html"),
            ("/unavail/x", 451, "/451.html"),
            ("/catch-all", 200, "/index.html"),
            ("/posts/2022/01/01", 200, "/index.html"),
        ] {
            assert_eq!(apply(rules, path), Some((status, to.to_owned())), "{path}");
        }
    }

    #[test]
    fn captured_text_stays_in_its_place() {
        for (rule, path, to) in [
            ("/a/:x /b/:x/:x", "/a/%2F%3F%23:y", Some("/b/%2F%3F%23:y/%2F%3F%23:y")),
            ("/a/:code/:name /b?code=:code&name=:name", "/a/1/x%26y=%20z", Some("/b?code=1&name=x%26y%3D%20z")),
            ("/a/* https://example.net/t/:splat", "/a/b/c", Some("https://example.net/t/b/c")),
            ("/a/* https://example.net:8080/:splat", "/a/b", Some("https://example.net:8080/b")),
            ("/a/* /:splat", "/a//evil.example/x", Some("/evil.example/x")),
            ("/a/* /:splat", "/a/", None),
            ("/blog* /b/:splat", "/blog-2020/x", Some("/b/-2020/x")),
            ("/blog* /b/:splat", "/blog", Some("/b/")),
            ("/blog* /:splat", "/blog/evil.example", Some("/evil.example")),
            ("/blog* /b/:splat", "/other", None),
            ("/%C4%85 /b", "/ą", Some("/b")),
            ("/ą /ę", "/%C4%85", Some("/%C4%99")),
            ("/a /b", "/a/c", None),
            ("/a/:x /b", "/a", None),
            ("/a /b/:none", "/a", Some("/b/:none")),
            ("/:y/:ye /b/:y-:ye_:", "/1/2", Some("/b/1-2_:")),
        ] {
            assert_eq!(apply(rule, path).map(|(_, to)| to).as_deref(), to, "{rule} {path}");
        }
    }

    #[test]
    fn what_is_no_rule_is_named_with_its_line() {
        for (rule, part) in [
            ("/a", "from to"),
            ("/a /b 301!", "'301!'"),
            ("/a /b 300", "'300'"),
            ("/a /b 200 x", "more than"),
            ("a /b", "begin with /"),
            ("/a b", "neither a path"),
            ("/a //evil.example", "neither a path"),
            ("/a https://example.net/ 200", "neither a path"),
            ("/a javascript:x", "neither a path"),
            ("/*/b /c", "not at its end"),
            ("/:x/:x /c", "stands twice"),
        ] {
            let error = Rules::parse(&format!("# one\n{rule}")).unwrap_err();
            assert!(error.starts_with("line 2: ") && error.contains(part), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_file_is_rules_or_an_error(text in "/[a-z:*%]{0,3} /[ -~ą\\n]{0,60}", path in "(/[ -~&&[^/.]]{1,5}){0,3}") {
            if let (Ok(rules), Ok(path)) = (Rules::parse(&text), path::segments(&path))
                && let Some(matched) = rules.first_match(&path)
            {
                prop_assert!(matched.to.is_ascii() && !matched.to.contains(['\r', '\n', ' ']));
            }
        }
    }
}
