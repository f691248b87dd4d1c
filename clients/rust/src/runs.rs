//! Starting, continuing, waiting for, watching, listing and cancelling runs.

use std::future::IntoFuture;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::time::Instant;

use crate::backoff::new_request_id;
use crate::cursor::RunCursor;
use crate::items::{Items, pages, resuming};
use crate::run::RunRef;
use crate::wire::Wire;
use crate::{Client, Error, Event, Run, RunState, json, v1};

/// The events of a run, in order. It goes on by itself after a lost connection or a restart of the
/// server: no stored event is missing, and none comes twice.
pub type EventStream = Items<Event>;

/// What comes of awaiting a builder.
type Outcome<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// Longest wait in one call, so that no proxy takes it for dead.
const SLICE: Duration = Duration::from_secs(30);

impl Client {
    /// Sends the decisions that were made on a paused run, and lets it go on; see [`ContinueRun`].
    ///
    /// Requirements on which nothing was decided still wait afterwards. Nothing but the decisions
    /// is sent: what is executed is what the server has on record.
    pub fn continue_run(&self, run: impl Into<RunRef>) -> ContinueRun {
        let RunRef { run_id, resolutions } = run.into();
        let request = v1::ContinueRunRequest {
            run_id,
            resolutions,
            request_id: new_request_id(),
            ..Default::default()
        };
        ContinueRun { client: self.clone(), request, wait: None }
    }

    /// Gets a run.
    pub async fn get_run(&self, run_id: impl Into<String>) -> Result<Run, Error> {
        let request = v1::GetRunRequest { run_id: run_id.into() };
        Ok(Run::new(self.wire.call(request).await?.run.unwrap_or_default()))
    }

    /// Waits until a run pauses or ends, or until the time is over; the run as it is then is
    /// returned. No time means as long as it takes.
    pub async fn wait_run(
        &self,
        run: impl Into<RunRef>,
        wait_timeout: Option<Duration>,
    ) -> Result<Run, Error> {
        let run_id = run.into().run_id;
        let first = |slice| wait_once(&self.wire, run_id, slice);
        settle(&self.wire, wait_timeout, first).await
    }

    /// Cancels a run: a paused one at once, a running one before its next effect. The reason is
    /// recorded with it; it may be empty.
    pub async fn cancel_run(
        &self,
        run: impl Into<RunRef>,
        reason: impl Into<String>,
    ) -> Result<Run, Error> {
        let request = v1::CancelRunRequest {
            run_id: run.into().run_id,
            reason: reason.into(),
            request_id: new_request_id(),
        };
        Ok(Run::new(self.wire.call(request).await?.run.unwrap_or_default()))
    }

    /// Watches the events of a run, those that have happened first; see [`WatchRun`].
    pub fn watch_run(&self, run: impl Into<RunRef>) -> WatchRun {
        let request = v1::WatchRunRequest { run_id: run.into().run_id, ..Default::default() };
        WatchRun { client: self.clone(), request }
    }

    /// Lists runs without their step results, newest first.
    pub fn list_runs(&self, filter: RunFilter) -> Items<Run> {
        let wire = self.wire.clone();
        pages(move |page_token| {
            let filter = Some(filter.0.clone());
            let request = v1::ListRunsRequest { page_token, filter, ..Default::default() };
            let wire = wire.clone();
            async move {
                let page = wire.call(request).await?;
                Ok((page.runs.into_iter().map(Run::new).collect(), page.next_page_token))
            }
        })
    }

    /// Lists the stored events of a run after a sequence, oldest first; 0 means all.
    pub fn list_run_events(&self, run: impl Into<RunRef>, after_sequence: i64) -> Items<Event> {
        let (wire, run_id) = (self.wire.clone(), run.into().run_id);
        pages(move |page_token| {
            let request = v1::ListRunEventsRequest {
                run_id: run_id.clone(),
                page_token,
                after_sequence,
                ..Default::default()
            };
            let wire = wire.clone();
            async move {
                let page = wire.call(request).await?;
                Ok((page.events.into_iter().filter_map(Event::new).collect(), page.next_page_token))
            }
        })
    }
}

/// One workflow, ready to run; made by [`Client::workflow`].
#[derive(Debug, Clone)]
pub struct Workflow {
    client: Client,
    id: String,
    version: Option<i32>,
}

impl Workflow {
    pub(crate) fn new(client: Client, id: String) -> Self {
        Self { client, id, version: None }
    }

    /// Runs this version, and not the newest.
    #[must_use]
    pub fn version(mut self, version: i32) -> Self {
        self.version = Some(version);
        self
    }

    /// Starts a run with any JSON value as its input; `()` means none. See [`StartRun`].
    pub fn run(&self, input: impl Serialize) -> StartRun {
        let spec = json::write_optional(input).map(|input_json| v1::RunSpec {
            workflow_id: self.id.clone(),
            workflow_version: self.version,
            input_json,
            ..Default::default()
        });
        StartRun { client: self.client.clone(), spec, request_id: new_request_id(), wait: None }
    }
}

/// A run that is about to start; made by [`Workflow::run`].
///
/// Awaited, it starts the run, and gives it when it pauses or ends. With [`stream`](Self::stream),
/// it gives the events until then. Losing either never stops the run.
#[derive(Debug)]
#[must_use = "a run starts when this is awaited or streamed"]
pub struct StartRun {
    client: Client,
    spec: Result<v1::RunSpec, Error>,
    request_id: String,
    wait: Option<Duration>,
}

impl StartRun {
    /// Runs in this session, and not in a new one.
    pub fn session_id(self, session_id: impl Into<String>) -> Self {
        self.with(|spec| spec.session_id = session_id.into())
    }

    /// Adds a label, of which there may be 64.
    pub fn label(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|spec| {
            spec.labels.insert(key.into(), value.into());
        })
    }

    /// How long the run may take, its pauses included; after that it fails. By default as the
    /// workflow says.
    pub fn run_timeout(self, timeout: Duration) -> Self {
        self.with(|spec| spec.run_timeout = Some(duration(timeout)))
    }

    /// At most 64 characters. Calls with the same one start one run between them.
    pub fn request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = request_id.into();
        self
    }

    /// Longest time to wait until the run pauses or ends; the run as it is when the time is over is
    /// given. By default as long as it takes. A stream has no such limit: leave it instead.
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.wait = Some(timeout);
        self
    }

    /// Starts the run when the first event is asked for, and streams its events until it pauses or
    /// ends.
    ///
    /// # Errors
    ///
    /// [`Error::Json`]: the input cannot be written as JSON.
    pub fn stream(self) -> Result<EventStream, Error> {
        let request = v1::RunStreamRequest {
            spec: Some(self.spec?),
            request_id: self.request_id,
            ..Default::default()
        };
        Ok(resuming(self.client.wire, RunCursor::starting(request)))
    }

    fn with(mut self, change: impl FnOnce(&mut v1::RunSpec)) -> Self {
        if let Ok(spec) = &mut self.spec {
            change(spec);
        }
        self
    }
}

impl IntoFuture for StartRun {
    type Output = Result<Run, Error>;
    type IntoFuture = Outcome<Run>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { client, spec, request_id, wait } = self;
        Box::pin(async move {
            let mut request = v1::RunRequest { spec: Some(spec?), request_id, wait_timeout: None };
            let first = async |slice| {
                request.wait_timeout = Some(duration(slice));
                let reply = client.wire.call_waiting(request, slice).await?;
                Ok(reply.run.unwrap_or_default())
            };
            settle(&client.wire, wait, first).await
        })
    }
}

/// A run that is about to go on; made by [`Client::continue_run`].
///
/// Awaited, it gives the run when it pauses again or ends. With [`stream`](Self::stream), it gives
/// the events until then.
#[derive(Debug)]
#[must_use = "a run continues when this is awaited or streamed"]
pub struct ContinueRun {
    client: Client,
    request: v1::ContinueRunRequest,
    wait: Option<Duration>,
}

impl ContinueRun {
    /// Longest time to wait, as for [`StartRun::wait_timeout`].
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.wait = Some(timeout);
        self
    }

    /// Continues when the first event is asked for, and streams events until the run pauses again
    /// or ends.
    pub fn stream(self) -> EventStream {
        let request = v1::ContinueRunStreamRequest {
            run_id: self.request.run_id,
            resolutions: self.request.resolutions,
            request_id: self.request.request_id,
            ..Default::default()
        };
        resuming(self.client.wire, RunCursor::continuing(request))
    }
}

impl IntoFuture for ContinueRun {
    type Output = Result<Run, Error>;
    type IntoFuture = Outcome<Run>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { client, mut request, wait } = self;
        Box::pin(async move {
            let first = async |slice| {
                request.wait_timeout = Some(duration(slice));
                let reply = client.wire.call_waiting(request, slice).await?;
                Ok(reply.run.unwrap_or_default())
            };
            settle(&client.wire, wait, first).await
        })
    }
}

/// A watch that is about to begin; made by [`Client::watch_run`].
#[derive(Debug)]
#[must_use = "a watch begins when it is streamed"]
pub struct WatchRun {
    client: Client,
    request: v1::WatchRunRequest,
}

impl WatchRun {
    /// Begins after the event with this sequence.
    pub fn after_sequence(mut self, sequence: i64) -> Self {
        self.request.after_sequence = sequence;
        self
    }

    /// Ends when the run pauses, not only when it ends.
    pub fn end_on_pause(mut self) -> Self {
        self.request.end_on_pause = true;
        self
    }

    /// Streams the events.
    pub fn stream(self) -> EventStream {
        resuming(self.client.wire, RunCursor::watching(self.request))
    }
}

/// Selects runs. A run must match everything that is said.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct RunFilter(v1::RunFilter);

impl RunFilter {
    /// Every run.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of this workflow.
    pub fn workflow_id(mut self, workflow_id: impl Into<String>) -> Self {
        self.0.workflow_id = workflow_id.into();
        self
    }

    /// Of this session.
    pub fn session_id(mut self, session_id: impl Into<String>) -> Self {
        self.0.session_id = session_id.into();
        self
    }

    /// In this state, or another one that is said.
    pub fn state(mut self, state: RunState) -> Self {
        self.0.states.push(state.into());
        self
    }

    /// With this label.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.labels.insert(key.into(), value.into());
        self
    }

    /// Created at or after this time.
    pub fn created_since(mut self, time: SystemTime) -> Self {
        self.0.create_time_min = Some(time.into());
        self
    }

    /// Created before this time.
    pub fn created_before(mut self, time: SystemTime) -> Self {
        self.0.create_time_max = Some(time.into());
        self
    }

    /// Not ended, and in need of code that the server does not have.
    pub fn stuck(mut self) -> Self {
        self.0.stuck = true;
        self
    }
}

/// A duration for a request.
pub(crate) fn duration(duration: Duration) -> prost_types::Duration {
    let longest = prost_types::Duration { seconds: i64::MAX, nanos: 0 };
    duration.try_into().unwrap_or(longest)
}

/// Waits in slices: first in the call that starts the wait, then in `WaitRun`.
async fn settle(
    wire: &Wire,
    wait: Option<Duration>,
    first: impl AsyncFnOnce(Duration) -> Result<v1::Run, Error>,
) -> Result<Run, Error> {
    let end = wait.and_then(|wait| Instant::now().checked_add(wait));
    let remaining = || end.map_or(Duration::MAX, |end| end - Instant::now());
    let mut run = Run::new(first(remaining().min(SLICE)).await?);
    while !(run.is_paused() || run.is_ended() || remaining().is_zero()) {
        let slice = remaining().min(SLICE);
        run = Run::new(wait_once(wire, run.id().to_owned(), slice).await?);
    }
    Ok(run)
}

async fn wait_once(wire: &Wire, run_id: String, slice: Duration) -> Result<v1::Run, Error> {
    let request = v1::WaitRunRequest { run_id, wait_timeout: Some(duration(slice)) };
    Ok(wire.call_waiting(request, slice).await?.run.unwrap_or_default())
}
