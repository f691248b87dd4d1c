//! Decisions, as requests name them.

use interlock_client::{Decision, Error, OnReject};

use crate::request::Request;

/// The decision in a request.
pub fn decision(request: &Request<'_>) -> Result<Decision, Error> {
    let text = |name| request.text(name).unwrap_or_default();
    Ok(match request.required("verb")? {
        "confirm" => {
            let mut confirm = Decision::confirm().note(text("note"));
            if request.text("edited_args").is_some() {
                confirm = confirm.edited_args(request.value("edited_args")?)?;
            }
            confirm.into()
        }
        "reject" => {
            let mut reject = Decision::reject().note(text("note"));
            if let Some(name) = request.text("on_reject") {
                reject = reject.on_reject(on_reject(name)?);
            }
            reject.into()
        }
        "user_input" => Decision::user_input(request.value("values")?)?,
        "result" => Decision::external_result(request.value("result")?)?,
        "error" => Decision::external_error(text("message")),
        "feedback" => {
            let answers = request.inside("answers");
            Decision::user_feedback(answers.entries().map(|(id, _)| (id, answers.texts(id))))
        }
        "edit" => Decision::edit_output(request.value("output")?)?,
        "select" => Decision::select_routes(request.texts("routes")),
        "retry" => Decision::retry(text("feedback")),
        "skip" => Decision::skip(),
        "fail" => Decision::fail(text("message")),
        verb => return Err(Error::Refused(format!("there is no verb {verb:?}"))),
    })
}

fn on_reject(name: &str) -> Result<OnReject, Error> {
    OnReject::from_name(name).ok_or_else(|| Error::Refused(format!("on_reject cannot be {name:?}")))
}
