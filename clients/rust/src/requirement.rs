//! Requirements: what a run waits for, and the ways to answer.

use std::time::SystemTime;

use serde::Serialize;

use crate::v1::requirement::Subject;
use crate::v1::requirement_resolution::Resolution;
use crate::{Decision, Error, Json, OnTimeout, RequirementKind, RequirementState, v1};

/// One thing that waits for a person or for an outside system.
///
/// The methods that answer only note a decision on this object.
/// [`Client::continue_run`](crate::Client::continue_run) and
/// [`Client::resolve`](crate::Client::resolve) send it. They fail with [`Error::Refused`] when the
/// answer does not fit the kind of the requirement, or when it is already decided or resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    message: v1::Requirement,
    decision: Option<Decision>,
}

// What it is about.
impl Requirement {
    pub(crate) fn new(message: v1::Requirement) -> Self {
        Self { message, decision: None }
    }

    /// Unique in the service.
    pub fn id(&self) -> &str {
        &self.message.requirement_id
    }

    /// The run that waits.
    pub fn run_id(&self) -> &str {
        &self.message.run_id
    }

    /// The workflow of that run.
    pub fn workflow_id(&self) -> &str {
        &self.message.workflow_id
    }

    /// What is needed to resolve it.
    pub fn kind(&self) -> RequirementKind {
        self.message.kind.into()
    }

    /// Whether it still waits, as the server sent it.
    pub fn state(&self) -> RequirementState {
        self.message.state.into()
    }

    /// Where in the run its step is.
    pub fn step(&self) -> Option<&v1::StepRef> {
        self.message.step.as_ref()
    }

    /// Display name of the step's executor.
    pub fn executor_name(&self) -> &str {
        &self.message.executor_name
    }

    /// Text to show to the person; empty means none.
    pub fn prompt(&self) -> &str {
        &self.message.message
    }

    /// The tool call; none when the requirement is about a step.
    pub fn tool_execution(&self) -> Option<&v1::ToolExecution> {
        match &self.message.subject {
            Some(Subject::ToolExecution(call)) => Some(call),
            _ => None,
        }
    }

    /// Name of the tool; empty when the requirement is about a step.
    pub fn tool_name(&self) -> &str {
        self.tool_execution().map_or("", |call| &call.tool_name)
    }

    /// The arguments, exactly as the tool gets them; absent when the requirement is about a step.
    pub fn tool_args(&self) -> Json<'_> {
        Json::new(self.tool_execution().map_or("", |call| &call.tool_args_json))
    }

    /// Whether a confirmation may come with other arguments.
    pub fn can_edit_args(&self) -> bool {
        self.message.can_edit_args
    }

    /// The fields to fill in. What the agent fixed is not among them: the arguments show it.
    pub fn fields(&self) -> impl Iterator<Item = &v1::UserInputField> {
        self.message.user_input_schema.iter().filter(|field| !field.read_only)
    }

    /// The questions to answer.
    pub fn questions(&self) -> &[v1::FeedbackQuestion] {
        &self.message.feedback_questions
    }

    /// The step that waits before or after it runs; none for other subjects.
    pub fn step_gate(&self) -> Option<&v1::StepGate> {
        match &self.message.subject {
            Some(Subject::StepGate(gate)) => Some(gate),
            _ => None,
        }
    }

    /// What the step was given or, under review, what it gave; absent for other subjects.
    pub fn content(&self) -> Json<'_> {
        Json::new(self.step_gate().map_or("", |gate| &gate.content_json))
    }

    /// The choice between routes; none for other subjects.
    pub fn route_selection(&self) -> Option<&v1::RouteSelection> {
        match &self.message.subject {
            Some(Subject::RouteSelection(selection)) => Some(selection),
            _ => None,
        }
    }

    /// Why the step failed, or what is in doubt; none for other subjects.
    pub fn step_failure(&self) -> Option<&v1::StepFailure> {
        match &self.message.subject {
            Some(Subject::StepFailure(failure)) => Some(failure),
            _ => None,
        }
    }

    /// When it stops waiting by itself; none means never.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.message.expire_time.and_then(|time| time.try_into().ok())
    }

    /// What happens then.
    pub fn on_timeout(&self) -> OnTimeout {
        self.message.on_timeout.into()
    }

    /// Everything else, as the server sent it.
    pub fn message(&self) -> &v1::Requirement {
        &self.message
    }

    /// What was decided on this object.
    pub fn decision(&self) -> Option<&Decision> {
        self.decision.as_ref()
    }

    /// Whether it waits for a decision: there is none, neither here nor on the server.
    pub fn is_open(&self) -> bool {
        self.decision.is_none() && self.state() == RequirementState::Pending
    }
}

// Ways to answer.
impl Requirement {
    /// Lets the tool, the step or the output pass. For a note or other arguments, see
    /// [`Decision::confirm`].
    pub fn confirm(&mut self) -> Result<(), Error> {
        self.decide(Decision::confirm())
    }

    /// Keeps the tool or the step from running, or refuses the output, with a reason that the
    /// agent is told. Fits every kind.
    pub fn reject(&mut self, note: impl Into<String>) -> Result<(), Error> {
        self.decide(Decision::reject().note(note))
    }

    /// Supplies values; see [`Decision::user_input`].
    pub fn provide_user_input(&mut self, values: impl Serialize) -> Result<(), Error> {
        self.decide(Decision::user_input(values)?)
    }

    /// Answers questions; see [`Decision::user_feedback`].
    pub fn provide_user_feedback<Q, L>(
        &mut self,
        answers: impl IntoIterator<Item = (Q, L)>,
    ) -> Result<(), Error>
    where
        Q: Into<String>,
        L: IntoIterator<Item: Into<String>>,
    {
        self.decide(Decision::user_feedback(answers))
    }

    /// Supplies what a tool that ran elsewhere gave back; see [`Decision::external_result`].
    pub fn set_result(&mut self, result: impl Serialize) -> Result<(), Error> {
        self.decide(Decision::external_result(result)?)
    }

    /// Says why a tool that ran elsewhere failed; the agent is told.
    pub fn set_error(&mut self, message: impl Into<String>) -> Result<(), Error> {
        self.decide(Decision::external_error(message))
    }

    /// Replaces the output under review, or supplies that of a failed step.
    pub fn edit_output(&mut self, output: impl Serialize) -> Result<(), Error> {
        self.decide(Decision::edit_output(output)?)
    }

    /// Chooses routes, in the order in which they shall run.
    pub fn select_routes(
        &mut self,
        routes: impl IntoIterator<Item: Into<String>>,
    ) -> Result<(), Error> {
        self.decide(Decision::select_routes(routes))
    }

    /// Runs it again, with what to do better; empty when there is nothing to say.
    pub fn retry(&mut self, feedback: impl Into<String>) -> Result<(), Error> {
        self.decide(Decision::retry(feedback))
    }

    /// Passes over the step that failed.
    pub fn skip(&mut self) -> Result<(), Error> {
        self.decide(Decision::skip())
    }

    /// Lets it fail, with what is recorded as the error; empty when there is nothing to say.
    pub fn fail(&mut self, message: impl Into<String>) -> Result<(), Error> {
        self.decide(Decision::fail(message))
    }

    /// Notes any decision; the methods above are short for it.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: it does not fit the kind, or there is a decision already.
    pub fn decide(&mut self, decision: impl Into<Decision>) -> Result<(), Error> {
        let decision = decision.into();
        let (id, kind, answer) = (self.id(), self.kind(), decision.name());
        if !fits(kind, decision.resolution()) {
            let why = format!("requirement {id:?} is of kind {kind}: {answer} does not answer it");
            return Err(Error::Refused(why));
        }
        if !self.is_open() {
            let state = || self.state().to_string();
            let how = self.decision().map_or_else(state, |decision| decision.name().to_owned());
            let why = format!("requirement {id:?} is already resolved ({how}): {answer} is late");
            return Err(Error::Refused(why));
        }
        self.decision = Some(decision);
        Ok(())
    }

    /// The decision as it is sent.
    pub(crate) fn resolution(&self) -> Option<v1::RequirementResolution> {
        self.decision().map(|decision| decision.resolving(self.id()))
    }
}

/// Whether an answer fits a kind. A kind that is newer than this client takes any.
fn fits(kind: RequirementKind, answer: &Resolution) -> bool {
    use RequirementKind as Kind;
    use Resolution as Answer;

    match answer {
        _ if matches!(kind, Kind::Unspecified | Kind::Unknown(_)) => true,
        Answer::Reject(_) => true,
        Answer::Confirm(_) => matches!(
            kind,
            Kind::Confirmation
                | Kind::StepConfirmation
                | Kind::OutputReview
                | Kind::IterationReview
        ),
        Answer::UserInput(_) => {
            matches!(kind, Kind::UserInput | Kind::StepInput | Kind::UserFeedback)
        }
        Answer::UserFeedback(_) => kind == Kind::UserFeedback,
        Answer::ExternalResult(_) => matches!(kind, Kind::ExternalExecution | Kind::InDoubt),
        Answer::EditedOutput(_) => matches!(kind, Kind::OutputReview | Kind::ErrorDecision),
        Answer::RouteChoice(_) => kind == Kind::RouteSelection,
        Answer::Retry(_) => matches!(
            kind,
            Kind::OutputReview | Kind::IterationReview | Kind::ErrorDecision | Kind::InDoubt
        ),
        Answer::Skip(_) => kind == Kind::ErrorDecision,
        Answer::Fail(_) => matches!(kind, Kind::ErrorDecision | Kind::InDoubt),
    }
}

/// Everything that one paused step waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRequirement {
    message: v1::StepRequirement,
    requirements: Vec<Requirement>,
    executor_count: usize,
}

impl StepRequirement {
    pub(crate) fn new(mut message: v1::StepRequirement) -> Self {
        let of_executor = std::mem::take(&mut message.executor_requirements);
        let of_step = std::mem::take(&mut message.step_requirements);
        let executor_count = of_executor.len();
        let requirements = of_executor.into_iter().chain(of_step).map(Requirement::new).collect();
        Self { message, requirements, executor_count }
    }

    /// Where in the run the step is.
    pub fn step(&self) -> Option<&v1::StepRef> {
        self.message.step.as_ref()
    }

    /// Display name of the executor that paused; empty when the step itself waits.
    pub fn executor_name(&self) -> &str {
        &self.message.executor_name
    }

    /// All requirements of the step, those of its executor first.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// The same, to decide on.
    pub fn requirements_mut(&mut self) -> &mut [Requirement] {
        &mut self.requirements
    }

    /// One entry for each tool call that waits, in call order.
    pub fn executor_requirements(&self) -> &[Requirement] {
        &self.requirements[..self.executor_count]
    }

    /// What the step itself waits for: its gate, its input, its review, its route, or a decision
    /// about its failure.
    pub fn step_requirements(&self) -> &[Requirement] {
        &self.requirements[self.executor_count..]
    }

    /// Everything else, as the server sent it.
    pub fn message(&self) -> &v1::StepRequirement {
        &self.message
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn requirement(kind: i32) -> Requirement {
        Requirement::new(v1::Requirement {
            requirement_id: "q1".to_owned(),
            kind,
            state: RequirementState::Pending.into(),
            ..Default::default()
        })
    }

    fn answers() -> Vec<Decision> {
        vec![
            Decision::confirm().into(),
            Decision::reject().into(),
            Decision::user_input(json!({})).unwrap(),
            Decision::user_feedback([("color", ["red"])]),
            Decision::external_result(json!(1)).unwrap(),
            Decision::external_error("no"),
            Decision::edit_output(json!(1)).unwrap(),
            Decision::select_routes(["a"]),
            Decision::retry(""),
            Decision::skip(),
            Decision::fail(""),
        ]
    }

    /// Names of the answers that a kind takes.
    fn fitting(kind: i32) -> Vec<&'static str> {
        let takes = |decision: &Decision| requirement(kind).decide(decision.clone()).is_ok();
        let mut names: Vec<_> =
            answers().iter().filter(|one| takes(one)).map(Decision::name).collect();
        names.dedup();
        names
    }

    #[test]
    fn each_kind_takes_its_answers() {
        for (kind, expected) in [
            (RequirementKind::Confirmation, vec!["confirm", "reject"]),
            (RequirementKind::UserInput, vec!["reject", "user_input"]),
            (RequirementKind::ExternalExecution, vec!["reject", "external_result"]),
            (RequirementKind::UserFeedback, vec!["reject", "user_input", "user_feedback"]),
            (RequirementKind::StepConfirmation, vec!["confirm", "reject"]),
            (RequirementKind::StepInput, vec!["reject", "user_input"]),
            (RequirementKind::OutputReview, vec!["confirm", "reject", "edited_output", "retry"]),
            (RequirementKind::RouteSelection, vec!["reject", "route_choice"]),
            (RequirementKind::IterationReview, vec!["confirm", "reject", "retry"]),
            (
                RequirementKind::ErrorDecision,
                vec!["reject", "edited_output", "retry", "skip", "fail"],
            ),
            (RequirementKind::InDoubt, vec!["reject", "external_result", "retry", "fail"]),
        ] {
            assert_eq!(fitting(kind.into()), expected, "{kind}");
        }
    }

    #[test]
    fn a_kind_that_is_newer_takes_any_answer() {
        assert_eq!(requirement(99).kind().to_string(), "99");
        assert_eq!(fitting(99).len(), 10);
    }

    #[test]
    fn a_decision_is_made_once() {
        let mut requirement = requirement(RequirementKind::Confirmation.into());
        requirement.confirm().unwrap();
        let Err(Error::Refused(why)) = requirement.reject("no") else {
            panic!("decided twice");
        };
        assert_eq!(why, r#"requirement "q1" is already resolved (confirm): reject is late"#);
        assert_eq!(requirement.decision().unwrap().name(), "confirm");
        assert!(!requirement.is_open());
    }

    #[test]
    fn what_the_server_has_resolved_is_not_decided() {
        let mut requirement = requirement(RequirementKind::Confirmation.into());
        requirement.message.state = RequirementState::Expired.into();
        let Err(Error::Refused(why)) = requirement.confirm() else {
            panic!("decided too late");
        };
        assert!(why.contains("EXPIRED"), "{why}");
    }

    #[test]
    fn options_travel_with_the_answer() {
        let confirm = Decision::confirm().note("fine").edited_args(json!({"n": 1})).unwrap();
        assert_eq!(
            Decision::from(confirm).resolving("q1"),
            v1::RequirementResolution {
                requirement_id: "q1".to_owned(),
                resolution: Some(Resolution::Confirm(v1::Confirmation {
                    note: "fine".to_owned(),
                    edited_args_json: r#"{"n":1}"#.to_owned(),
                })),
                etag: String::new(),
            }
        );
        let reject = Decision::reject().note("no").on_reject(crate::OnReject::Cancel);
        let Resolution::Reject(rejection) = Decision::from(reject).0 else {
            panic!("another answer");
        };
        assert_eq!((rejection.note.as_str(), rejection.on_reject), ("no", 2));
    }
}
