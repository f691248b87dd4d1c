package interlock

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"

	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

// Decision is an answer that is not yet tied to a requirement, see [Client.ResolveByID]. The
// methods of a [Requirement] make one and check that it fits.
type Decision struct {
	message *interlockv1.RequirementResolution
	err     error // Why it cannot be sent: a value in it cannot be encoded.
}

// Confirm lets the tool, the step or the output pass. The note is recorded; it may be empty.
func Confirm(note string) Decision {
	return confirming(&interlockv1.Confirmation{Note: note}, nil)
}

// ConfirmWithArgs lets a tool pass with other arguments, which encode as a JSON object.
func ConfirmWithArgs(note string, args any) Decision {
	text, err := EncodeJSON(args)
	return confirming(&interlockv1.Confirmation{Note: note, EditedArgsJson: string(text)}, err)
}

func confirming(confirmation *interlockv1.Confirmation, err error) Decision {
	return Decision{&interlockv1.RequirementResolution{
		Resolution: &interlockv1.RequirementResolution_Confirm{Confirm: confirmation},
	}, err}
}

// Reject keeps the tool or the step from running, or refuses the output. The agent is told the
// note; it may be empty.
func Reject(note string) Decision { return RejectWith(note, "") }

// RejectWith rejects, and says what follows, where the requirement leaves a choice.
func RejectWith(note string, onReject OnReject) Decision {
	var number interlockv1.OnReject
	var err error
	if onReject != "" {
		number, err = enumNumber[interlockv1.OnReject](string(onReject))
	}
	return Decision{&interlockv1.RequirementResolution{
		Resolution: &interlockv1.RequirementResolution_Reject{
			Reject: &interlockv1.Rejection{Note: note, OnReject: number},
		},
	}, err}
}

// UserInput supplies values by field name: a map, or whatever encodes as a JSON object. A field
// that is left out keeps its value or default.
func UserInput(values any) Decision {
	text, err := EncodeJSON(values)
	return Decision{&interlockv1.RequirementResolution{
		Resolution: &interlockv1.RequirementResolution_UserInput{
			UserInput: &interlockv1.UserInput{ValuesJson: string(text)},
		},
	}, err}
}

// UserFeedback answers questions: the labels that were chosen, by the question's id.
func UserFeedback(answers map[string][]string) Decision {
	feedback := &interlockv1.UserFeedback{}
	for id, labels := range answers {
		feedback.Answers = append(feedback.Answers,
			&interlockv1.FeedbackAnswer{QuestionId: id, SelectedOptions: labels})
	}
	slices.SortFunc(feedback.Answers, func(a, b *interlockv1.FeedbackAnswer) int {
		return cmp.Compare(a.GetQuestionId(), b.GetQuestionId())
	})
	return Decision{&interlockv1.RequirementResolution{
		Resolution: &interlockv1.RequirementResolution_UserFeedback{UserFeedback: feedback},
	}, nil}
}

// ExternalResult supplies what a tool that ran elsewhere gave back: any JSON value.
func ExternalResult(result any) Decision {
	text, err := EncodeJSON(result)
	return Decision{&interlockv1.RequirementResolution{
		Resolution: &interlockv1.RequirementResolution_ExternalResult{
			ExternalResult: &interlockv1.ExternalResult{
				Outcome: &interlockv1.ExternalResult_ResultJson{ResultJson: string(text)},
			},
		},
	}, err}
}

// ExternalError says why a tool that ran elsewhere failed; the agent is told.
func ExternalError(message string) Decision {
	return Decision{&interlockv1.RequirementResolution{
		Resolution: &interlockv1.RequirementResolution_ExternalResult{
			ExternalResult: &interlockv1.ExternalResult{
				Outcome: &interlockv1.ExternalResult_ErrorMessage{ErrorMessage: message},
			},
		},
	}, nil}
}

// EditOutput replaces the output under review, or supplies that of a failed step: any JSON
// value.
func EditOutput(output any) Decision {
	text, err := EncodeJSON(output)
	return Decision{&interlockv1.RequirementResolution{
		Resolution: &interlockv1.RequirementResolution_EditedOutput{
			EditedOutput: &interlockv1.EditedOutput{OutputJson: string(text)},
		},
	}, err}
}

// SelectRoutes chooses routes, in the order in which they shall run.
func SelectRoutes(routes ...string) Decision {
	return Decision{&interlockv1.RequirementResolution{
		Resolution: &interlockv1.RequirementResolution_RouteChoice{
			RouteChoice: &interlockv1.RouteChoice{Routes: routes},
		},
	}, nil}
}

// Retry runs it again. The feedback says what to do better; it may be empty.
func Retry(feedback string) Decision {
	return Decision{&interlockv1.RequirementResolution{
		Resolution: &interlockv1.RequirementResolution_Retry{
			Retry: &interlockv1.Retry{Feedback: feedback},
		},
	}, nil}
}

// Skip passes over a step that failed.
func Skip() Decision {
	return Decision{&interlockv1.RequirementResolution{
		Resolution: &interlockv1.RequirementResolution_Skip{Skip: &interlockv1.Skip{}},
	}, nil}
}

// Fail lets it fail. The message is recorded as the error; it may be empty.
func Fail(message string) Decision {
	return Decision{&interlockv1.RequirementResolution{
		Resolution: &interlockv1.RequirementResolution_Fail{
			Fail: &interlockv1.Fail{Message: message},
		},
	}, nil}
}

// Answer is the name of the answer in the contract's RequirementResolution, for example
// "user_input"; empty for the zero value.
func (d Decision) Answer() string { return oneofName(d.message, "resolution") }

// check says why it cannot be sent for a requirement, if so.
func (d Decision) check(requirementID string) error {
	switch {
	case d.err != nil:
		why := "was given what cannot be sent: " + d.err.Error()
		return &RefusedError{requirementID, d.Answer(), why, d.err}
	case d.message == nil:
		return &RefusedError{requirementID, "", "was given no answer", nil}
	}
	return nil
}

// resolving is the answer as it is sent for one requirement.
func (d Decision) resolving(requirementID string) *interlockv1.RequirementResolution {
	message := proto.CloneOf(d.message)
	message.RequirementId = requirementID
	return message
}
