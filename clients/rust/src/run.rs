//! Runs: what was started, what it waits for, and what came of it.

use std::collections::HashMap;

use crate::{Json, PauseKind, Requirement, RunState, StepRequirement, v1};

/// A run as it was when the server sent it.
///
/// Decisions are made on the requirements in it, and sent by
/// [`Client::continue_run`](crate::Client::continue_run).
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    message: v1::Run,
    step_requirements: Vec<StepRequirement>,
}

impl Run {
    pub(crate) fn new(mut message: v1::Run) -> Self {
        let waiting = std::mem::take(&mut message.step_requirements);
        Self { message, step_requirements: waiting.into_iter().map(StepRequirement::new).collect() }
    }

    /// Unique in the service.
    pub fn id(&self) -> &str {
        &self.message.run_id
    }

    /// The workflow that runs.
    pub fn workflow_id(&self) -> &str {
        &self.message.workflow_id
    }

    /// The session that the run belongs to.
    pub fn session_id(&self) -> &str {
        &self.message.session_id
    }

    /// Where it is in its life.
    pub fn state(&self) -> RunState {
        self.message.state.into()
    }

    /// Whether it waits for requirements to be resolved.
    pub fn is_paused(&self) -> bool {
        self.state() == RunState::Paused
    }

    /// Whether it has ended: completed, failed or cancelled.
    pub fn is_ended(&self) -> bool {
        matches!(self.state(), RunState::Completed | RunState::Failed | RunState::Cancelled)
    }

    /// Why it is paused; none when it is not.
    pub fn pause_kind(&self) -> Option<PauseKind> {
        Some(self.message.pause_kind.into()).filter(|kind| *kind != PauseKind::Unspecified)
    }

    /// The input it was started with.
    pub fn input(&self) -> Json<'_> {
        Json::new(&self.message.input_json)
    }

    /// The result; absent until it has completed.
    pub fn output(&self) -> Json<'_> {
        Json::new(&self.message.output_json)
    }

    /// Why it failed; none when it did not.
    pub fn error(&self) -> Option<&v1::RunError> {
        self.message.error.as_ref()
    }

    /// Results of finished nodes, oldest first, containers included. A result that a person
    /// edited, refused or sent back is followed by the one that counts instead, with the same
    /// path. Empty on runs that were listed.
    pub fn step_results(&self) -> &[v1::StepResult] {
        &self.message.step_results
    }

    /// User-defined labels.
    pub fn labels(&self) -> &HashMap<String, String> {
        &self.message.labels
    }

    /// Sequence of its newest event.
    pub fn last_sequence(&self) -> i64 {
        self.message.last_sequence
    }

    /// What it waits for, one entry for each paused step.
    pub fn step_requirements(&self) -> &[StepRequirement] {
        &self.step_requirements
    }

    /// The same, to decide on.
    pub fn step_requirements_mut(&mut self) -> &mut [StepRequirement] {
        &mut self.step_requirements
    }

    /// All requirements of all steps.
    pub fn requirements(&self) -> impl Iterator<Item = &Requirement> {
        self.step_requirements.iter().flat_map(StepRequirement::requirements)
    }

    /// The same, to decide on.
    pub fn requirements_mut(&mut self) -> impl Iterator<Item = &mut Requirement> {
        self.step_requirements.iter_mut().flat_map(StepRequirement::requirements_mut)
    }

    /// Those that wait for a decision.
    pub fn open_requirements_mut(&mut self) -> impl Iterator<Item = &mut Requirement> {
        self.requirements_mut().filter(|requirement| requirement.is_open())
    }

    /// Everything else, as the server sent it. What it waits for is in
    /// [`step_requirements`](Self::step_requirements), and not in here.
    pub fn message(&self) -> &v1::Run {
        &self.message
    }

    /// The decisions that were made, and nothing else of the run.
    pub(crate) fn resolutions(&self) -> Vec<v1::RequirementResolution> {
        self.requirements().filter_map(Requirement::resolution).collect()
    }
}

/// A run, or its id: what names a run in a call.
#[derive(Debug, Clone)]
pub struct RunRef {
    pub(crate) run_id: String,
    pub(crate) resolutions: Vec<v1::RequirementResolution>,
}

impl From<&Run> for RunRef {
    fn from(run: &Run) -> Self {
        Self { run_id: run.id().to_owned(), resolutions: run.resolutions() }
    }
}

impl From<String> for RunRef {
    fn from(run_id: String) -> Self {
        Self { run_id, resolutions: Vec::new() }
    }
}

impl From<&str> for RunRef {
    fn from(run_id: &str) -> Self {
        run_id.to_owned().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RequirementKind, RequirementState};

    fn requirement(id: &str, kind: RequirementKind) -> v1::Requirement {
        v1::Requirement {
            requirement_id: id.to_owned(),
            kind: kind.into(),
            state: RequirementState::Pending.into(),
            ..Default::default()
        }
    }

    fn paused() -> Run {
        Run::new(v1::Run {
            run_id: "r1".to_owned(),
            state: RunState::Paused.into(),
            pause_kind: PauseKind::Executor.into(),
            step_requirements: vec![v1::StepRequirement {
                executor_requirements: vec![
                    requirement("q1", RequirementKind::Confirmation),
                    requirement("q2", RequirementKind::UserInput),
                ],
                step_requirements: vec![requirement("q3", RequirementKind::StepConfirmation)],
                ..Default::default()
            }],
            ..Default::default()
        })
    }

    #[test]
    fn only_decisions_are_sent() {
        let mut run = paused();
        run.open_requirements_mut().nth(2).unwrap().confirm().unwrap();

        let sent = RunRef::from(&run);

        assert_eq!(sent.run_id, "r1");
        let ids: Vec<_> = sent.resolutions.iter().map(|one| one.requirement_id.as_str()).collect();
        assert_eq!(ids, ["q3"]);
        assert_eq!(run.open_requirements_mut().count(), 2);
    }

    #[test]
    fn requirements_of_calls_and_of_the_step_are_told_apart() {
        let run = paused();
        let step = &run.step_requirements()[0];
        assert_eq!(step.executor_requirements().len(), 2);
        assert_eq!(step.step_requirements()[0].id(), "q3");
        assert_eq!(step.requirements().len(), 3);
    }

    #[test]
    fn a_state_that_is_newer_is_neither_paused_nor_ended() {
        let run = Run::new(v1::Run { state: 77, pause_kind: 78, ..Default::default() });
        assert_eq!(run.state(), RunState::Unknown(77));
        assert_eq!(run.state().to_string(), "77");
        assert!(!run.is_paused() && !run.is_ended());
        assert_eq!(run.pause_kind(), Some(PauseKind::Unknown(78)));
    }
}
