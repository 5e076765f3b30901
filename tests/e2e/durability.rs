//! An acknowledged write survives the end of the process, whichever way it ends.

use std::sync::Arc;

use reqwest::Method;
use serde_json::json;
use tokio::sync::Mutex;

use crate::gateway::{Gateway, signal};

const WRITERS: usize = 64;

/// Lets 64 writers write until the gateway ends; returns what was acknowledged.
async fn write_until_the_end(gateway: &Gateway, end: impl FnOnce() + Send + 'static) -> Vec<(String, u64)> {
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (client, url) = (gateway.client.clone(), gateway.url(&format!("/api/v1/nodes/w{writer}")));
        let acknowledged = Arc::clone(&acknowledged);
        tasks.spawn(async move {
            for at in 0_u64.. {
                let field = format!("f{}", at % 50);
                let body = json!({&field: at}).to_string();
                match client
                    .request(Method::PATCH, &url)
                    .header("content-type", "application/json")
                    .body(body)
                    .send()
                    .await
                {
                    Ok(response) if response.status().is_success() => {
                        acknowledged.lock().await.push((format!("w{writer}/{field}"), at));
                    }
                    _ => return,
                }
            }
        });
    }
    while acknowledged.lock().await.len() < 2000 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    end();
    while tasks.join_next().await.is_some() {}
    Arc::try_unwrap(acknowledged).unwrap().into_inner()
}

async fn nothing_is_missing(gateway: &Gateway, acknowledged: &[(String, u64)]) {
    let mut last: std::collections::BTreeMap<&str, u64> = std::collections::BTreeMap::new();
    for (place, value) in acknowledged {
        let held = last.entry(place).or_default();
        *held = (*held).max(*value);
    }
    let mut nodes = std::collections::BTreeMap::new();
    for (place, value) in last {
        let (soul, field) = place.split_once('/').unwrap();
        if !nodes.contains_key(soul) {
            nodes.insert(soul, gateway.data(soul).await);
        }
        // One more write of the field may have become durable without an answer.
        let shown = nodes[soul][field].as_u64().unwrap_or_default();
        assert!(nodes[soul].get(field).is_some() && shown >= value, "{place}: acknowledged {value}, shows {shown}");
    }
}

#[tokio::test]
async fn kill_9_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::start(folder.path(), &[]);
    let pid = gateway.child.id();
    let acknowledged = write_until_the_end(&gateway, move || signal("KILL", pid)).await;
    gateway.kill();
    let gateway = Gateway::start(folder.path(), &[]);
    nothing_is_missing(&gateway, &acknowledged).await;
}

#[tokio::test]
async fn sigterm_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(folder.path(), &[]);
    let pid = gateway.child.id();
    let acknowledged = write_until_the_end(&gateway, move || signal("TERM", pid)).await;
    let status = gateway.child.wait().unwrap();
    assert!(status.success(), "{status}");
    let gateway = Gateway::start(folder.path(), &[]);
    nothing_is_missing(&gateway, &acknowledged).await;
}
