//! One file per command.

pub(crate) mod add;
pub(crate) mod cat;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod health;
pub(crate) mod id;
pub(crate) mod import;
pub(crate) mod invite;
pub(crate) mod link;
pub(crate) mod openapi;
pub(crate) mod peers;
pub(crate) mod put;
pub(crate) mod rm;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod version;
pub(crate) mod watch;
mod written;
