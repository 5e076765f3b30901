//! The layer of `RUSTDHT__SECTION__KEY` variables.

use figment::{
    Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};
use serde_json::Value as Json;

use super::sections::Config;

/// Variables of the configuration begin so. Two underscores, so that `RUSTDHT_API` is none of them.
pub(crate) const PREFIX: &str = "RUSTDHT__";

/// The variables that form the layer, as (`section.key`, text). An empty variable counts as unset, since compose files
/// pass those for what their user left out.
#[derive(Clone, Debug, Default)]
pub(super) struct EnvLayer(Vec<(String, String)>);

impl EnvLayer {
    pub(super) fn new(vars: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(
            vars.into_iter()
                .filter(|(_, text)| !text.is_empty())
                .filter_map(|(name, text)| Some((name.strip_prefix(PREFIX)?.to_lowercase().replace("__", "."), text)))
                .collect(),
        )
    }

    /// The keys set here.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }
}

/// The variable of a key.
pub(crate) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

/// Reads `text` as the type that the key's default has, so that a folder named `7` stays text. What does not read
/// stays text and is refused with the key's name when the layers are joined.
fn typed(default: &Json, text: &str) -> Value {
    match default {
        Json::Bool(_) => text.parse::<bool>().map_or_else(|_| text.into(), Into::into),
        Json::Number(_) => text.parse::<u64>().map_or_else(|_| text.into(), Into::into),
        Json::Array(_) => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect::<Vec<_>>().into()
        }
        _ => text.into(),
    }
}

impl Provider for EnvLayer {
    fn metadata(&self) -> Metadata {
        Metadata::named("environment").interpolater(|_, path| variable(&path.join(".")))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let defaults = serde_json::to_value(Config::default()).unwrap_or(Json::Null);
        let mut dict = Dict::new();
        for (key, text) in &self.0 {
            match key.split_once('.') {
                Some((section, name)) => {
                    let value = typed(&defaults[section][name], text);
                    if let Value::Dict(_, inner) = dict.entry(section.to_owned()).or_insert_with(|| Dict::new().into())
                    {
                        inner.insert(name.to_owned(), value);
                    }
                }
                None => {
                    dict.insert(key.clone(), typed(&defaults[key.as_str()], text));
                }
            }
        }
        Ok(Profile::Default.collect(dict))
    }
}
