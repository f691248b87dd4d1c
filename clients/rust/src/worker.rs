//! Workers: programs that execute the calls of external tools.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::backoff::{Backoff, new_request_id};
use crate::methods::Unary;
use crate::runs::duration;
use crate::v1::external_result::Outcome as External;
use crate::wire::{SIZE_LIMIT_EXCEEDED, Wire};
use crate::{CallOutcome, Client, Decision, Error, Requirement, ToolCall, json, v1};

/// What a handler may fail with: any error, or a text. The agent reads its message.
pub type HandlerError = Box<dyn StdError + Send + Sync>;

/// Longest wait for a call in one claim, so that no proxy takes it for dead.
const CLAIM_WAIT: Duration = Duration::from_secs(20);

/// How long a worker that stops looks for a claim that nobody waited for any more.
const LAST_LOOK: Duration = Duration::from_secs(5);

type Handler =
    Arc<dyn Fn(ToolCall) -> BoxFuture<'static, Result<String, HandlerError>> + Send + Sync>;
type Observer = Arc<dyn Fn(&ToolCall, CallOutcome) + Send + Sync>;

/// Executes the calls of external tools, wherever their runs are.
///
/// It claims a call, runs the handler of the tool, and reports the result, or the error, which the
/// agent reads. While the handler runs, it renews the claim; so no two workers execute one call at
/// a time. A worker that dies loses its claims after the [`lease`](Self::lease), and another one
/// executes the calls again: [`ToolCall::requirement_id`] is the same then.
///
/// ```no_run
/// # async fn example(client: interlock_client::Client) -> Result<(), interlock_client::Error> {
/// use interlock_client::Worker;
///
/// #[derive(serde::Deserialize)]
/// struct Query {
///     sql: String,
/// }
///
/// Worker::new(&client)
///     .tool("run_query", async |call| {
///         let query: Query = call.args()?;
///         Ok(format!("ran {}", query.sql))
///     })
///     .concurrency(4)
///     .run_until(async { tokio::signal::ctrl_c().await.unwrap() })
///     .await
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a worker works when it is run"]
pub struct Worker {
    wire: Arc<Wire>,
    handlers: BTreeMap<String, Handler>,
    observer: Observer,
    worker_id: String,
    workflow_id: String,
    concurrency: usize,
    lease: Duration,
    grace: Duration,
}

// What it does.
impl Worker {
    /// A worker that has no tools yet.
    pub fn new(client: &Client) -> Self {
        Self {
            wire: client.wire.clone(),
            handlers: BTreeMap::new(),
            observer: Arc::new(|_, _| ()),
            worker_id: new_request_id(),
            workflow_id: String::new(),
            concurrency: 1,
            lease: Duration::from_secs(30),
            grace: Duration::from_secs(30),
        }
    }

    /// Executes the calls of a tool with a handler.
    ///
    /// What it returns is the result, as JSON. What it fails with, or panics with, is reported as
    /// the error of the call. It runs in a task of its own, which is aborted when the claim is
    /// lost.
    pub fn tool<F, R, T>(mut self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(ToolCall) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, HandlerError>> + Send + 'static,
        T: Serialize,
    {
        let handler: Handler = Arc::new(move |call| {
            let running = handler(call);
            Box::pin(async move { Ok(json::write(running.await?)?) })
        });
        self.handlers.insert(name.into(), handler);
        self
    }

    /// Executes only calls of this workflow.
    pub fn workflow_id(mut self, workflow_id: impl Into<String>) -> Self {
        self.workflow_id = workflow_id.into();
        self
    }

    /// How many calls it executes at a time; 1 by default.
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.concurrency = calls.max(1);
        self
    }

    /// How long a claim holds unless it is renewed, from 1 second to 1 hour; 30 seconds by
    /// default.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// For how long handlers may go on when the worker stops; 30 seconds by default. Then they are
    /// aborted, and their claims released.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Who claims, at most 64 characters, different for each process; random by default.
    pub fn worker_id(mut self, worker_id: impl Into<String>) -> Self {
        self.worker_id = worker_id.into();
        self
    }

    /// Is told how every call ended.
    pub fn on_end(
        mut self,
        observer: impl Fn(&ToolCall, CallOutcome) + Send + Sync + 'static,
    ) -> Self {
        self.observer = Arc::new(observer);
        self
    }
}

// How it works.
impl Worker {
    /// Works until it is told to stop. Then it claims nothing new, and lets handlers end and
    /// report, within the [`grace`](Self::grace).
    ///
    /// A server that is away, or fails, does not end it: it tries again as long as it takes.
    /// Dropping this future aborts the handlers at once; their claims end with their leases.
    ///
    /// # Errors
    ///
    /// The server does not let it claim, and never will: the token is refused, an argument is
    /// malformed, or the server knows no claims.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let worker = Arc::new(self);
        let hurry = CancellationToken::new();
        let mut running = JoinSet::new();
        let worked = worker.work(stop, &mut running, &hurry).await;
        if timeout(worker.grace, all_ended(&mut running)).await.is_err() {
            hurry.cancel();
            all_ended(&mut running).await;
        }
        worked
    }

    /// Works for ever; see [`run_until`](Self::run_until).
    ///
    /// # Errors
    ///
    /// The server does not let it claim, and never will.
    pub async fn run(self) -> Result<(), Error> {
        self.run_until(std::future::pending()).await
    }

    async fn work(
        self: &Arc<Self>,
        stop: impl Future<Output = ()>,
        running: &mut JoinSet<()>,
        hurry: &CancellationToken,
    ) -> Result<(), Error> {
        let mut stop = pin!(stop);
        loop {
            while running.len() >= self.concurrency {
                tokio::select! {
                    () = &mut stop => return Ok(()),
                    _ = running.join_next() => {}
                }
            }
            let request_id = new_request_id();
            tokio::select! {
                biased;
                () = &mut stop => {
                    self.give_back(&request_id).await;
                    return Ok(());
                }
                claimed = self.claim(&request_id) => {
                    if let Some(requirement) = claimed? {
                        running.spawn(self.clone().execute(requirement, hurry.clone()));
                    }
                }
            }
            while running.try_join_next().is_some() {}
        }
    }

    /// Claims a call, if one comes in time.
    async fn claim(&self, request_id: &str) -> Result<Option<Requirement>, Error> {
        let reply = self.insist(self.claim_request(request_id, CLAIM_WAIT), CLAIM_WAIT).await?;
        Ok(reply.requirement.map(Requirement::new))
    }

    /// Makes a call, the same again and again after errors that may pass.
    async fn insist<M: Unary>(&self, request: M, wait: Duration) -> Result<M::Reply, Error> {
        let mut backoff = Backoff::new(Duration::MAX);
        loop {
            let error = match self.wire.call_waiting(request.clone(), wait).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let asked_for = error.failure().and_then(|failure| failure.retry_delay);
            match backoff.delay(asked_for.unwrap_or_default()) {
                Some(delay) if may_pass(&error) => {
                    warn!(%error, "a call of the worker failed; trying again");
                    sleep(delay).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// Releases what may have been claimed in the moment in which nobody waited for it any more:
    /// the same request again gets the same claim.
    async fn give_back(&self, request_id: &str) {
        let once = Wire { retry_timeout: Duration::ZERO, ..self.wire.as_ref().clone() };
        let asking = once.call(self.claim_request(request_id, Duration::ZERO));
        if let Ok(Ok(reply)) = timeout(LAST_LOOK, asking).await
            && let Some(claimed) = reply.requirement
        {
            let call = ToolCall::new(Requirement::new(claimed), CancellationToken::new());
            self.release(&call).await;
        }
    }

    fn claim_request(&self, request_id: &str, wait: Duration) -> v1::ClaimRequirementRequest {
        v1::ClaimRequirementRequest {
            worker_id: self.worker_id.clone(),
            tool_names: self.handlers.keys().cloned().collect(),
            workflow_id: self.workflow_id.clone(),
            lease_duration: Some(duration(self.lease)),
            wait_timeout: Some(duration(wait)),
            request_id: request_id.to_owned(),
        }
    }
}

// One call.
impl Worker {
    async fn execute(self: Arc<Self>, requirement: Requirement, hurry: CancellationToken) {
        // Ends with this execution, however it ends.
        let cancelled = CancellationToken::new();
        let _ending = cancelled.clone().drop_guard();
        let call = ToolCall::new(requirement, cancelled);
        let result = tokio::select! {
            result = self.handle(&call) => Some(result),
            () = self.lose(&call) => return self.end(&call, CallOutcome::Lost),
            () = hurry.cancelled() => None,
        };
        let outcome = match result {
            None => self.release(&call).await,
            Some(result) => tokio::select! {
                outcome = self.report(&call, result) => outcome,
                () = hurry.cancelled() => self.release(&call).await,
            },
        };
        self.end(&call, outcome);
    }

    /// Runs the handler; a panic is its error. Dropped, it ends the handler.
    async fn handle(&self, call: &ToolCall) -> Result<String, HandlerError> {
        let Some(handler) = self.handlers.get(call.tool_name()).cloned() else {
            return Err(format!("this worker has no tool {:?}", call.tool_name()).into());
        };
        // A task of its own: a handler that blocks its thread must not keep the claim from being
        // renewed.
        let (mut tasks, call) = (JoinSet::new(), call.clone());
        tasks.spawn(async move { handler(call).await });
        match tasks.join_next().await.expect("there is one") {
            Ok(result) => result,
            Err(failed) => Err(panic_text(failed).into()),
        }
    }

    /// Renews the claim for as long as it is held, and returns when it is lost.
    async fn lose(&self, call: &ToolCall) {
        loop {
            sleep(self.lease / 3).await;
            let request = v1::RenewClaimRequest {
                requirement_id: call.requirement_id().to_owned(),
                claim_epoch: call.epoch(),
                lease_duration: Some(duration(self.lease)),
            };
            match self.wire.call(request).await {
                Ok(_) => {}
                Err(error) if is_lost(&error) => return,
                Err(error) => warn!(%call, %error, "renewing a claim failed; trying again"),
            }
        }
    }

    async fn report(&self, call: &ToolCall, result: Result<String, HandlerError>) -> CallOutcome {
        let (outcome, ended) = match result {
            Ok(result_json) => (External::ResultJson(result_json), CallOutcome::Reported),
            Err(error) => (External::ErrorMessage(error.to_string()), CallOutcome::Failed),
        };
        match self.send(call, outcome).await {
            Ok(()) => ended,
            Err(error) if is_lost(&error) => CallOutcome::Lost,
            // The server does not take this result: that is what the agent must know.
            Err(error) if is_refused(&error) && ended == CallOutcome::Reported => {
                let refused = External::ErrorMessage(format!("the result was refused: {error}"));
                match self.send(call, refused).await {
                    Ok(()) => CallOutcome::Failed,
                    Err(error) if is_lost(&error) => CallOutcome::Lost,
                    Err(error) => self.give_up(call, &error).await,
                }
            }
            Err(error) => self.give_up(call, &error).await,
        }
    }

    async fn send(&self, call: &ToolCall, outcome: External) -> Result<(), Error> {
        let request = v1::ResolveRequirementRequest {
            resolution: Some(Decision::external(outcome).resolving(call.requirement_id())),
            hold_run: false,
            request_id: new_request_id(),
            claim_epoch: call.epoch(),
        };
        self.insist(request, Duration::ZERO).await.map(drop)
    }

    async fn give_up(&self, call: &ToolCall, error: &Error) -> CallOutcome {
        warn!(%call, %error, "reporting a call failed; releasing it");
        self.release(call).await
    }

    async fn release(&self, call: &ToolCall) -> CallOutcome {
        let request = v1::ReleaseClaimRequest {
            requirement_id: call.requirement_id().to_owned(),
            claim_epoch: call.epoch(),
        };
        if let Err(error) = self.wire.call(request).await {
            warn!(%call, %error, "releasing a claim failed; it ends with its lease");
        }
        CallOutcome::Released
    }

    fn end(&self, call: &ToolCall, outcome: CallOutcome) {
        debug!(%call, ?outcome, "a call has ended");
        (self.observer)(call, outcome);
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Worker")
            .field("worker_id", &self.worker_id)
            .field("tools", &self.handlers.keys())
            .finish_non_exhaustive()
    }
}

fn panic_text(failed: JoinError) -> String {
    let Ok(panic) = failed.try_into_panic() else {
        return "the handler was aborted".to_owned();
    };
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the handler panicked: {}", text.unwrap_or("for no known reason"))
}

async fn all_ended(running: &mut JoinSet<()>) {
    while running.join_next().await.is_some() {}
}

/// Whether an error says that the call is no longer this worker's.
fn is_lost(error: &Error) -> bool {
    matches!(error, Error::FailedPrecondition(_) | Error::AlreadyResolved(_) | Error::NotFound(_))
}

/// Whether an error says that what was sent will never be taken.
fn is_refused(error: &Error) -> bool {
    matches!(error, Error::InvalidArgument(_) | Error::ResourceExhausted(_) | Error::OutOfRange(_))
}

/// Whether the same call may succeed later without somebody changing this worker.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Unavailable(_)
        | Error::DeadlineExceeded(_)
        | Error::Conflict(_)
        | Error::Cancelled(_)
        | Error::Internal(_)
        | Error::Other(_) => true,
        Error::ResourceExhausted(failure) => failure.reason != SIZE_LIMIT_EXCEEDED,
        _ => false,
    }
}
