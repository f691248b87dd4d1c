#![doc = include_str!("../README.md")]

mod backoff;
mod call;
mod catalog;
mod client;
mod cursor;
mod decision;
mod error;
mod event;
mod inbox;
mod items;
mod json;
mod methods;
mod names;
mod requirement;
mod run;
mod runs;
mod wire;
mod worker;

/// The contract: messages and clients that are generated from `proto/interlock/v1`.
///
/// Where this crate keeps something back, it is here. Fields of enums are numbers; the enums of this
/// crate, such as [`RunState`], are made from them, and keep those that are newer than this client.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    include!("generated/interlock.v1.rs");
}

/// Version of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub use call::{CallOutcome, ToolCall};
pub use client::{Client, ClientBuilder};
pub use decision::{Confirm, Decision, Reject};
pub use error::{Error, Failure, FieldViolation};
pub use event::Event;
pub use inbox::{RequirementFilter, Resolve, Resolved};
pub use items::Items;
pub use json::Json;
pub use names::*;
pub use requirement::{Requirement, StepRequirement};
pub use run::{Run, RunRef};
pub use runs::{ContinueRun, EventStream, RunFilter, StartRun, WatchRun, Workflow};
pub use tonic::Code;
pub use v1::run_event::Event as EventKind;
pub use worker::{HandlerError, Worker};
