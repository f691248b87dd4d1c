//! A worker: executes the calls of the tool `run_query`, which the service cannot.

use interlock_client::{Client, Error, Worker};
use serde_json::json;
use tokio::sync::mpsc;

#[derive(serde::Deserialize)]
struct Query {
    sql: String,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let target = std::env::var("INTERLOCK_TARGET").unwrap_or("localhost:50051".to_owned());
    let client = Client::new(target)?;
    let calls = std::env::var("CALLS").ok().and_then(|calls| calls.parse().ok());
    let (ended, endings) = mpsc::unbounded_channel();

    Worker::new(&client)
        .tool("run_query", async |call| {
            let query: Query = call.args()?;
            println!("Running: {}", query.sql);
            Ok(json!([["Tokyo", 780.0]]))
        })
        .on_end(move |_, _| {
            let _ = ended.send(());
        })
        .run_until(enough(calls, endings))
        .await
}

/// Waits until so many calls have ended, or until somebody interrupts.
async fn enough(calls: Option<usize>, mut endings: mpsc::UnboundedReceiver<()>) {
    let mut ended = 0;
    while calls.is_none_or(|calls| ended < calls) {
        tokio::select! {
            _ = endings.recv() => ended += 1,
            _ = tokio::signal::ctrl_c() => return,
        }
    }
}
