//! What the shell gives, as the suite writes it down.

use interlock_client::{
    Code, Error, Event, Json, Requirement, Run, StepOutcome, StepRequirement, UserInputFieldType,
    v1,
};
use serde_json::{Value, json};

/// A run.
pub fn run(run: &Run) -> Result<Value, Error> {
    Ok(json!({
        "run_id": run.id(),
        "workflow_id": run.workflow_id(),
        "session_id": run.session_id(),
        "state": run.state().to_string(),
        "pause_kind": run.pause_kind().map_or_else(String::new, |kind| kind.to_string()),
        "is_paused": run.is_paused(),
        "output": text(run.output())?,
        "error": run.error().map(|error| json!({
            "reason": error.reason,
            "message": error.message,
        })),
        "last_sequence": run.last_sequence(),
        "labels": run.labels(),
        "step_results": all(run.step_results(), result)?,
        "step_requirements": all(run.step_requirements(), step_requirement)?,
    }))
}

fn step_requirement(waiting: &StepRequirement) -> Result<Value, Error> {
    Ok(json!({
        "step": name(waiting.step()),
        "path": path(waiting.step()),
        "executor": waiting.executor_name(),
        "requirements": all(waiting.requirements(), requirement)?,
    }))
}

/// A requirement.
pub fn requirement(requirement: &Requirement) -> Result<Value, Error> {
    let message = requirement.message();
    Ok(json!({
        "requirement_id": requirement.id(),
        "run_id": requirement.run_id(),
        "kind": requirement.kind().to_string(),
        "state": requirement.state().to_string(),
        "step": name(requirement.step()),
        "path": path(requirement.step()),
        "executor": requirement.executor_name(),
        "member_path": message.member_path,
        "message": requirement.prompt(),
        "tool_name": requirement.tool_name(),
        "args": text(requirement.tool_args())?,
        "fields": all(requirement.fields(), field)?,
        "questions": requirement.questions().iter().map(question).collect::<Vec<_>>(),
        "routes": requirement.route_selection().map(|selection| json!({
            "available": selection.available_routes,
            "proposed": selection.proposed_routes,
            "allow_multiple": selection.allow_multiple,
        })),
        "content": text(requirement.content())?,
        "on_timeout": requirement.on_timeout().to_string(),
        "expires": requirement.expires_at().is_some(),
        "attempt": message.attempt,
        "can_edit_args": requirement.can_edit_args(),
        "claim": message.claim.as_ref().map(|claim| json!({
            "worker_id": claim.worker_id,
            "epoch": claim.epoch,
        })),
        "resolution": message
            .resolution
            .as_ref()
            .and_then(|answer| answer.resolution.as_ref())
            .map(|answer| answer.name()),
        "resolved_by": message.resolved_by,
    }))
}

/// An event.
pub fn event(event: &Event) -> Value {
    json!({
        "kind": event.name(),
        "sequence": event.sequence(),
        "step": name(event.step()),
        "path": path(event.step()),
        "text": event.text(),
    })
}

/// What is said in place of a result.
pub fn failed(error: &Error) -> (&'static str, Value) {
    let Some(failure) = error.failure() else {
        return ("refused", error.to_string().into());
    };
    let fields = failure.field_violations.iter().map(|one| (&one.field, &one.description));
    let view = json!({
        "code": code(failure.code),
        "reason": failure.reason,
        "message": failure.message,
        "metadata": failure.metadata,
        "fields": fields.collect::<std::collections::HashMap<_, _>>(),
    });
    ("error", view)
}

/// The name of a code as gRPC writes it: `NOT_FOUND`.
fn code(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    name
}

fn result(result: &v1::StepResult) -> Result<Value, Error> {
    Ok(json!({
        "name": name(result.step.as_ref()),
        "path": path(result.step.as_ref()),
        "outcome": StepOutcome::from(result.outcome).to_string(),
        "output": text(Json::new(&result.output_json))?,
    }))
}

fn field(field: &v1::UserInputField) -> Result<Value, Error> {
    Ok(json!({
        "name": field.name,
        "type": UserInputFieldType::from(field.r#type).to_string(),
        "required": field.required,
        "value": text(Json::new(&field.value_json))?,
        "allowed": all(&field.allowed_values_json, |value| text(Json::new(value)))?,
    }))
}

fn question(question: &v1::FeedbackQuestion) -> Value {
    json!({
        "question_id": question.question_id,
        "question": question.question,
        "multi_select": question.multi_select,
        "options": question.options.iter().map(|option| &option.label).collect::<Vec<_>>(),
    })
}

fn name(step: Option<&v1::StepRef>) -> &str {
    step.map_or("", |step| &step.name)
}

fn path(step: Option<&v1::StepRef>) -> &[String] {
    step.map_or(&[], |step| &step.path)
}

/// JSON text of a value as the shell gives it.
pub fn text(json: Json<'_>) -> Result<Value, Error> {
    Ok(if json.is_absent() { Value::Null } else { json.value()?.to_string().into() })
}

/// The views of all items.
pub fn all<T>(
    items: impl IntoIterator<Item = T>,
    view: impl FnMut(T) -> Result<Value, Error>,
) -> Result<Vec<Value>, Error> {
    items.into_iter().map(view).collect()
}
