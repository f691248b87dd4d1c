import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { DecisionError } from "@interlock-dev/interlock";
import * as v1 from "@interlock-dev/interlock/v1";
import { Requirement } from "#dist/requirement.js";

const VERBS: Record<string, (one: Requirement) => void> = {
  confirm: (one) => one.confirm(),
  reject: (one) => one.reject(),
  user_input: (one) => one.provideUserInput({}),
  user_feedback: (one) => one.provideUserFeedback({}),
  external_result: (one) => one.setResult(1),
  edited_output: (one) => one.editOutput(1),
  route_choice: (one) => one.selectRoutes("left"),
  retry: (one) => one.retry(),
  skip: (one) => one.skip(),
  fail: (one) => one.fail(),
};

const FITTING: [v1.RequirementKind, string][] = [
  [v1.RequirementKind.CONFIRMATION, "confirm reject"],
  [v1.RequirementKind.USER_INPUT, "reject user_input"],
  [v1.RequirementKind.EXTERNAL_EXECUTION, "external_result reject"],
  [v1.RequirementKind.USER_FEEDBACK, "reject user_feedback user_input"],
  [v1.RequirementKind.STEP_CONFIRMATION, "confirm reject"],
  [v1.RequirementKind.STEP_INPUT, "reject user_input"],
  [v1.RequirementKind.OUTPUT_REVIEW, "confirm edited_output reject retry"],
  [v1.RequirementKind.ROUTE_SELECTION, "reject route_choice"],
  [v1.RequirementKind.ITERATION_REVIEW, "confirm reject retry"],
  [v1.RequirementKind.ERROR_DECISION, "edited_output fail reject retry skip"],
  [v1.RequirementKind.IN_DOUBT, "external_result fail reject retry"],
];

function pending(kind: v1.RequirementKind): Requirement {
  const state = v1.RequirementState.PENDING;
  return new Requirement(create(v1.RequirementSchema, { requirementId: "q", kind, state }));
}

/** The verbs that a requirement of a kind takes. */
function taken(kind: v1.RequirementKind): string[] {
  return Object.keys(VERBS)
    .filter((name) => {
      try {
        VERBS[name]?.(pending(kind));
        return true;
      } catch (error) {
        assert.ok(error instanceof DecisionError);
        return false;
      }
    })
    .sort();
}

for (const [kind, fitting] of FITTING) {
  test(`${v1.RequirementKind[kind]} takes ${fitting}`, () => {
    assert.deepEqual(taken(kind), fitting.split(" "));
  });
}

test("every kind of the contract is among them", () => {
  const kinds = Object.values(v1.RequirementKind).filter((one) => typeof one === "number" && one);
  assert.deepEqual(
    FITTING.map(([kind]) => kind),
    kinds,
  );
});

test("a kind that is newer takes any answer, and is named by its number", () => {
  assert.deepEqual(taken(77 as v1.RequirementKind), Object.keys(VERBS).sort());
  assert.equal(pending(77 as v1.RequirementKind).kind, "77");
});

test("a decision is noted once", () => {
  const one = pending(v1.RequirementKind.CONFIRMATION);
  assert.ok(one.needsConfirmation);
  one.confirm({ note: "fine" });
  assert.ok(one.isResolved && !one.needsConfirmation);
  assert.equal(one.resolution, "confirm");
  assert.throws(() => one.reject(), DecisionError);
  assert.deepEqual(one.decision?.resolving("q").resolution.case, "confirm");
});

test("what the server has resolved takes no answer", () => {
  const message = create(v1.RequirementSchema, {
    kind: v1.RequirementKind.CONFIRMATION,
    state: v1.RequirementState.EXPIRED,
  });
  assert.throws(() => new Requirement(message).confirm(), /EXPIRED/);
});

test("arguments and values keep large integers", () => {
  const message = create(v1.RequirementSchema, {
    kind: v1.RequirementKind.USER_INPUT,
    state: v1.RequirementState.PENDING,
    subject: { case: "toolExecution", value: { toolArgsJson: '{"n":9007199254740993}' } },
  });
  const one = new Requirement(message);
  assert.deepEqual(one.toolArgs, { n: 9007199254740993n });
  one.provideUserInput({ n: 2n ** 80n });
  const answer = one.decision?.resolving("q").resolution;
  assert.equal(
    answer?.case === "userInput" && answer.value.valuesJson,
    '{"n":1208925819614629174706176}',
  );
});
