//! `rustdht blob`

use anyhow::Context as _;
use reqwest::Method;
use serde_json::Value;

use crate::{
    args::Global,
    output::{bytes, count},
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A collection runs by itself every hour (`blobs.gc_minutes`) and on a disk that is nearly full; that of \
every hour spares what somebody used since the one before.

Examples:
  rustdht blob stat
  rustdht blob gc --dry-run"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show what the block store holds and takes
    Stat,
    /// Remove the blocks that neither a pin nor a lease nor a node keeps
    Gc {
        /// Only show what would go
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<()> {
    let (client, output) = (global.client()?, global.output());
    match arguments.command {
        Command::Stat => {
            let store = client.get_json("/api/v1/admin/blobs").await?;
            output.line(if output.json { store.to_string() } else { table(&store) })
        }
        Command::Gc { dry_run } => {
            // As long as it takes.
            let request = client.stream(Method::POST, &format!("/api/v1/admin/blobs/gc?dry_run={dry_run}"));
            let text = client.text(request).await?;
            let done: Value = serde_json::from_str(&text).context("the gateway's answer is no collection")?;
            output.line(if output.json { done.to_string() } else { sentence(&done) })
        }
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn table(store: &Value) -> String {
    let mut lines = vec![
        format!("blocks     {}, {}", count(number(&store["blocks"])), bytes(number(&store["bytes"]))),
        format!("packs      {}, {}", count(number(&store["packs"])), bytes(number(&store["pack_bytes"]))),
    ];
    let state = match (store["collecting"] == true, store["last"].is_object()) {
        (true, _) => "running".to_owned(),
        (false, true) => sentence(&store["last"]),
        (false, false) => "none since the start".to_owned(),
    };
    lines.push(format!("collection {state}"));
    lines.join("\n")
}

fn sentence(done: &Value) -> String {
    let (removed, freed) = (number(&done["removed_blocks"]), number(&done["freed_bytes"]));
    let removed = format!("{} blocks, {}", count(removed), bytes(number(&done["removed_bytes"])));
    let kept = format!("{} blocks of {} roots", count(number(&done["kept_blocks"])), count(number(&done["roots"])));
    if done["dry_run"] == true {
        return format!("would remove {removed}; would keep {kept}");
    }
    format!("removed {removed}; kept {kept}; packs of {} are gone", bytes(freed))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn in_words() {
        let done = json!({
            "dry_run": false, "roots": 2, "kept_blocks": 1200, "removed_blocks": 3, "removed_bytes": 2048, "freed_bytes": 0,
        });
        assert_eq!(sentence(&done), "removed 3 blocks, 2.0 KiB; kept 1,200 blocks of 2 roots; packs of 0 B are gone");
        let store = json!({ "blocks": 1, "bytes": 5, "packs": 1, "pack_bytes": 512, "collecting": false });
        assert!(table(&store).ends_with("none since the start"), "{}", table(&store));
        let store = json!({ "collecting": true, "last": done });
        assert!(table(&store).ends_with("running"));
        let mut dry = done;
        dry["dry_run"] = true.into();
        assert!(sentence(&dry).starts_with("would remove 3 blocks"));
    }
}
