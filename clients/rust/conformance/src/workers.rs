//! Workers, and what became of the calls that they took.

use std::sync::Arc;

use interlock_client::{CallOutcome, Client, Error, HandlerError, ToolCall, Worker};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::request::Request;
use crate::views;

/// A worker that runs in the background.
pub struct RunningWorker {
    calls: Calls,
    finish: watch::Sender<Value>,
    stop: watch::Sender<bool>,
    running: JoinHandle<Result<(), Error>>,
}

impl RunningWorker {
    /// Starts a worker as a request says.
    pub fn start(client: &Client, request: &Request<'_>) -> Self {
        let (calls, finish) = (Calls::default(), watch::Sender::new(Value::Null));
        let mut worker = Worker::new(client);
        for (name, what) in request.table("tools") {
            worker = with_tool(worker, name, what.clone(), calls.clone(), finish.clone());
        }
        if let Some(concurrency) = request.number("concurrency") {
            worker = worker.concurrency(concurrency.try_into().unwrap_or_default());
        }
        if let Some(lease) = request.seconds("lease") {
            worker = worker.lease(lease);
        }
        let ended = calls.clone();
        worker = worker.on_end(move |call, outcome| ended.end(call, outcome));
        let stop = watch::Sender::new(false);
        let mut stopped = stop.subscribe();
        let running = tokio::spawn(worker.run_until(async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        }));
        Self { calls, finish, stop, running }
    }

    /// Waits until so many calls have an outcome, or the time is over.
    pub async fn seen(&self, request: &Request<'_>) -> Result<Value, Error> {
        let count = request.number("count").and_then(|count| count.try_into().ok()).unwrap_or(1);
        let seen = self.calls.seen(request.text("outcome"), count);
        match request.seconds("timeout") {
            // Whether they have is for the suite to see.
            Some(limit) => drop(tokio::time::timeout(limit, seen).await),
            None => seen.await,
        }
        self.calls.views()
    }

    /// Lets every handler that waits return a value.
    pub fn finish(&self, request: &Request<'_>) -> Result<(), Error> {
        self.finish.send_replace(request.value("value")?);
        Ok(())
    }

    /// Ends it in good order.
    pub async fn stop(self) -> Result<Value, Error> {
        self.stop.send_replace(true);
        self.running.await.expect("a worker does not panic")?;
        self.calls.views()
    }
}

fn with_tool(
    worker: Worker,
    name: &str,
    what: Value,
    calls: Calls,
    finish: watch::Sender<Value>,
) -> Worker {
    worker.tool(name, move |call| {
        let mut finished = finish.subscribe();
        calls.begin(&call);
        let what = what.clone();
        async move {
            let what = Request::of(&what);
            match what.required("do")? {
                "return" => Ok(what.value("value")?),
                "echo" => Ok(call.args()?),
                "fail" => Err(HandlerError::from(what.required("message")?)),
                "crash" => panic!("told to crash"),
                "wait" => {
                    finished.changed().await?;
                    Ok(finished.borrow().clone())
                }
                other => Err(format!("nothing is called {other:?}").into()),
            }
        }
    })
}

/// The calls that a worker has taken, with their outcomes.
#[derive(Clone, Default)]
struct Calls(Arc<watch::Sender<Vec<Taken>>>);

#[derive(Clone)]
struct Taken {
    call: ToolCall,
    outcome: &'static str,
}

impl Calls {
    fn begin(&self, call: &ToolCall) {
        let taken = Taken { call: call.clone(), outcome: "running" };
        self.0.send_modify(|calls| calls.push(taken));
    }

    fn end(&self, call: &ToolCall, outcome: CallOutcome) {
        let outcome = match outcome {
            CallOutcome::Reported => "reported",
            CallOutcome::Failed => "failed",
            CallOutcome::Lost => "lost",
            CallOutcome::Released => "released",
            _ => "unknown",
        };
        let is_it = |taken: &&mut Taken| {
            taken.call.requirement_id() == call.requirement_id()
                && taken.call.epoch() == call.epoch()
        };
        self.0.send_modify(|calls| {
            if let Some(taken) = calls.iter_mut().find(is_it) {
                taken.outcome = outcome;
            }
        });
    }

    async fn seen(&self, outcome: Option<&str>, count: usize) {
        let has = |taken: &&Taken| outcome.is_none_or(|outcome| taken.outcome == outcome);
        let is_seen = |calls: &Vec<Taken>| calls.iter().filter(has).count() >= count;
        let _ = self.0.subscribe().wait_for(is_seen).await;
    }

    fn views(&self) -> Result<Value, Error> {
        let calls = views::all(self.0.borrow().iter(), |taken| {
            Ok(json!({
                "requirement_id": taken.call.requirement_id(),
                "tool_name": taken.call.tool_name(),
                "args": views::text(taken.call.args_json())?,
                "epoch": taken.call.epoch(),
                "outcome": taken.outcome,
            }))
        })?;
        Ok(json!({ "calls": calls }))
    }
}
