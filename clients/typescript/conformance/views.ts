import {
  type InterlockError,
  type JsonValue,
  type Requirement,
  type Run,
  type RunEvent,
  type StepResult,
  stringifyJson,
  type UserInputField,
} from "@interlock-dev/interlock";

/** What the shell gives, as the suite writes it down. */
type View = Record<string, unknown>;

export function runView(run: Run): View {
  return {
    run_id: run.id,
    workflow_id: run.workflowId,
    session_id: run.sessionId,
    state: run.state,
    pause_kind: run.pauseKind,
    is_paused: run.isPaused,
    output: text(run.output),
    error: run.error ? { reason: run.error.reason, message: run.error.message } : null,
    last_sequence: run.lastSequence,
    labels: run.labels,
    step_results: run.stepResults.map(resultView),
    step_requirements: run.stepRequirements.map((one) => ({
      step: one.stepName,
      path: one.stepPath,
      executor: one.executorName,
      requirements: one.requirements.map(requirementView),
    })),
  };
}

export function requirementView(requirement: Requirement): View {
  const { claim } = requirement.message;
  const { routeSelection } = requirement;
  return {
    requirement_id: requirement.id,
    run_id: requirement.runId,
    kind: requirement.kind,
    state: requirement.state,
    step: requirement.stepName,
    path: requirement.stepPath,
    executor: requirement.executorName,
    member_path: requirement.memberPath,
    message: requirement.prompt,
    tool_name: requirement.toolName,
    args: requirement.toolExecution ? stringifyJson(requirement.toolArgs) : null,
    fields: requirement.userInputFields.map(fieldView),
    questions: requirement.feedbackQuestions.map((one) => ({
      question_id: one.questionId,
      question: one.question,
      multi_select: one.multiSelect,
      options: one.options.map((option) => option.label),
    })),
    routes: routeSelection
      ? {
          available: routeSelection.availableRoutes,
          proposed: routeSelection.proposedRoutes,
          allow_multiple: routeSelection.allowMultiple,
        }
      : null,
    content: text(requirement.content),
    on_timeout: requirement.onTimeout,
    expires: requirement.expiresAt !== undefined,
    attempt: requirement.attempt,
    can_edit_args: requirement.canEditArgs,
    claim: claim ? { worker_id: claim.workerId, epoch: Number(claim.epoch) } : null,
    resolution: requirement.resolution ?? null,
    resolved_by: requirement.resolvedBy,
  };
}

export function eventView(event: RunEvent): View {
  return {
    kind: event.kind,
    sequence: event.sequence,
    step: event.stepName,
    path: event.stepPath,
    text: event.kind === "content_delta" ? event.payload.text : "",
  };
}

export function errorView(error: InterlockError): View {
  return {
    code: error.code,
    reason: error.reason,
    message: error.message,
    metadata: error.metadata,
    fields: Object.fromEntries(error.fieldViolations.map((one) => [one.field, one.description])),
  };
}

function resultView(result: StepResult): View {
  return {
    name: result.stepName,
    path: result.stepPath,
    outcome: result.outcome,
    output: text(result.output),
  };
}

function fieldView(field: UserInputField): View {
  return {
    name: field.name,
    type: field.type,
    required: field.required,
    value: text(field.value),
    allowed: field.allowedValues.map(stringifyJson),
  };
}

function text(value: JsonValue | undefined): string | null {
  return value === undefined ? null : stringifyJson(value);
}
