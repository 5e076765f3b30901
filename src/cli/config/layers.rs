//! Joining the layers, and telling where a value came from.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Provider as _,
    providers::{Format as _, Serialized, Toml},
    value::Dict,
};
use serde_json::{Value as Json, json};

use super::{
    DATA_DIR_FILE,
    env::{EnvLayer, variable},
    sections::Config,
    unknown,
};
use crate::exit::{Exit, coded};

/// What the command line and the environment contribute.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// `--config`, in order.
    pub files: Vec<PathBuf>,
    /// All variables of the process.
    pub vars: Vec<(String, String)>,
    /// `(section.key, value)` of flags that were given.
    pub flags: Vec<(&'static str, Json)>,
}

impl Sources {
    /// With the variables of this process. Those that are not UTF-8 are none of ours.
    pub(crate) fn new(files: Vec<PathBuf>, flags: Vec<(&'static str, Json)>) -> Self {
        let vars =
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
        Self { files, vars, flags }
    }
}

/// The configuration with the provenance of its values.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The configuration.
    pub config: Config,
    figment: Figment,
}

impl Loaded {
    /// The layer from which `key` (as `section.key`) came.
    pub(crate) fn origin(&self, key: &str) -> Option<String> {
        let meta = self.figment.find_metadata(key)?;
        Some(match meta.name.as_ref() {
            "environment" => variable(key),
            _ => match &meta.source {
                Some(figment::Source::File(path)) => path.display().to_string(),
                _ => meta.name.to_string(),
            },
        })
    }
}

fn bad(text: impl std::fmt::Display) -> anyhow::Error {
    coded(Exit::BadConfig, format!("bad configuration: {text}"))
}

/// Joins the layers. Every error says which layer and key is to blame and exits with 64.
pub(crate) fn load(sources: &Sources) -> anyhow::Result<Loaded> {
    for file in &sources.files {
        if !file.is_file() {
            return Err(bad(format_args!("{} is not a file that can be read", file.display())));
        }
    }
    let upper = join(sources, None)?;
    // The lowest file lies in the data folder, which the upper layers name.
    let lowest = upper.config.data_dir.join(DATA_DIR_FILE);
    if !lowest.is_file() {
        return Ok(upper);
    }
    join(sources, Some(&lowest))
}

fn join(sources: &Sources, lowest: Option<&Path>) -> anyhow::Result<Loaded> {
    let mut figment = Figment::from(Defaults);
    for path in lowest.into_iter().chain(sources.files.iter().map(PathBuf::as_path)) {
        let file = Toml::file_exact(path);
        let layer = file.data().map_err(|error| bad(format_args!("{}: {}", path.display(), explain(error))))?;
        for dict in layer.values() {
            refuse_unknown(dict, &path.display().to_string(), str::to_owned)?;
            if lowest == Some(path) && dict.contains_key("data_dir") {
                return Err(bad(format_args!(
                    "data_dir cannot stand in {}, which lies in that folder",
                    path.display()
                )));
            }
        }
        figment = figment.merge(file);
    }
    let env = EnvLayer::new(sources.vars.iter().cloned());
    let mut named = Dict::new();
    for key in env.keys() {
        let (section, name) = key.split_once('.').unwrap_or(("", key));
        if section.is_empty() {
            named.insert(name.to_owned(), 0.into());
        } else {
            named.insert(section.to_owned(), Dict::from([(name.to_owned(), 0.into())]).into());
        }
        refuse_unknown(&named, "the environment", variable)?;
        named.clear();
    }
    figment = figment.merge(env).merge(Flags(sources.flags.clone()));
    let config = figment.extract().map_err(|error| bad(explain(error)))?;
    Ok(Loaded { config, figment })
}

/// Refuses the first unknown key; `spell` writes a key as that layer does.
fn refuse_unknown(layer: &Dict, source: &str, spell: fn(&str) -> String) -> anyhow::Result<()> {
    let Some(key) = unknown::first_unknown(layer) else { return Ok(()) };
    let mut text = format!("unknown key {} in {source}", spell(&key));
    if let Some(near) = unknown::suggestion(&key) {
        let _ = write!(text, "; did you mean {}?", spell(&near));
    }
    Err(bad(text))
}

/// All faults, one a line, each with its key and its layer.
fn explain(error: figment::Error) -> String {
    let mut lines = Vec::new();
    for one in error {
        let path = one.path.join(".");
        let from = match one.metadata.as_ref() {
            Some(meta) if meta.name == "environment" => format!(" in {}", variable(&path)),
            Some(meta) => match &meta.source {
                Some(figment::Source::File(file)) => format!(" in {}", file.display()),
                _ => format!(" from {}", meta.name),
            },
            None => String::new(),
        };
        let key = if path.is_empty() { String::new() } else { format!("{path}{from}: ") };
        lines.push(format!("{key}{}", one.kind));
    }
    lines.join("\n  ")
}

struct Defaults;

impl figment::Provider for Defaults {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named("default")
    }

    fn data(&self) -> Result<figment::value::Map<figment::Profile, Dict>, figment::Error> {
        Serialized::defaults(Config::default()).data()
    }
}

struct Flags(Vec<(&'static str, Json)>);

impl figment::Provider for Flags {
    fn metadata(&self) -> figment::Metadata {
        figment::Metadata::named("flag")
    }

    fn data(&self) -> Result<figment::value::Map<figment::Profile, Dict>, figment::Error> {
        let mut root = json!({});
        for (key, value) in &self.0 {
            match key.split_once('.') {
                Some((section, name)) => root[section][name] = value.clone(),
                None => root[*key] = value.clone(),
            }
        }
        Serialized::defaults(root).data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn refusal(sources: &Sources) -> String {
        let error = load(sources).unwrap_err();
        assert_eq!(crate::exit::of(&error), Exit::BadConfig);
        error.to_string()
    }

    #[test]
    fn nothing_given_is_the_default() {
        let loaded = load(&Sources::default()).unwrap();
        assert_eq!(loaded.config, Config::default());
        assert_eq!(loaded.origin("net.port").unwrap(), "default");
    }

    #[test]
    fn later_layers_win_and_say_so() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        std::fs::create_dir(&data_dir).unwrap();
        let lowest = data_dir.join(DATA_DIR_FILE);
        std::fs::write(&lowest, "[net]\nport = 1\nws_port = 2\nmdns = false\nhost = \"127.0.0.1\"\n").unwrap();
        let file = dir.path().join("x.toml");
        std::fs::write(&file, "[net]\nws_port = 3\nhost = \"::1\"\n[gateway]\nlisten = \"127.0.0.1:7\"\n").unwrap();
        let sources = Sources {
            files: vec![file.clone()],
            vars: vars(&[
                ("RUSTDHT__NET__HOST", "::"),
                ("RUSTDHT__NET__DIAL", "/a, /b"),
                ("RUSTDHT__GATEWAY__LISTEN", "127.0.0.1:8"),
                ("RUSTDHT__GATEWAY__PUBLIC_URL", ""),
                ("RUSTDHT_API", "ignored"),
                ("RUSTDHT__DATA_DIR", data_dir.to_str().unwrap()),
            ]),
            flags: vec![("gateway.listen", json!("127.0.0.1:9"))],
        };
        let loaded = load(&sources).unwrap();
        let net = &loaded.config.net;
        assert_eq!((net.port, net.ws_port, net.mdns, net.host.to_string().as_str()), (1, 3, false, "::"));
        assert_eq!(net.dial, ["/a", "/b"]);
        assert_eq!(loaded.config.gateway.listen.port(), 9);
        assert_eq!(loaded.config.gateway.public_url, None);
        let origin = |key| loaded.origin(key).unwrap();
        assert_eq!(origin("net.port"), lowest.display().to_string());
        assert_eq!(origin("net.ws_port"), file.display().to_string());
        assert_eq!(origin("net.host"), "RUSTDHT__NET__HOST");
        assert_eq!(origin("net.dial"), "RUSTDHT__NET__DIAL");
        assert_eq!(origin("gateway.listen"), "flag");
        assert_eq!(origin("store.cache_mib"), "default");
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.toml");
        std::fs::write(&file, "[gateway]\nlistn = \"x\"\n").unwrap();
        let text = refusal(&Sources { files: vec![file.clone()], ..Sources::default() });
        assert!(text.contains("gateway.listn") && text.contains("did you mean gateway.listen?"), "{text}");
        assert!(text.contains("x.toml"), "{text}");
        let text = refusal(&Sources { vars: vars(&[("RUSTDHT__NET__PROT", "1")]), ..Sources::default() });
        assert!(text.contains("RUSTDHT__NET__PROT") && text.contains("did you mean RUSTDHT__NET__PORT?"), "{text}");
        let text = refusal(&Sources { vars: vars(&[("RUSTDHT__DATADIR", "1")]), ..Sources::default() });
        assert!(text.contains("did you mean RUSTDHT__DATA_DIR?"), "{text}");
        std::fs::write(&file, "[bridge]\nx = 1\n").unwrap();
        assert!(refusal(&Sources { files: vec![file], ..Sources::default() }).contains("bridge.x"));
    }

    #[test]
    fn values_of_a_wrong_type_name_key_and_layer() {
        let text = refusal(&Sources { vars: vars(&[("RUSTDHT__NET__PORT", "70000")]), ..Sources::default() });
        assert!(text.contains("net.port in RUSTDHT__NET__PORT"), "{text}");
        let text = refusal(&Sources { vars: vars(&[("RUSTDHT__NET__MDNS", "perhaps")]), ..Sources::default() });
        assert!(text.contains("net.mdns"), "{text}");
        let text = refusal(&Sources { vars: vars(&[("RUSTDHT__GATEWAY__ANONYMOUS", "write")]), ..Sources::default() });
        assert!(text.contains("gateway.anonymous"), "{text}");
    }

    #[test]
    fn broken_missing_and_misplaced_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.toml");
        assert!(refusal(&Sources { files: vec![file.clone()], ..Sources::default() }).contains("x.toml"));
        std::fs::write(&file, "[net\n").unwrap();
        assert!(refusal(&Sources { files: vec![file], ..Sources::default() }).contains("x.toml"));
        std::fs::write(dir.path().join(DATA_DIR_FILE), "data_dir = \"elsewhere\"\n").unwrap();
        let flags = vec![("data_dir", json!(dir.path().to_str().unwrap()))];
        assert!(refusal(&Sources { flags, ..Sources::default() }).contains("data_dir cannot stand"));
    }
}
