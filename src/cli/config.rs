//! Configuration: defaults in code, TOML files, `RUSTDHT__SECTION__KEY` variables, flags; later layers win.
//!
//! One table, [`sections`], declares every key once: the struct that serve reads, the keys that are known, and the
//! commented example file all come from it.

mod env;
mod example;
mod layers;
mod secret;
pub(crate) mod sections;
mod unknown;

pub(crate) use example::{example, to_json, to_toml};
pub(crate) use layers::{Loaded, Sources, load};
pub(crate) use secret::{read_access_key, read_owner_token, read_password, read_token};
pub(crate) use sections::{Anonymous, Blobs, Config, Dht, LogFormat, Mode, Provide, Registration, Serve};

/// The file inside the data folder that forms the lowest layer above the defaults.
pub(crate) const DATA_DIR_FILE: &str = "rustdht.toml";
