//! The command line.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::{
    client::{Client, DEFAULT_API},
    commands::{
        add, blob, cat, certificate, completions, config, demo, export, get, graph, health, id, import, invite, key,
        link, name, openapi, peers, pin, put, rm, schema, serve, share, status, token, user, version, watch,
    },
    output::Output,
};

/// A gateway node: a mutable graph that merges, with IPFS blobs, read and written over HTTP.
#[derive(Debug, Parser)]
#[command(name = "rustdht", version, disable_help_subcommand = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The running gateway that the command talks to [default: http://127.0.0.1:8480]
    #[arg(long, global = true, env = "RUSTDHT_API", hide_env_values = true, value_name = "URL")]
    pub api: Option<String>,
    /// File with a token: the owner's where the gateway asks for one, or that of an account
    #[arg(long, global = true, env = "RUSTDHT_TOKEN_FILE", hide_env_values = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Print JSON, one value a line, for programs
    #[arg(long, global = true)]
    pub json: bool,
}

impl Global {
    /// The URL of `--api`.
    pub(crate) fn api(&self) -> &str {
        self.api.as_deref().unwrap_or(DEFAULT_API)
    }

    /// The client of `--api`.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Client::new(self.api(), self.token_file.as_ref())
    }

    /// How to talk.
    pub(crate) fn output(&self) -> Output {
        Output { json: self.json }
    }
}

/// What to do. The order here is that of the groups in the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a gateway
    Serve(serve::Arguments),
    /// Print an invite with which another gateway joins this network
    Invite(invite::Arguments),
    /// Show how the gateway and its network are
    Status(status::Arguments),
    /// See three gateways split, diverge and merge, in under a minute
    Demo(demo::Arguments),
    /// Write fields of a node
    Put(Box<put::Arguments>),
    /// Read a node, a field, or what a path of links leads to
    Get(get::Arguments),
    /// Delete a node or fields of it
    Rm(rm::Arguments),
    /// Add a link to a set of links, or take it out
    Link(link::Arguments),
    /// Follow changes as they happen
    Watch(watch::Arguments),
    /// Write many nodes from a stream of JSON lines
    Import(import::Arguments),
    /// Print all nodes as JSON lines
    Export(export::Arguments),
    /// Share a node with some and lock it for all others
    Share(share::Arguments),
    /// Take readers of a private node out
    Unshare(share::UnshareArguments),
    /// Add a file and print its CID
    Add(add::Arguments),
    /// Print the bytes of a file
    Cat(cat::Arguments),
    /// Keep what others have, list what is kept, let go of it
    Pin(pin::Arguments),
    /// Let an IPNS name stand for something, see what one stands for
    Name(name::Arguments),
    /// Make, list, bring in and remove the keys of names
    Key(key::Arguments),
    /// Show who this gateway is
    Id(id::Arguments),
    /// List and add peers
    #[command(visible_alias = "peer")]
    Peers(peers::Arguments),
    /// Make and manage accounts
    User(user::Arguments),
    /// Make, list, narrow and revoke tokens
    Token(token::Arguments),
    /// Let others write one's nodes, and revoke that
    Certificate(certificate::Arguments),
    /// Set what nodes of a type have to look like
    Schema(schema::Arguments),
    /// Check and repair the graph
    Graph(graph::Arguments),
    /// Look after the block store
    Blob(blob::Arguments),
    /// Show, check and generate the configuration
    Config(config::Arguments),
    /// Exit 0 if the gateway is ready, 1 if not
    Health(health::Arguments),
    /// Print the OpenAPI document of the HTTP API
    Openapi(openapi::Arguments),
    /// Print completions for a shell
    Completions(completions::Arguments),
    /// Print the version
    Version(version::Arguments),
}

/// The groups of the help, each with its commands.
const GROUPS: &[(&str, &[&str])] = &[
    ("BASICS", &["serve", "invite", "status", "demo"]),
    ("DATA", &["put", "get", "rm", "link", "watch", "import", "export", "share", "unshare"]),
    ("BLOBS", &["add", "cat", "pin", "name", "key"]),
    ("NETWORK", &["id", "peers"]),
    ("ADMIN", &["user", "token", "certificate", "schema", "graph", "blob"]),
    ("TOOLS", &["config", "health", "openapi", "completions", "version"]),
];

/// The command tree with its grouped help.
pub(crate) fn command() -> clap::Command {
    let command = Cli::command();
    let mut groups = String::new();
    for (group, names) in GROUPS {
        groups.push_str(group);
        groups.push('\n');
        for name in *names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            groups.push_str(&format!("  {name:<12} {}\n", about.map(ToString::to_string).unwrap_or_default()));
        }
        groups.push('\n');
    }
    command.help_template(format!(
        "{{about}}\n\nUsage: {{usage}}\n\n{groups}OPTIONS\n{{options}}\n\n\
         `rustdht COMMAND --help` tells more. Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 conflict,\n\
         5 gateway unreachable, 64 bad configuration."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_command_stands_in_one_group_in_the_order_of_the_tree() {
        let tree = command();
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let named: Vec<&str> = tree.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(grouped, named);
    }

    #[test]
    fn help() {
        insta::assert_snapshot!(command().term_width(100).render_help().to_string());
    }
}
