//! What can go wrong.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::iter::successors;
use std::time::Duration;

use tonic::{Code, Status, TimeoutExpired};
use tonic_types::StatusExt;

/// What can go wrong: one variant for each family.
///
/// A *run* that fails is none of these: see [`Run::error`](crate::Run::error).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of the request is missing or malformed; see [`Failure::field_violations`].
    #[error("{0}")]
    InvalidArgument(Box<Failure>),
    /// There is no such workflow, run, requirement or session.
    #[error("{0}")]
    NotFound(Box<Failure>),
    /// The request id was used before, with another request.
    #[error("{0}")]
    AlreadyExists(Box<Failure>),
    /// What was asked for does not fit the state of the run, requirement or session.
    #[error("{0}")]
    FailedPrecondition(Box<Failure>),
    /// Somebody decided otherwise before: [`Failure::fact`] says who (`resolved_by`), what
    /// (`resolution`) and when (`resolve_time`).
    #[error("{0}")]
    AlreadyResolved(Box<Failure>),
    /// Something changed since it was read: read it again, then retry.
    #[error("{0}")]
    Conflict(Box<Failure>),
    /// A position is past the newest event, or before the oldest that is kept; or a reply is larger
    /// than 16 MiB.
    #[error("{0}")]
    OutOfRange(Box<Failure>),
    /// A limit was reached, such as 16 MiB for a request.
    #[error("{0}")]
    ResourceExhausted(Box<Failure>),
    /// The server does not know who is calling.
    #[error("{0}")]
    Unauthenticated(Box<Failure>),
    /// The caller may not do this.
    #[error("{0}")]
    PermissionDenied(Box<Failure>),
    /// The server does not offer the method.
    #[error("{0}")]
    Unimplemented(Box<Failure>),
    /// The server could not be reached, for longer than the client was told to retry.
    #[error("{0}")]
    Unavailable(Box<Failure>),
    /// The call took longer than its timeout. It may have had its effect.
    #[error("{0}")]
    DeadlineExceeded(Box<Failure>),
    /// The call was cancelled.
    #[error("{0}")]
    Cancelled(Box<Failure>),
    /// Something went wrong inside the server; the fact `error_id` finds it in its log.
    #[error("{0}")]
    Internal(Box<Failure>),
    /// The call failed with a code that belongs to none of the other families.
    #[error("{0}")]
    Other(Box<Failure>),
    /// This client refuses, without asking the server, and says why: an answer does not fit its
    /// requirement, or is the second one.
    #[error("{0}")]
    Refused(String),
    /// A value could not be written as JSON, or JSON not be read as the type that was asked for.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The target, the token or a certificate is malformed.
    #[error("connection: {0}")]
    Connection(String),
}

/// How a call failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failure {
    /// The gRPC status code.
    pub code: Code,
    /// What happened, for a developer.
    pub message: String,
    /// Name of the `ErrorReason` without its prefix, for example `"RUN_NOT_FOUND"`; empty when the
    /// failure does not come from Interlock.
    pub reason: String,
    /// Every dynamic part of the message, by the name that `ErrorReason` gives it.
    pub metadata: HashMap<String, String>,
    /// Every field that is wrong.
    pub field_violations: Vec<FieldViolation>,
    /// How long the server asks to wait before another attempt.
    pub retry_delay: Option<Duration>,
}

/// A field of a request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldViolation {
    /// Path of the field, for example `"spec.workflow_id"`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl Error {
    /// How the call failed; none when no call was made.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::InvalidArgument(failure)
            | Self::NotFound(failure)
            | Self::AlreadyExists(failure)
            | Self::FailedPrecondition(failure)
            | Self::AlreadyResolved(failure)
            | Self::Conflict(failure)
            | Self::OutOfRange(failure)
            | Self::ResourceExhausted(failure)
            | Self::Unauthenticated(failure)
            | Self::PermissionDenied(failure)
            | Self::Unimplemented(failure)
            | Self::Unavailable(failure)
            | Self::DeadlineExceeded(failure)
            | Self::Cancelled(failure)
            | Self::Internal(failure)
            | Self::Other(failure) => Some(failure),
            Self::Refused(_) | Self::Json(_) | Self::Connection(_) => None,
        }
    }

    /// The reason of the contract, see [`Failure::reason`]; empty when there is none.
    pub fn reason(&self) -> &str {
        self.failure().map_or("", |failure| &failure.reason)
    }

    pub(crate) fn deadline_exceeded() -> Self {
        Status::deadline_exceeded("the call took longer than its timeout").into()
    }

    fn of(failure: Box<Failure>) -> Self {
        match failure.code {
            Code::InvalidArgument => Self::InvalidArgument(failure),
            Code::NotFound => Self::NotFound(failure),
            Code::AlreadyExists => Self::AlreadyExists(failure),
            Code::FailedPrecondition if failure.reason == "REQUIREMENT_ALREADY_RESOLVED" => {
                Self::AlreadyResolved(failure)
            }
            Code::FailedPrecondition => Self::FailedPrecondition(failure),
            Code::Aborted => Self::Conflict(failure),
            Code::OutOfRange => Self::OutOfRange(failure),
            Code::ResourceExhausted => Self::ResourceExhausted(failure),
            Code::Unauthenticated => Self::Unauthenticated(failure),
            Code::PermissionDenied => Self::PermissionDenied(failure),
            Code::Unimplemented => Self::Unimplemented(failure),
            Code::Unavailable => Self::Unavailable(failure),
            Code::DeadlineExceeded => Self::DeadlineExceeded(failure),
            Code::Cancelled => Self::Cancelled(failure),
            Code::Internal => Self::Internal(failure),
            _ => Self::Other(failure),
        }
    }
}

impl Failure {
    /// An entry of [`metadata`](Self::metadata); empty when there is none of this name.
    pub fn fact(&self, name: &str) -> &str {
        self.metadata.get(name).map_or("", String::as_str)
    }
}

/// The reason, the message, and what is wrong with which field.
impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason.as_str() {
            "" => write!(formatter, "{:?}: {}", self.code, self.message)?,
            reason => write!(formatter, "{reason}: {}", self.message)?,
        }
        for violation in &self.field_violations {
            if !self.message.contains(&violation.description) {
                write!(formatter, "; {}: {}", violation.field, violation.description)?;
            }
        }
        Ok(())
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let (reason, metadata) = match details.error_info() {
            Some(info) => (info.reason.clone(), info.metadata.clone()),
            None => Default::default(),
        };
        let violations = details.bad_request().map(|one| one.field_violations.as_slice());
        let violation = |one: &tonic_types::FieldViolation| FieldViolation {
            field: one.field.clone(),
            description: one.description.clone(),
        };
        Self::of(Box::new(Failure {
            code: code_of(&status),
            message: message_of(&status),
            reason,
            metadata,
            field_violations: violations.unwrap_or_default().iter().map(violation).collect(),
            retry_delay: details.retry_info().and_then(|info| info.retry_delay),
        }))
    }
}

/// The code of a status. A connection that was lost is `Unavailable`, whatever tonic made of it:
/// the code then depends on where it broke, and on features of other crates in the program.
fn code_of(status: &Status) -> Code {
    // A status that the server sent has no source, nor has one that says how a reply is malformed.
    if status.source().is_none() {
        return status.code();
    }
    if sources(status).any(|source| source.is::<TimeoutExpired>()) {
        return Code::DeadlineExceeded;
    }
    Code::Unavailable
}

/// The message of a status, with what is behind it.
fn message_of(status: &Status) -> String {
    let mut message = status.message().to_owned();
    for source in sources(status).map(ToString::to_string) {
        if !message.ends_with(&source) {
            message = format!("{message}: {source}");
        }
    }
    message
}

fn sources(status: &Status) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    successors(status.source(), |error: &&(dyn StdError + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn everything_that_the_server_says_arrives() {
        let mut details = ErrorDetails::with_error_info(
            "RUN_NOT_FOUND",
            "interlock.dev",
            HashMap::from([("run_id".to_owned(), "r1".to_owned())]),
        );
        details.add_bad_request_violation("run_id", "is unknown");
        details.set_retry_info(Some(Duration::from_millis(1_500)));
        let status = Status::with_error_details(Code::NotFound, "no such run", details);

        let error = Error::from(status);

        assert!(matches!(error, Error::NotFound(_)));
        assert_eq!(error.reason(), "RUN_NOT_FOUND");
        assert_eq!(error.to_string(), "RUN_NOT_FOUND: no such run; run_id: is unknown");
        let failure = error.failure().unwrap();
        assert_eq!(failure.fact("run_id"), "r1");
        assert_eq!(failure.fact("no such fact"), "");
        assert_eq!(failure.field_violations[0].field, "run_id");
        assert_eq!(failure.retry_delay, Some(Duration::from_millis(1_500)));
    }

    #[test]
    fn who_was_faster_is_a_family_of_its_own() {
        let details = ErrorDetails::with_error_info(
            "REQUIREMENT_ALREADY_RESOLVED",
            "interlock.dev",
            HashMap::from([("resolved_by".to_owned(), "Ann".to_owned())]),
        );
        let status = Status::with_error_details(Code::FailedPrecondition, "too late", details);

        let Error::AlreadyResolved(failure) = Error::from(status) else {
            panic!("another family");
        };

        assert_eq!(failure.fact("resolved_by"), "Ann");
    }

    #[test]
    fn details_that_cannot_be_read_hide_nothing_else() {
        let status = Status::with_details(Code::Internal, "broken", b"\xff\xff"[..].into());
        assert_eq!(Error::from(status).to_string(), "Internal: broken");
    }

    #[test]
    fn a_code_that_nobody_knows_is_an_error_as_well() {
        assert!(matches!(Error::from(Status::data_loss("gone")), Error::Other(_)));
    }

    #[test]
    fn a_lost_connection_is_unavailable() {
        let lost = std::io::Error::new(std::io::ErrorKind::BrokenPipe, "broken pipe");
        let Error::Unavailable(failure) = Error::from(Status::from_error(Box::new(lost))) else {
            panic!("another family");
        };
        assert_eq!(failure.message, "broken pipe");
    }
}
