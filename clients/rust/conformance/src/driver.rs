//! The operations.

use std::collections::HashMap;

use interlock_client::{
    Client, Error, Requirement, RequirementFilter, RequirementKind, RequirementState, Run,
    RunFilter, RunRef, RunState, StartRun,
};
use serde_json::{Value, json};

use crate::decisions::decision;
use crate::request::Request;
use crate::streams::{Item, Reading, Stream};
use crate::views;
use crate::workers::RunningWorker;

/// The operations, over one client at a time.
#[derive(Default)]
pub struct Driver {
    client: Option<Client>,
    /// The newest that was seen, by id.
    runs: HashMap<String, Run>,
    requirements: HashMap<String, Requirement>,
    streams: HashMap<String, Reading>,
    workers: HashMap<String, RunningWorker>,
}

impl Driver {
    /// Does what a request says.
    pub async fn reply(&mut self, request: &Request<'_>) -> Value {
        let (key, value) = match self.answer(request).await {
            Ok(result) => ("result", result),
            Err(error) => views::failed(&error),
        };
        json!({ "id": request.id(), key: value })
    }

    async fn answer(&mut self, request: &Request<'_>) -> Result<Value, Error> {
        match request.required("op")? {
            "connect" => self.connect(request),
            "run" => self.run(request).await,
            "continue" => self.continue_run(request).await,
            "get_run" => {
                let run = self.client()?.get_run(request.required("run_id")?).await?;
                self.seen_run(run)
            }
            "wait_run" => {
                let (id, limit) = (request.required("run_id")?, request.seconds("wait_timeout"));
                let run = self.client()?.wait_run(id, limit).await?;
                self.seen_run(run)
            }
            "cancel_run" => {
                let reason = request.text("reason").unwrap_or_default();
                let run = self.client()?.cancel_run(request.required("run_id")?, reason).await?;
                self.seen_run(run)
            }
            "list_runs" => {
                let runs = self.client()?.list_runs(run_filter(request)?).all().await?;
                Ok(json!({ "runs": views::all(&runs, views::run)? }))
            }
            "list_events" => {
                let after = request.number("after_sequence").unwrap_or_default();
                let id = request.required("run_id")?;
                let events = self.client()?.list_run_events(id, after).all().await?;
                Ok(json!({ "events": events.iter().map(views::event).collect::<Vec<_>>() }))
            }
            "open" => self.open(request),
            "read" => self.read(request).await,
            "leave" => {
                drop(self.streams.remove(request.required("stream")?));
                Ok(json!({}))
            }
            "list_requirements" => {
                let filter = requirement_filter(&request.inside("filter"))?;
                let found = self.client()?.list_requirements(filter).all().await?;
                Ok(json!({ "requirements": views::all(found, |one| self.seen(one))? }))
            }
            "get_requirement" => {
                let id = request.required("requirement_id")?;
                let found = self.client()?.get_requirement(id).await?;
                self.seen(found)
            }
            "resolve" => self.resolve(request).await,
            "list_workflows" => {
                let found = self.client()?.list_workflows().all().await?;
                let names: Vec<_> = found.iter().map(|one| &one.workflow_id).collect();
                Ok(json!({ "workflows": names }))
            }
            "get_session" => {
                let session = self.client()?.get_session(request.required("session_id")?).await?;
                let state = session.state().value()?.to_string();
                Ok(json!({ "session_id": session.session_id, "state": state }))
            }
            "worker_start" => {
                let worker = RunningWorker::start(self.client()?, request);
                self.workers.insert(request.required("worker")?.to_owned(), worker);
                Ok(json!({}))
            }
            "worker_seen" => self.worker(request)?.seen(request).await,
            "worker_finish" => {
                self.worker(request)?.finish(request)?;
                Ok(json!({}))
            }
            "worker_stop" => {
                let name = request.required("worker")?;
                let worker = self.workers.remove(name).ok_or_else(|| nothing("worker", name))?;
                worker.stop().await
            }
            other => Err(nothing("operation", other)),
        }
    }

    fn connect(&mut self, request: &Request<'_>) -> Result<Value, Error> {
        let mut builder = Client::builder(request.required("target")?);
        if let Some(token) = request.text("token") {
            builder = builder.token(token);
        }
        if let Some(timeout) = request.seconds("timeout") {
            builder = builder.timeout(timeout);
        }
        if let Some(timeout) = request.seconds("retry_timeout") {
            builder = builder.retry_timeout(timeout);
        }
        if let Some(path) = request.text("ca_file") {
            let pem = std::fs::read(path).map_err(|error| Error::Refused(error.to_string()))?;
            builder = builder.ca_certificate(pem);
        }
        self.streams.clear();
        self.client = Some(builder.build()?);
        Ok(json!({}))
    }

    async fn run(&mut self, request: &Request<'_>) -> Result<Value, Error> {
        let mut start = self.start(request)?;
        if let Some(limit) = request.seconds("wait_timeout") {
            start = start.wait_timeout(limit);
        }
        let run = start.await?;
        self.seen_run(run)
    }

    async fn continue_run(&mut self, request: &Request<'_>) -> Result<Value, Error> {
        let decided = self.decided(request)?;
        let mut going_on = self.client()?.continue_run(decided);
        if let Some(limit) = request.seconds("wait_timeout") {
            going_on = going_on.wait_timeout(limit);
        }
        let run = going_on.await?;
        self.seen_run(run)
    }

    async fn resolve(&mut self, request: &Request<'_>) -> Result<Value, Error> {
        let (id, decision) = (request.required("requirement_id")?, decision(request)?);
        let client = self.client()?.clone();
        let mut answer = match self.requirements.get_mut(id) {
            None => client.resolve_by_id(id, decision),
            Some(requirement) => {
                requirement.decide(decision)?;
                client.resolve(requirement)
            }
        };
        if request.flag("hold_run") {
            answer = answer.hold_run();
        }
        let resolved = answer.await?;
        Ok(json!({
            "requirement": self.seen(resolved.requirement)?,
            "run_state": resolved.run_state.to_string(),
        }))
    }

    fn open(&mut self, request: &Request<'_>) -> Result<Value, Error> {
        let stream = match request.required("of")? {
            "run" => Stream::Events(self.start(request)?.stream()?),
            "continue" => {
                let decided = self.decided(request)?;
                Stream::Events(self.client()?.continue_run(decided).stream())
            }
            "watch" => {
                let mut watch = self.client()?.watch_run(request.required("run_id")?);
                watch = watch.after_sequence(request.number("after_sequence").unwrap_or_default());
                if request.flag("end_on_pause") {
                    watch = watch.end_on_pause();
                }
                Stream::Events(watch.stream())
            }
            "requirements" => {
                let filter = requirement_filter(&request.inside("filter"))?;
                Stream::Requirements(self.client()?.watch_requirements(filter))
            }
            other => return Err(nothing("stream", other)),
        };
        self.streams.insert(request.required("stream")?.to_owned(), Reading::new(stream));
        Ok(json!({}))
    }

    async fn read(&mut self, request: &Request<'_>) -> Result<Value, Error> {
        let name = request.required("stream")?;
        let reading = self.streams.get_mut(name).ok_or_else(|| nothing("stream", name))?;
        let (items, has_ended) = reading.read(request).await?;
        let items = views::all(items, |item| match item {
            Item::Event(event) => Ok(views::event(&event)),
            Item::Requirement(requirement) => self.seen(requirement),
        })?;
        Ok(json!({ "items": items, "ended": has_ended }))
    }

    /// A run that is about to start.
    fn start(&self, request: &Request<'_>) -> Result<StartRun, Error> {
        let workflow = self.client()?.workflow(request.required("workflow")?);
        let mut start = workflow.run(request.value("input")?);
        if let Some(session_id) = request.text("session_id") {
            start = start.session_id(session_id);
        }
        for (key, value) in request.table("labels") {
            start = start.label(key, value.as_str().unwrap_or_default());
        }
        if let Some(request_id) = request.text("request_id") {
            start = start.request_id(request_id);
        }
        if let Some(limit) = request.seconds("run_timeout") {
            start = start.run_timeout(limit);
        }
        Ok(start)
    }

    /// The newest run of an id, with decisions on its requirements.
    fn decided(&mut self, request: &Request<'_>) -> Result<RunRef, Error> {
        let id = request.required("run_id")?;
        let Some(run) = self.runs.get_mut(id) else {
            return Ok(id.into());
        };
        for answer in request.each("decisions") {
            let id = answer.required("requirement_id")?;
            let requirement = run.requirements_mut().find(|one| one.id() == id);
            let requirement = requirement.ok_or_else(|| nothing("requirement", id))?;
            requirement.decide(decision(&answer)?)?;
        }
        Ok((&*run).into())
    }

    fn seen_run(&mut self, run: Run) -> Result<Value, Error> {
        let view = views::run(&run);
        self.requirements.extend(run.requirements().map(|one| (one.id().to_owned(), one.clone())));
        self.runs.insert(run.id().to_owned(), run);
        view
    }

    fn seen(&mut self, requirement: Requirement) -> Result<Value, Error> {
        let view = views::requirement(&requirement);
        self.requirements.insert(requirement.id().to_owned(), requirement);
        view
    }

    fn client(&self) -> Result<&Client, Error> {
        self.client.as_ref().ok_or_else(|| Error::Refused("not connected".to_owned()))
    }

    fn worker(&self, request: &Request<'_>) -> Result<&RunningWorker, Error> {
        let name = request.required("worker")?;
        self.workers.get(name).ok_or_else(|| nothing("worker", name))
    }
}

fn run_filter(request: &Request<'_>) -> Result<RunFilter, Error> {
    let mut filter = RunFilter::new();
    if let Some(workflow_id) = request.text("workflow") {
        filter = filter.workflow_id(workflow_id);
    }
    if let Some(session_id) = request.text("session_id") {
        filter = filter.session_id(session_id);
    }
    for name in request.texts("states") {
        filter = filter.state(RunState::from_name(name).ok_or_else(|| nothing("state", name))?);
    }
    for (key, value) in request.table("labels") {
        filter = filter.label(key, value.as_str().unwrap_or_default());
    }
    Ok(filter)
}

fn requirement_filter(request: &Request<'_>) -> Result<RequirementFilter, Error> {
    let mut filter = RequirementFilter::new();
    if let Some(run_id) = request.text("run_id") {
        filter = filter.run_id(run_id);
    }
    if let Some(workflow_id) = request.text("workflow_id") {
        filter = filter.workflow_id(workflow_id);
    }
    if let Some(session_id) = request.text("session_id") {
        filter = filter.session_id(session_id);
    }
    for name in request.texts("states") {
        let state = RequirementState::from_name(name).ok_or_else(|| nothing("state", name))?;
        filter = filter.state(state);
    }
    for name in request.texts("kinds") {
        filter =
            filter.kind(RequirementKind::from_name(name).ok_or_else(|| nothing("kind", name))?);
    }
    for name in request.texts("tool_names") {
        filter = filter.tool_name(name);
    }
    Ok(filter)
}

fn nothing(kind: &str, name: &str) -> Error {
    Error::Refused(format!("there is no {kind} {name:?}"))
}
