package interlock

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

const unknownEnum = 99

// verbs are all verbs, by the name of their answer.
var verbs = map[string]func(*Requirement) error{
	"confirm":         func(r *Requirement) error { return r.Confirm("fine") },
	"reject":          func(r *Requirement) error { return r.Reject("no") },
	"user_input":      func(r *Requirement) error { return r.ProvideUserInput(map[string]any{"to": "Ada"}) },
	"user_feedback":   func(r *Requirement) error { return r.ProvideUserFeedback(map[string][]string{"q": {"a"}}) },
	"external_result": func(r *Requirement) error { return r.SetResult([]int{1}) },
	"edited_output":   func(r *Requirement) error { return r.EditOutput("better") },
	"route_choice":    func(r *Requirement) error { return r.SelectRoutes("left", "right") },
	"retry":           func(r *Requirement) error { return r.Retry("shorter") },
	"skip":            func(r *Requirement) error { return r.Skip() },
	"fail":            func(r *Requirement) error { return r.Fail("broken") },
}

func pending(kind interlockv1.RequirementKind) *Requirement {
	return requirementFrom(&interlockv1.Requirement{
		RequirementId: "r", Kind: kind, State: interlockv1.RequirementState_REQUIREMENT_STATE_PENDING,
	})
}

func TestVerbsFitTheirKinds(t *testing.T) {
	for number := range interlockv1.RequirementKind_name {
		kind := interlockv1.RequirementKind(number)
		if number == 0 {
			kind = unknownEnum // A kind that is newer than this package takes any answer.
		}
		for answer, decide := range verbs {
			requirement := pending(kind)
			fits := kind == unknownEnum
			for _, one := range fitting[requirement.Kind()] {
				fits = fits || one == answer
			}
			err := decide(requirement)
			var refused *RefusedError
			if (err == nil) != fits || err != nil && !errors.As(err, &refused) {
				t.Errorf("%s on %s: %v", answer, requirement.Kind(), err)
			}
			if fits && (requirement.Answer() != answer || requirement.IsOpen()) {
				t.Errorf("%s on %s was noted as %q", answer, requirement.Kind(), requirement.Answer())
			}
		}
		if number != 0 && len(fitting[pending(kind).Kind()]) < 2 {
			t.Errorf("%s takes nothing", kind)
		}
	}
}

func TestADecisionIsNotedOnce(t *testing.T) {
	requirement := pending(interlockv1.RequirementKind_REQUIREMENT_KIND_CONFIRMATION)
	if err := requirement.Confirm("fine"); err != nil {
		t.Fatal(err)
	}
	var refused *RefusedError
	if err := requirement.Reject("no"); !errors.As(err, &refused) || refused.Answer != "reject" {
		t.Errorf("got %v", err)
	}
	if requirement.Answer() != "confirm" {
		t.Errorf("it is now %q", requirement.Answer())
	}
	requirement = pending(interlockv1.RequirementKind_REQUIREMENT_KIND_CONFIRMATION)
	requirement.Message.State = interlockv1.RequirementState_REQUIREMENT_STATE_EXPIRED
	if err := requirement.Confirm(""); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
}

func TestWhatCannotBeSentIsRefused(t *testing.T) {
	var refused *RefusedError
	if err := pending(interlockv1.RequirementKind_REQUIREMENT_KIND_EXTERNAL_EXECUTION).
		SetResult(make(chan int)); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
	if err := pending(interlockv1.RequirementKind_REQUIREMENT_KIND_STEP_CONFIRMATION).
		RejectWith("no", "EXPLODE"); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
	if err := pending(interlockv1.RequirementKind_REQUIREMENT_KIND_CONFIRMATION).
		Decide(Decision{}); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
}

func TestDecisionsAreWhatTheContractSays(t *testing.T) {
	for _, one := range []struct {
		decision Decision
		want     *interlockv1.RequirementResolution
	}{
		{ConfirmWithArgs("fine", map[string]any{"n": JSON("9007199254740993")}),
			&interlockv1.RequirementResolution{Resolution: &interlockv1.RequirementResolution_Confirm{
				Confirm: &interlockv1.Confirmation{Note: "fine", EditedArgsJson: `{"n":9007199254740993}`},
			}}},
		{RejectWith("no", RejectCancels),
			&interlockv1.RequirementResolution{Resolution: &interlockv1.RequirementResolution_Reject{
				Reject: &interlockv1.Rejection{Note: "no", OnReject: interlockv1.OnReject_ON_REJECT_CANCEL},
			}}},
		{RejectWith("no", "99"), // As a newer server offered it.
			&interlockv1.RequirementResolution{Resolution: &interlockv1.RequirementResolution_Reject{
				Reject: &interlockv1.Rejection{Note: "no", OnReject: unknownEnum},
			}}},
		{ExternalResult(nil),
			&interlockv1.RequirementResolution{Resolution: &interlockv1.RequirementResolution_ExternalResult{
				ExternalResult: &interlockv1.ExternalResult{
					Outcome: &interlockv1.ExternalResult_ResultJson{ResultJson: "null"},
				},
			}}},
		{UserFeedback(map[string][]string{"b": {"x"}, "a": {"y", "z"}}),
			&interlockv1.RequirementResolution{Resolution: &interlockv1.RequirementResolution_UserFeedback{
				UserFeedback: &interlockv1.UserFeedback{Answers: []*interlockv1.FeedbackAnswer{
					{QuestionId: "a", SelectedOptions: []string{"y", "z"}},
					{QuestionId: "b", SelectedOptions: []string{"x"}},
				}},
			}}},
	} {
		one.want.RequirementId = "r"
		if got := one.decision.resolving("r"); !proto.Equal(got, one.want) {
			t.Errorf("got %v, want %v", got, one.want)
		}
	}
}

func TestQuestionsAreAnsweredByTheirText(t *testing.T) {
	requirement := pending(interlockv1.RequirementKind_REQUIREMENT_KIND_USER_FEEDBACK)
	requirement.Message.FeedbackQuestions = []*interlockv1.FeedbackQuestion{
		{QuestionId: "q1", Question: "Which one?"},
	}
	if err := requirement.ProvideUserFeedback(map[string][]string{"Which one?": {"this"}}); err != nil {
		t.Fatal(err)
	}
	answer := requirement.decision.resolving("r").GetUserFeedback().GetAnswers()[0]
	if answer.GetQuestionId() != "q1" {
		t.Errorf("got %v", answer)
	}
}

func TestNewerValuesOfEnumsAreTheirNumbers(t *testing.T) {
	run := runFrom(&interlockv1.Run{State: unknownEnum, PauseKind: unknownEnum})
	if run.State() != "99" || run.PauseKind() != "99" || run.IsPaused() {
		t.Errorf("got %q, %q", run.State(), run.PauseKind())
	}
	if kind := pending(unknownEnum).Kind(); kind != "99" {
		t.Errorf("got %q", kind)
	}
	filter := must[*interlockv1.RequirementFilter](t)(RequirementFilter{
		Kinds: []RequirementKind{KindInDoubt, "99"}, States: []RequirementState{"pending"},
	}.message())
	if filter.GetKinds()[1] != unknownEnum || filter.GetStates()[0] != 1 {
		t.Errorf("got %v", filter)
	}
	if _, err := (RunFilter{States: []RunState{"DREAMING"}}).message(); err == nil {
		t.Error("a state that does not exist was taken")
	}
}
