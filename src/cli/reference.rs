//! docs/cli.md, from the command tree.

use std::fmt::Write as _;

use clap::Command;

fn markdown() -> String {
    let mut out = String::from("# Command line\n\nGenerated from the code; a test compares this file with it.\n");
    let mut root = crate::args::command().term_width(100);
    root.build();
    section(&mut out, &mut root, "rustdht", true);
    out
}

fn section(out: &mut String, command: &mut Command, path: &str, root: bool) {
    // The options of every command stand once, at the top.
    let mut shown = command.clone();
    if !root {
        shown = shown.mut_args(|argument| if argument.is_global_set() { argument.hide(true) } else { argument });
    }
    let help = shown.term_width(100).render_long_help().to_string();
    let help = help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    let _ = write!(out, "\n## `{path}`\n\n```text\n{}\n```\n", help.trim());
    for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
        let path = format!("{path} {}", sub.get_name());
        section(out, sub, &path, false);
    }
}

#[test]
fn the_committed_reference_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    let text = markdown();
    if std::env::var_os("RUSTDHT_UPDATE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), text, "run with RUSTDHT_UPDATE=1 and commit");
}
