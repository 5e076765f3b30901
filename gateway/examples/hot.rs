use rustdht_gateway::{Config, Readiness, State, router, serve};
use rustdht_node::{Config as NodeConfig, Founding, Node, Ports};
use rustdht_testkit::{ManualClock, MemoryBlobs, MemoryStore, Recorder, SeededEntropy};
use std::sync::Arc;
#[tokio::main]
async fn main() {
    let ports = Ports {
        store: Arc::new(MemoryStore::default()),
        blobs: Arc::new(MemoryBlobs::default()),
        clock: Arc::new(ManualClock::new(1_795_000_000_000)),
        entropy: Arc::new(SeededEntropy::new(1)),
    };
    let (node, tasks) =
        Node::start(ports, NodeConfig::new(Founding::Found { name: "t".into() }, [0; 32])).await.unwrap();
    let mut set = tokio::task::JoinSet::new();
    set.spawn(async move { tasks.run().await.unwrap() });
    node.bind(Arc::new(Recorder::default()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    eprintln!("{}", listener.local_addr().unwrap());
    let stopping = tokio_util::sync::CancellationToken::new();
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder().unwrap();
    let up = recorder.clone();
    set.spawn(async move {
        loop {
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
            up.run_upkeep();
        }
    });
    let state = State::new(node, Config::default(), Readiness::default(), Some(recorder), stopping.clone()).unwrap();
    serve(listener, router(state), stopping).await;
}
