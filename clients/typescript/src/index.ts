// Users without this in their `lib` can read the types all the same.
/// <reference lib="esnext.disposable" preserve="true" />

/**
 * Interlock for Node: runs agent workflows that pause for people, and answers what they wait for.
 *
 * @module
 */

export {
  Client,
  type ClientOptions,
  type RequirementFilter,
  type RunFilter,
  type WatchOptions,
} from "./client.js";
export type { Services, TlsOptions } from "./connection.js";
export {
  type ConfirmOptions,
  Decision,
  type DecisionKind,
  type RejectAction,
  type RejectOptions,
} from "./decision.js";
export {
  AlreadyExistsError,
  AlreadyResolvedError,
  CancelledError,
  ClientClosedError,
  ConflictError,
  DeadlineExceededError,
  DecisionError,
  FailedPreconditionError,
  type FieldViolation,
  InterlockError,
  InternalError,
  InvalidArgumentError,
  NotFoundError,
  OutOfRangeError,
  PermissionDeniedError,
  ResourceExhaustedError,
  type StatusCode,
  UnauthenticatedError,
  UnavailableError,
  UnimplementedError,
} from "./errors.js";
export type { EventKind, EventRecord, RunEvent } from "./event.js";
export { type JsonObject, type JsonValue, parseJson, stringifyJson } from "./json.js";
export type { Name } from "./names.js";
export type {
  Requirement,
  RequirementKind,
  RequirementState,
  Resolved,
  StepRequirement,
  UserInputField,
} from "./requirement.js";
export type { Run, RunError, RunRef, RunState, StepResult } from "./run.js";
export type { CallOptions, WaitOptions } from "./runs.js";
export type { Session } from "./session.js";
export type { Stream } from "./stream.js";
export type { ToolExecution } from "./tool.js";
export {
  type CallOutcome,
  type ToolCall,
  type ToolHandler,
  Worker,
  type WorkerOptions,
} from "./worker.js";
export type { RunOptions, RunStreamOptions, WorkflowHandle } from "./workflow.js";
