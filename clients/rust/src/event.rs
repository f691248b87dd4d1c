//! Events: what happens in a run.

use std::time::SystemTime;

use crate::{EventKind, v1};

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    message: v1::RunEvent,
    kind: EventKind,
}

impl Event {
    /// The event in a message; none when its kind is newer than this client.
    pub(crate) fn new(mut message: v1::RunEvent) -> Option<Self> {
        let kind = message.event.take()?;
        Some(Self { message, kind })
    }

    /// What happened, with what is particular to its kind.
    pub fn kind(&self) -> &EventKind {
        &self.kind
    }

    /// Name of its kind in the contract, for example `"step_started"`.
    pub fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// The run.
    pub fn run_id(&self) -> &str {
        &self.message.run_id
    }

    /// Position in the run: 1, 2, 3, with no gaps. A piece of text is not stored and has that of
    /// the stored event before it.
    pub fn sequence(&self) -> i64 {
        self.message.sequence
    }

    /// When it happened.
    pub fn time(&self) -> Option<SystemTime> {
        self.message.event_time.and_then(|time| time.try_into().ok())
    }

    /// The node it is about; none when it is about the whole run.
    pub fn step(&self) -> Option<&v1::StepRef> {
        self.message.step.as_ref()
    }

    /// A piece of text from an agent; empty for every other kind. The finished text is in the
    /// result of the step.
    pub fn text(&self) -> &str {
        match &self.kind {
            EventKind::ContentDelta(piece) => &piece.text,
            _ => "",
        }
    }

    /// Whether the run waits after it.
    pub(crate) fn pauses(&self) -> bool {
        matches!(self.kind, EventKind::WorkflowPaused(_))
    }

    /// Whether the run is over with it.
    pub(crate) fn ends(&self) -> bool {
        matches!(
            self.kind,
            EventKind::WorkflowCompleted(_)
                | EventKind::WorkflowFailed(_)
                | EventKind::WorkflowCancelled(_)
        )
    }
}
