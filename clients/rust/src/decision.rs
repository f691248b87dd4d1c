//! Decisions: answers to requirements.

use serde::Serialize;

use crate::v1::external_result::Outcome;
use crate::v1::requirement_resolution::Resolution;
use crate::{Error, OnReject, json, v1};

/// An answer that is not yet tied to a requirement.
///
/// [`Requirement::decide`](crate::Requirement::decide) and
/// [`Client::resolve_by_id`](crate::Client::resolve_by_id) tie it to one.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision(pub(crate) Resolution);

impl Decision {
    /// Lets the tool, the step or the output pass.
    pub fn confirm() -> Confirm {
        Confirm(v1::Confirmation::default())
    }

    /// Keeps the tool or the step from running, or refuses the output.
    pub fn reject() -> Reject {
        Reject(v1::Rejection::default())
    }

    /// Supplies values: a JSON object by field name. A field that is left out keeps its value or
    /// default.
    ///
    /// # Errors
    ///
    /// [`Error::Json`]: the values cannot be written as JSON.
    pub fn user_input(values: impl Serialize) -> Result<Self, Error> {
        let values_json = json::write(values)?;
        Ok(Self(Resolution::UserInput(v1::UserInput { values_json })))
    }

    /// Answers questions: the labels that were chosen, by the question's id.
    pub fn user_feedback<Q, L>(answers: impl IntoIterator<Item = (Q, L)>) -> Self
    where
        Q: Into<String>,
        L: IntoIterator<Item: Into<String>>,
    {
        let answers = answers
            .into_iter()
            .map(|(question_id, labels)| v1::FeedbackAnswer {
                question_id: question_id.into(),
                selected_options: labels.into_iter().map(Into::into).collect(),
            })
            .collect();
        Self(Resolution::UserFeedback(v1::UserFeedback { answers }))
    }

    /// Supplies what a tool that ran elsewhere gave back: any JSON value.
    ///
    /// # Errors
    ///
    /// [`Error::Json`]: the result cannot be written as JSON.
    pub fn external_result(result: impl Serialize) -> Result<Self, Error> {
        Ok(Self::external(Outcome::ResultJson(json::write(result)?)))
    }

    /// Says why a tool that ran elsewhere failed; the agent is told.
    pub fn external_error(message: impl Into<String>) -> Self {
        Self::external(Outcome::ErrorMessage(message.into()))
    }

    /// Replaces the output under review, or supplies that of a failed step: any JSON value.
    ///
    /// # Errors
    ///
    /// [`Error::Json`]: the output cannot be written as JSON.
    pub fn edit_output(output: impl Serialize) -> Result<Self, Error> {
        let output_json = json::write(output)?;
        Ok(Self(Resolution::EditedOutput(v1::EditedOutput { output_json })))
    }

    /// Chooses routes, in the order in which they shall run.
    pub fn select_routes(routes: impl IntoIterator<Item: Into<String>>) -> Self {
        let routes = routes.into_iter().map(Into::into).collect();
        Self(Resolution::RouteChoice(v1::RouteChoice { routes }))
    }

    /// Runs it again, with what to do better; empty when there is nothing to say.
    pub fn retry(feedback: impl Into<String>) -> Self {
        Self(Resolution::Retry(v1::Retry { feedback: feedback.into() }))
    }

    /// Passes over it.
    pub fn skip() -> Self {
        Self(Resolution::Skip(v1::Skip {}))
    }

    /// Lets it fail, with what is recorded as the error; empty when there is nothing to say.
    pub fn fail(message: impl Into<String>) -> Self {
        Self(Resolution::Fail(v1::Fail { message: message.into() }))
    }

    /// Which answer it is, by its name in `RequirementResolution.resolution`.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// The answer as it is sent.
    pub fn resolution(&self) -> &Resolution {
        &self.0
    }

    pub(crate) fn external(outcome: Outcome) -> Self {
        Self(Resolution::ExternalResult(v1::ExternalResult { outcome: Some(outcome) }))
    }

    /// The answer as it is sent for one requirement.
    pub(crate) fn resolving(&self, requirement_id: &str) -> v1::RequirementResolution {
        v1::RequirementResolution {
            requirement_id: requirement_id.to_owned(),
            resolution: Some(self.0.clone()),
            etag: String::new(),
        }
    }
}

/// A confirmation, made by [`Decision::confirm`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Confirm(v1::Confirmation);

impl Confirm {
    /// Recorded with the decision, at most 4,000 characters.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.0.note = note.into();
        self
    }

    /// Arguments to use instead, a JSON object, where
    /// [`Requirement::can_edit_args`](crate::Requirement::can_edit_args).
    ///
    /// # Errors
    ///
    /// [`Error::Json`]: the arguments cannot be written as JSON.
    pub fn edited_args(mut self, args: impl Serialize) -> Result<Self, Error> {
        self.0.edited_args_json = json::write(args)?;
        Ok(self)
    }
}

impl From<Confirm> for Decision {
    fn from(confirm: Confirm) -> Self {
        Self(Resolution::Confirm(confirm.0))
    }
}

/// A rejection, made by [`Decision::reject`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Reject(v1::Rejection);

impl Reject {
    /// The reason, which the agent is told, at most 4,000 characters.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.0.note = note.into();
        self
    }

    /// What follows, where the requirement leaves a choice.
    pub fn on_reject(mut self, on_reject: OnReject) -> Self {
        self.0.on_reject = on_reject.into();
        self
    }
}

impl From<Reject> for Decision {
    fn from(reject: Reject) -> Self {
        Self(Resolution::Reject(reject.0))
    }
}
