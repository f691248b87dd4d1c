//! Calls of external tools, as a worker hands them to its handlers.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::{Error, Json, Requirement};

/// A call of a tool that this worker has claimed. Clones are cheap.
#[derive(Debug, Clone)]
pub struct ToolCall {
    requirement: Arc<Requirement>,
    cancelled: CancellationToken,
}

impl ToolCall {
    pub(crate) fn new(requirement: Requirement, cancelled: CancellationToken) -> Self {
        Self { requirement: Arc::new(requirement), cancelled }
    }

    /// Identifies the call, whoever executes it and however often: an idempotency key for what
    /// the handler does.
    pub fn requirement_id(&self) -> &str {
        self.requirement.id()
    }

    /// The run that waits for it.
    pub fn run_id(&self) -> &str {
        self.requirement.run_id()
    }

    /// Name of the tool.
    pub fn tool_name(&self) -> &str {
        self.requirement.tool_name()
    }

    /// The arguments, exactly as the agent gave them or a person changed them.
    pub fn args_json(&self) -> Json<'_> {
        self.requirement.tool_args()
    }

    /// The arguments as a type.
    ///
    /// # Errors
    ///
    /// [`Error::Json`]: they are not of this type.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.args_json().parse()
    }

    /// Grows with every claim of the call, from 1. Greater than 1 means that an earlier worker
    /// gave up or died, and may have executed it in part.
    pub fn epoch(&self) -> i64 {
        self.requirement.message().claim.as_ref().map_or(0, |claim| claim.epoch)
    }

    /// Everything else about it.
    pub fn requirement(&self) -> &Requirement {
        &self.requirement
    }

    /// Whether nobody waits for the handler any more: the claim is lost, or the worker stops at
    /// once, or the handler has ended.
    ///
    /// The worker then aborts the handler's task. This is for what the handler has started
    /// elsewhere, such as in a thread of its own.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Waits until [`is_cancelled`](Self::is_cancelled).
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }
}

/// Tool and arguments.
impl fmt::Display for ToolCall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.tool_name(), self.args_json())
    }
}

/// How a call ended, for this worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallOutcome {
    /// The result was accepted.
    Reported,
    /// The handler failed, and its error was accepted.
    Failed,
    /// The claim was lost: somebody else executes the call, or it waits no longer.
    Lost,
    /// The claim was given back without a result.
    Released,
}
