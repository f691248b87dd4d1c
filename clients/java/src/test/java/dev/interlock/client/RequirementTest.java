package dev.interlock.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.interlock.v1.RequirementKind;
import dev.interlock.v1.RequirementState;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RequirementTest {
  private static final Map<String, Consumer<Requirement>> VERBS =
      Map.ofEntries(
          Map.entry("confirm", it -> it.confirm("fine", Map.of("euros", 1))),
          Map.entry("reject", it -> it.reject("no")),
          Map.entry("user_input", it -> it.provideUserInput(Map.of("to", "Ann"))),
          Map.entry("user_feedback", it -> it.provideUserFeedback(Map.of("q", List.of("a")))),
          Map.entry("external_result", it -> it.setResult(1)),
          Map.entry("edited_output", it -> it.editOutput("new")),
          Map.entry("route_choice", it -> it.selectRoutes("a", "b")),
          Map.entry("retry", it -> it.retry("better")),
          Map.entry("skip", Requirement::skip),
          Map.entry("fail", it -> it.fail("broken")));

  @ParameterizedTest
  @CsvSource({
    "CONFIRMATION,       confirm reject",
    "USER_INPUT,         user_input reject",
    "EXTERNAL_EXECUTION, external_result reject",
    "USER_FEEDBACK,      user_feedback user_input reject",
    "STEP_CONFIRMATION,  confirm reject",
    "STEP_INPUT,         user_input reject",
    "OUTPUT_REVIEW,      confirm reject edited_output retry",
    "ROUTE_SELECTION,    route_choice reject",
    "ITERATION_REVIEW,   confirm reject retry",
    "ERROR_DECISION,     retry skip fail edited_output reject",
    "IN_DOUBT,           retry external_result fail reject"
  })
  void takesWhatFitsItsKind(String kind, String fitting) {
    VERBS.forEach(
        (verb, decide) -> {
          Requirement requirement = pending(RequirementKind.valueOf("REQUIREMENT_KIND_" + kind));
          if (List.of(fitting.split(" ")).contains(verb)) {
            decide.accept(requirement);
            assertEquals(verb, requirement.decision().orElseThrow().toString());
          } else {
            assertThrows(
                IllegalArgumentException.class, () -> decide.accept(requirement), kind + verb);
            assertFalse(requirement.isResolved());
          }
        });
  }

  @Test
  void aNewerKindTakesAnything() {
    VERBS.forEach((verb, decide) -> decide.accept(ofKind(99)));
    assertEquals("99", ofKind(99).kind());
  }

  @Test
  void isDecidedOnce() {
    Requirement requirement = pending(RequirementKind.REQUIREMENT_KIND_CONFIRMATION);
    assertTrue(requirement.needsConfirmation());
    requirement.confirm();
    assertThrows(IllegalStateException.class, requirement::reject);
    assertEquals("confirm", requirement.decision().orElseThrow().toString());
    assertFalse(requirement.needsConfirmation());
  }

  @Test
  void isNotDecidedAfterTheServerHas() {
    Requirement requirement =
        new Requirement(
            dev.interlock.v1.Requirement.newBuilder()
                .setKind(RequirementKind.REQUIREMENT_KIND_CONFIRMATION)
                .setState(RequirementState.REQUIREMENT_STATE_EXPIRED)
                .build());
    assertThrows(IllegalStateException.class, requirement::confirm);
  }

  private static Requirement pending(RequirementKind kind) {
    return ofKind(kind.getNumber());
  }

  private static Requirement ofKind(int kind) {
    return new Requirement(
        dev.interlock.v1.Requirement.newBuilder()
            .setRequirementId("r")
            .setKindValue(kind)
            .setState(RequirementState.REQUIREMENT_STATE_PENDING)
            .build());
  }
}
