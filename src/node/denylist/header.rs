//! The header of a denylist: the few lines of YAML that lists have. What is more than `key: value`, one level deep, is
//! passed over: no field that is known needs it.

use super::rules::DenyRulesError;

/// The version of the format that is understood.
const VERSION: &str = "1";

/// What a header says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) name: Option<String>,
    /// Hint `gateway_status` of the whole list.
    pub(super) gateway_status: Option<String>,
}

fn unquoted(value: &str) -> &str {
    let value = value.trim();
    let within = |quote: char| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

impl Header {
    /// # Errors
    /// [`DenyRulesError::Version`], [`DenyRulesError::Header`].
    pub(super) fn parse<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Result<Self, DenyRulesError> {
        let mut header = Self::default();
        let mut in_hints = false;
        for line in lines {
            let line = std::str::from_utf8(line).map_err(|_| DenyRulesError::Header)?;
            let nested = line.starts_with([' ', '\t']);
            let Some((key, value)) = line.split_once(':').filter(|_| !line.trim_start().starts_with('#')) else {
                continue;
            };
            let (key, value) = (unquoted(key), unquoted(value));
            match (nested, key) {
                (false, "version") if !value.is_empty() && value != VERSION => {
                    return Err(DenyRulesError::Version(value.to_owned()));
                }
                (false, "name") => header.name = Some(value.to_owned()).filter(|name| !name.is_empty()),
                (true, "gateway_status") if in_hints => header.gateway_status = Some(value.to_owned()),
                _ => {}
            }
            if !nested {
                in_hints = key == "hints";
            }
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Header, DenyRulesError> {
        Header::parse(text.lines().map(str::as_bytes))
    }

    #[test]
    fn known_fields_are_read_and_others_passed_over() {
        let text = "version: 1\nname: \"A list\"\nauthor: a:b\nhints:\n  gateway_status: 451\n  other: x\ncustom:\n  gateway_status: 410\n";
        let header = parse(text).unwrap();
        assert_eq!((header.name.as_deref(), header.gateway_status.as_deref()), (Some("A list"), Some("451")));
        assert_eq!(parse("").unwrap(), Header::default());
        assert_eq!(parse("# name: x\n- y\n").unwrap(), Header::default());
    }

    #[test]
    fn another_version_is_refused() {
        assert!(matches!(parse("version: 2"), Err(DenyRulesError::Version(version)) if version == "2"));
        assert!(parse("version:").is_ok() && parse("nested:\n  version: 2").is_ok());
    }
}
