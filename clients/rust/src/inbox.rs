//! The inbox: requirements of all runs.

use std::future::IntoFuture;
use std::pin::Pin;

use crate::backoff::new_request_id;
use crate::cursor::InboxCursor;
use crate::items::{Items, pages, resuming};
use crate::{
    Client, Decision, Error, Requirement, RequirementKind, RequirementState, RunState, v1,
};

impl Client {
    /// Gets a requirement.
    pub async fn get_requirement(&self, id: impl Into<String>) -> Result<Requirement, Error> {
        let request = v1::GetRequirementRequest { requirement_id: id.into() };
        Ok(Requirement::new(self.wire.call(request).await?.requirement.unwrap_or_default()))
    }

    /// Lists requirements of all runs, oldest first; those that wait, unless the filter has states.
    pub fn list_requirements(&self, filter: RequirementFilter) -> Items<Requirement> {
        let wire = self.wire.clone();
        pages(move |page_token| {
            let filter = Some(filter.0.clone());
            let request = v1::ListRequirementsRequest { page_token, filter, ..Default::default() };
            let wire = wire.clone();
            async move {
                let page = wire.call(request).await?;
                let items = page.requirements.into_iter().map(Requirement::new).collect();
                Ok((items, page.next_page_token))
            }
        })
    }

    /// Streams requirements as they appear and change, those that wait first; never ends. A
    /// requirement may come more than once. A filter without states means every state.
    pub fn watch_requirements(&self, filter: RequirementFilter) -> Items<Requirement> {
        let filter = Some(filter.0);
        let request = v1::WatchRequirementsRequest { filter, ..Default::default() };
        resuming(self.wire.clone(), InboxCursor(request))
    }

    /// Sends the decision that was made on a requirement. When its step waits for no other, the
    /// step goes on. The same decision again gets the same answer.
    ///
    /// # Errors
    ///
    /// - [`Error::AlreadyResolved`]: somebody decided otherwise before.
    /// - [`Error::Refused`]: nothing was decided on it.
    pub fn resolve(&self, requirement: &Requirement) -> Resolve {
        let undecided = || Error::Refused(format!("nothing is decided on {:?}", requirement.id()));
        self.resolution(requirement.resolution().ok_or_else(undecided))
    }

    /// Resolves a requirement of which only the id is known; see [`resolve`](Self::resolve).
    pub fn resolve_by_id(&self, id: &str, decision: impl Into<Decision>) -> Resolve {
        self.resolution(Ok(decision.into().resolving(id)))
    }

    fn resolution(&self, resolution: Result<v1::RequirementResolution, Error>) -> Resolve {
        let request = resolution.map(|resolution| v1::ResolveRequirementRequest {
            resolution: Some(resolution),
            request_id: new_request_id(),
            ..Default::default()
        });
        Resolve { client: self.clone(), request }
    }
}

/// An answer that is about to be sent; made by [`Client::resolve`]. Await it.
#[derive(Debug)]
#[must_use = "an answer is sent when this is awaited"]
pub struct Resolve {
    client: Client,
    request: Result<v1::ResolveRequirementRequest, Error>,
}

impl Resolve {
    /// Keeps the run paused until somebody calls [`Client::continue_run`].
    pub fn hold_run(mut self) -> Self {
        if let Ok(request) = &mut self.request {
            request.hold_run = true;
        }
        self
    }
}

impl IntoFuture for Resolve {
    type Output = Result<Resolved, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let reply = self.client.wire.call(self.request?).await?;
            Ok(Resolved {
                requirement: Requirement::new(reply.requirement.unwrap_or_default()),
                run_state: reply.run_state.into(),
            })
        })
    }
}

/// What came of an answer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Resolved {
    /// The requirement as it is now.
    pub requirement: Requirement,
    /// State of its run after the answer.
    pub run_state: RunState,
}

/// Selects requirements. A requirement must match everything that is said.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct RequirementFilter(v1::RequirementFilter);

impl RequirementFilter {
    /// Every requirement.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of this run.
    pub fn run_id(mut self, run_id: impl Into<String>) -> Self {
        self.0.run_id = run_id.into();
        self
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
    pub fn state(mut self, state: RequirementState) -> Self {
        self.0.states.push(state.into());
        self
    }

    /// Of this kind, or another one that is said.
    pub fn kind(mut self, kind: RequirementKind) -> Self {
        self.0.kinds.push(kind.into());
        self
    }

    /// For this tool, or another one that is said.
    pub fn tool_name(mut self, tool_name: impl Into<String>) -> Self {
        self.0.tool_names.push(tool_name.into());
        self
    }
}
