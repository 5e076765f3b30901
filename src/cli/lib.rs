//! Commands, configuration, telemetry, lifecycle, and the composition root: the only crate that reads files,
//! environment and arguments, that owns a clock, and that names every other crate.
//!
//! ```text
//!   arguments ──> serve   config ──> serve::app ──> store, blobs, node, net, gateway (supervised)
//!             ├─> demo    three of those in one process
//!             └─> the other commands ──> client ──HTTP──> a running gateway
//! ```
//!
//! Deliberately absent: rules of the graph, of the network, of HTTP. A command that needs one asks the gateway.

mod args;
mod client;
mod commands;
mod config;
mod exit;
mod output;
#[cfg(test)]
mod reference;
mod serve;

use std::process::ExitCode;

use clap::FromArgMatches as _;
use tokio::runtime::Runtime;

use crate::{
    args::{Cli, Command},
    exit::Exit,
};

/// The system's allocator takes 12 % of the processor time of a write, most of it joining freed pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match args::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout with 0; a usage error to stderr with 2.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    install_tls();
    let output = cli.global.output();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if exit::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output.say(format!("rustdht: {error:#}"));
            exit::of(&error).into()
        }
    }
}

/// TLS needs one provider of cryptography for the process. Installing it twice, as tests do, changes nothing.
fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli { global, command } = cli;
    let global = &global;
    match command {
        Command::Serve(arguments) => many_threads(commands::serve::run(arguments)),
        Command::Demo(arguments) => many_threads(commands::demo::run(global, arguments)),
        Command::Invite(_) => one_thread(commands::invite::run(global)),
        Command::Status(_) => one_thread(commands::status::run(global)),
        Command::Put(arguments) => one_thread(commands::put::run(global, *arguments)),
        Command::Get(arguments) => one_thread(commands::get::run(global, arguments)),
        Command::Rm(arguments) => one_thread(commands::rm::run(global, arguments)),
        Command::Link(arguments) => one_thread(commands::link::run(global, arguments)),
        Command::Watch(arguments) => one_thread(commands::watch::run(global, arguments)),
        Command::Import(arguments) => one_thread(commands::import::run(global, arguments)),
        Command::Export(arguments) => one_thread(commands::export::run(global, arguments)),
        Command::Add(arguments) => one_thread(commands::add::run(global, arguments)),
        Command::Cat(arguments) => one_thread(commands::cat::run(global, arguments)),
        Command::Pin(arguments) => one_thread(commands::pin::run(global, arguments)),
        Command::Name(arguments) => one_thread(commands::name::run(global, arguments)),
        Command::Key(arguments) => one_thread(commands::key::run(global, arguments)),
        Command::Share(arguments) => one_thread(commands::share::run(global, arguments)),
        Command::Unshare(arguments) => one_thread(commands::share::unshare(global, arguments)),
        Command::User(arguments) => one_thread(commands::user::run(global, arguments)),
        Command::Token(arguments) => one_thread(commands::token::run(global, arguments)),
        Command::Certificate(arguments) => one_thread(commands::certificate::run(global, arguments)),
        Command::Schema(arguments) => one_thread(commands::schema::run(global, arguments)),
        Command::Blob(arguments) => one_thread(commands::blob::run(global, arguments)),
        Command::Graph(arguments) => one_thread(commands::graph::run(global, arguments)),
        Command::Id(_) => one_thread(commands::id::run(global)),
        Command::Peers(arguments) => one_thread(commands::peers::run(global, arguments)),
        Command::Health(_) => one_thread(commands::health::run(global)),
        Command::Config(arguments) => commands::config::run(global, arguments),
        Command::Openapi(_) => commands::openapi::run(global),
        Command::Completions(arguments) => commands::completions::run(global.output(), &arguments),
        Command::Version(_) => commands::version::run(global.output()),
    }
}

/// For commands that talk to a gateway.
fn one_thread(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    finish(tokio::runtime::Builder::new_current_thread().enable_all().build()?, command)
}

/// For commands that are a gateway.
fn many_threads(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    finish(tokio::runtime::Builder::new_multi_thread().enable_all().build()?, command)
}

/// Whatever still blocks a thread (a read of stdin, a scan of packs) must not hold up the end of the process.
fn finish(runtime: Runtime, command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let ended = runtime.block_on(command);
    runtime.shutdown_background();
    ended
}
