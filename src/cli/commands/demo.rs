//! `rustdht demo`

mod calls;
mod trio;

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use self::{
    calls::{Fate, names},
    trio::Gateway,
};
use crate::{
    args::Global,
    config::Config,
    output::{Output, bytes, paint, stdout_has_colours},
    serve::telemetry,
};

const SAMPLE: &str = include_str!("demo/sample.ndjson");
const ADA: &str = "people/ada";
const FILE_BYTES: usize = 3 << 20;
const BIO: &str = "programmer";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Everything happens in this process and in a temporary folder that is removed in the end. The exit code is 0
only if all three gateways hold the same graph, byte for byte."
)]
pub(crate) struct Arguments {}

pub(crate) async fn run(global: &Global, _: Arguments) -> anyhow::Result<()> {
    let mut config = Config::default();
    "error".clone_into(&mut config.log.level);
    telemetry::install_logs(&config)?;
    let folder = tempfile::Builder::new().prefix("rustdht-demo-").tempdir()?;
    let stage = Stage { output: global.output(), colours: stdout_has_colours() };
    stage.line(&format!("Three gateways in this process, their data in {}", folder.path().display()))?;
    let mut gateways = trio::start(folder.path()).await?;
    let told = tell(&stage, &mut gateways).await;
    trio::stop(gateways).await;
    let summary = told?;
    if stage.output.json { stage.output.line(summary.to_string()) } else { Ok(()) }
}

/// Prints for people; keeps quiet with `--json`.
struct Stage {
    output: Output,
    colours: bool,
}

impl Stage {
    fn line(&self, text: &str) -> anyhow::Result<()> {
        if self.output.json { Ok(()) } else { self.output.line(text) }
    }

    fn title(&self, text: &str) -> anyhow::Result<()> {
        self.line(&format!("\n{}", paint(self.colours, "1", text)))
    }

    fn did(&self, who: char, what: &str, fate: &Fate) -> anyhow::Result<()> {
        let code = if fate.status == 200 { "32" } else { "33" };
        self.line(&format!("  {who}  {what:<46} {}", paint(self.colours, code, &fate.text())))
    }
}

async fn tell(stage: &Stage, gateways: &mut [Gateway; 3]) -> anyhow::Result<Value> {
    let connect = meet(stage, gateways).await?;
    fill(stage, gateways).await?;
    let before = calls::data(&gateways[0].client, ADA).await?;
    split(stage, gateways).await?;
    let heal = heal(stage, gateways).await?;
    let exports = compare(stage, gateways).await?;
    let after = calls::data(&gateways[0].client, ADA).await?;
    merged(stage, &before, &after)?;
    Ok(json!({
        "connected_ms": millis(connect), "healed_ms": millis(heal), "export_blake3": digest(&exports),
        "nodes": exports.lines().count(), "merged": after,
    }))
}

/// Three gateways find each other.
async fn meet(stage: &Stage, gateways: &[Gateway; 3]) -> anyhow::Result<Duration> {
    stage.title("1  One network")?;
    for (gateway, how) in gateways.iter().zip(["founded it", "joined by A's invite", "joined by A's invite"]) {
        stage.line(&format!("  {}  {:<26} {how}", gateway.name, gateway.app.facts().api()))?;
    }
    let took = trio::connected(gateways, 3).await?;
    stage.line(&format!("  all connected after {}", seconds(took)))?;
    let certified = trio::certified(gateways).await?;
    stage.line(&format!("  B and C certified as members by A, {} later", seconds(certified)))?;
    Ok(took)
}

/// A graph and a file go in at A and are everywhere.
async fn fill(stage: &Stage, gateways: &[Gateway; 3]) -> anyhow::Result<()> {
    let [a, b, c] = gateways;
    stage.title("2  One graph")?;
    let (nodes, fields) = calls::import(&a.client, SAMPLE).await?;
    let took = same(gateways).await?;
    stage
        .line(&format!("  A  imported {nodes} nodes with {fields} fields; B and C had them after {}", seconds(took)))?;
    // Bytes that do not compress or repeat, from a counter.
    let file: Vec<u8> = (0u32..).flat_map(|n| *blake3::hash(&n.to_be_bytes()).as_bytes()).take(FILE_BYTES).collect();
    let cid = calls::add(&a.client, file.clone()).await?;
    stage.line(&format!("  A  added a file of {}: {cid}", bytes(FILE_BYTES as u64)))?;
    ensure!(calls::cat(&c.client, &cid).await? == file, "C reads other bytes than A added");
    stage.line("  C  read it over the network, block by block checked against its CID: the same bytes")?;
    let start = json!({ "visits": { "@counter": "5" }, "bio": { "@text": BIO } });
    calls::patch(&a.client, ADA, start).await?;
    same(gateways).await?;
    stage.line("  A  counted 5 visits of people/ada and began a text about her")?;
    let path = "/api/v1/nodes/people%2Fada/path/knows/name";
    let mut found: Vec<String> = Vec::new();
    for value in b.client.get_json(path).await?["values"].as_array().into_iter().flatten() {
        found.push(value.as_str().unwrap_or("?").to_owned());
    }
    found.sort_unstable();
    ensure!(found == ["Charles Babbage", "Mary Somerville"], "the path leads to {found:?}");
    stage.line(&format!("  B  followed people/ada -> knows -> name: {}", found.join(", ")))
}

/// C is cut off; both sides go on writing, the same fields among them.
async fn split(stage: &Stage, gateways: &mut [Gateway; 3]) -> anyhow::Result<()> {
    stage.title("3  The cable of C is pulled, everybody goes on writing")?;
    gateways[2].app.cut().await?;
    trio::connected(&gateways[..2], 2).await?;
    let [a, b, c] = &*gateways;
    let fate = calls::patch(&a.client, ADA, json!({ "city": "London" })).await?;
    stage.did('A', "people/ada  city = London", &fate)?;
    ensure!(fate.status == 200, "A and B are a majority, and yet a write was not acknowledged");
    let fate = calls::patch(&c.client, ADA, json!({ "city": "Turin" })).await?;
    stage.did('C', "people/ada  city = Turin", &fate)?;
    ensure!(fate.status == 202, "C is alone, and yet a write was acknowledged");
    let fate = calls::set(&a.client, "remove", ADA, "knows", "people/charles").await?;
    stage.did('A', "people/ada  knows: charles removed", &fate)?;
    let fate = calls::set(&c.client, "add", ADA, "knows", "people/charles").await?;
    stage.did('C', "people/ada  knows: charles added again", &fate)?;
    let fate = calls::set(&b.client, "add", ADA, "knows", "people/john").await?;
    stage.did('B', "people/ada  knows: john added", &fate)?;
    let fate = calls::patch(&b.client, ADA, json!({ "subject": null })).await?;
    stage.did('B', "people/ada  subject deleted", &fate)?;
    let fate = calls::op(&a.client, json!({ "op": "increment", "field": "visits", "value": 2 })).await?;
    stage.did('A', "people/ada  visits + 2", &fate)?;
    let fate = calls::op(&c.client, json!({ "op": "increment", "field": "visits", "value": 3 })).await?;
    stage.did('C', "people/ada  visits + 3", &fate)?;
    let fate = calls::op(&a.client, insert(0, "The first ")).await?;
    stage.did('A', "people/ada  bio: \"The first \" at the start", &fate)?;
    let fate = calls::op(&c.client, insert(BIO.len(), " of the engine")).await?;
    stage.did('C', "people/ada  bio: \" of the engine\" at the end", &fate)?;
    let fate = calls::patch(&c.client, "people/edith", json!({ "name": "Edith Clarke", "born": 1883 })).await?;
    stage.did('C', "people/edith, a new node", &fate)?;
    for gateway in gateways.iter() {
        let export = calls::export(&gateway.client).await?;
        stage.line(&format!("  {}  export {}", gateway.name, digest(&export)))?;
    }
    Ok(())
}

/// An edit of the text.
fn insert(at: usize, text: &str) -> Value {
    json!({ "op": "insert", "field": "bio", "kind": "text", "index": at, "value": text })
}

/// The cable is back.
async fn heal(stage: &Stage, gateways: &mut [Gateway; 3]) -> anyhow::Result<Duration> {
    stage.title("4  The cable is back")?;
    gateways[2].app.heal().await?;
    let took = same(gateways).await?;
    stage.line(&format!("  all three equal after {}", seconds(took)))?;
    Ok(took)
}

/// Waits until the three exports are equal.
async fn same(gateways: &[Gateway; 3]) -> anyhow::Result<Duration> {
    trio::wait("the gateways to become equal", async || {
        let first = calls::export(&gateways[0].client).await?;
        for gateway in &gateways[1..] {
            if calls::export(&gateway.client).await? != first {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
}

/// The three exports once more, side by side.
async fn compare(stage: &Stage, gateways: &[Gateway; 3]) -> anyhow::Result<String> {
    let mut exports = Vec::new();
    for gateway in gateways {
        let export = calls::export(&gateway.client).await?;
        stage.line(&format!("  {}  export {}", gateway.name, digest(&export)))?;
        exports.push(export);
    }
    ensure!(exports.iter().all(|export| *export == exports[0]), "the exports differ");
    Ok(exports.swap_remove(0))
}

/// What became of people/ada.
fn merged(stage: &Stage, before: &Value, after: &Value) -> anyhow::Result<()> {
    stage.title("5  What merged in people/ada")?;
    let text = |value: &Value| if value.is_null() { "-".to_owned() } else { value.to_string().replace('"', "") };
    // A wrapped value without its wrapping.
    let inner = |value: &Value| text(value.as_object().and_then(|wrapped| wrapped.values().next()).unwrap_or(value));
    let rows = [
        ("city", text(&before["city"]), text(&after["city"]), "one field, two values: the later stamp wins everywhere"),
        ("knows", names(&before["knows"]), names(&after["knows"]), "removed and added at once: the addition stays"),
        ("subject", text(&before["subject"]), text(&after["subject"]), "deleted on one side only"),
        ("visits", inner(&before["visits"]), inner(&after["visits"]), "counted on both sides: the sum"),
        ("bio", inner(&before["bio"]), inner(&after["bio"]), "edited on both sides: both edits"),
        ("born", text(&before["born"]), text(&after["born"]), "touched by nobody"),
    ];
    stage.line(&format!("  {:<8} {:<16} {}", "", "before", "now, on A, B and C"))?;
    for (field, old, new, why) in &rows {
        stage.line(&format!("  {field:<8} {old:<16} {new:<34} {}", paint(stage.colours, "2", why)))?;
    }
    ensure!(names(&after["knows"]) == "{charles, john, mary}", "the set merged to {}", after["knows"]);
    ensure!(after["subject"].is_null() && after["born"] == 1815, "fields that did not conflict merged to {after}");
    ensure!(after["visits"]["@counter"] == "10", "the counter merged to {}", after["visits"]);
    let bio = "The first programmer of the engine";
    ensure!(after["bio"]["@text"] == bio, "the text merged to {}", after["bio"]);
    ensure!(["London", "Turin"].map(Value::from).contains(&after["city"]), "the field merged to {}", after["city"]);
    Ok(())
}

fn digest(export: &str) -> String {
    blake3::hash(export.as_bytes()).to_hex()[..16].to_owned()
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
