package interlock

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

// fitting says which answers fit which kind. A kind that is newer than this package takes any.
var fitting = map[RequirementKind][]string{
	KindConfirmation:      {"confirm", "reject"},
	KindUserInput:         {"user_input", "reject"},
	KindExternalExecution: {"external_result", "reject"},
	KindUserFeedback:      {"user_feedback", "user_input", "reject"},
	KindStepConfirmation:  {"confirm", "reject"},
	KindStepInput:         {"user_input", "reject"},
	KindOutputReview:      {"confirm", "reject", "edited_output", "retry"},
	KindRouteSelection:    {"route_choice", "reject"},
	KindIterationReview:   {"confirm", "reject", "retry"},
	KindErrorDecision:     {"retry", "skip", "fail", "edited_output", "reject"},
	KindInDoubt:           {"retry", "external_result", "fail", "reject"},
}

// RefusedError is an answer that cannot be sent: it does not fit its requirement, or it comes
// too late, or a value in it cannot be encoded. The server was not asked.
type RefusedError struct {
	// RequirementID is the requirement.
	RequirementID string
	// Answer is the name of the answer, for example "user_input"; empty when there is none.
	Answer string

	why   string
	cause error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("interlock: requirement %q %s", e.RequirementID, e.why)
}

// Unwrap gives what kept a value from being encoded; nil when that is not the reason.
func (e *RefusedError) Unwrap() error { return e.cause }

// Requirement is one thing that waits for a person or for an outside system.
//
// Its verbs, from Confirm to Fail, only note a decision on this object; [Client.Continue] and
// [Client.Resolve] send it. They fail with a [RefusedError] when the answer does not fit the
// kind, or when it is already resolved. It is not safe for concurrent use.
type Requirement struct {
	// Message is the requirement as the server sent it.
	Message *interlockv1.Requirement

	decision Decision
}

// ID is unique in the service.
func (r *Requirement) ID() string { return r.Message.GetRequirementId() }

// RunID is the run that waits.
func (r *Requirement) RunID() string { return r.Message.GetRunId() }

// Kind says what is needed to resolve it.
func (r *Requirement) Kind() RequirementKind {
	return RequirementKind(EnumName(r.Message.GetKind()))
}

// State says whether it still waited when the server sent it.
func (r *Requirement) State() RequirementState {
	return RequirementState(EnumName(r.Message.GetState()))
}

// StepName is the node that waits.
func (r *Requirement) StepName() string { return r.Message.GetStep().GetName() }

// StepPath has the names from the root down to that node; a loop is followed by the number of
// its iteration.
func (r *Requirement) StepPath() []string { return r.Message.GetStep().GetPath() }

// ExecutorName is the display name of the step's executor.
func (r *Requirement) ExecutorName() string { return r.Message.GetExecutorName() }

// Prompt is the text to show to the person; empty means none.
func (r *Requirement) Prompt() string { return r.Message.GetMessage() }

// ToolName is the tool to be called; empty when it is not about a tool call.
func (r *Requirement) ToolName() string { return r.Message.GetToolExecution().GetToolName() }

// Args are the arguments of the tool call: a JSON object, exactly as the tool gets it.
func (r *Requirement) Args() JSON { return JSON(r.Message.GetToolExecution().GetToolArgsJson()) }

// CanEditArgs says whether a confirmation may come with other arguments.
func (r *Requirement) CanEditArgs() bool { return r.Message.GetCanEditArgs() }

// Content is what a step was given or, under review, what it gave.
func (r *Requirement) Content() JSON { return JSON(r.Message.GetStepGate().GetContentJson()) }

// Fields are the values to fill in. What the agent fixed is not among them.
func (r *Requirement) Fields() []Field {
	var fields []Field
	for _, message := range r.Message.GetUserInputSchema() {
		if !message.GetReadOnly() {
			fields = append(fields, fieldFrom(message))
		}
	}
	return fields
}

// Questions are what an agent asks.
func (r *Requirement) Questions() []*interlockv1.FeedbackQuestion {
	return r.Message.GetFeedbackQuestions()
}

// Routes is the choice between routes; nil when it is not about one.
func (r *Requirement) Routes() *interlockv1.RouteSelection { return r.Message.GetRouteSelection() }

// Answer is the name of the answer that was given, here or on the server, for example
// "user_input"; empty while there is none.
func (r *Requirement) Answer() string {
	if answer := r.decision.Answer(); answer != "" {
		return answer
	}
	return oneofName(r.Message.GetResolution(), "resolution")
}

// IsOpen says whether nothing is decided, here or on the server.
func (r *Requirement) IsOpen() bool {
	return r.State() == RequirementPending && r.decision.message == nil
}

// Confirm notes a yes; see the function [Confirm].
func (r *Requirement) Confirm(note string) error { return r.Decide(Confirm(note)) }

// ConfirmWithArgs notes a yes with other arguments; see the function [ConfirmWithArgs].
func (r *Requirement) ConfirmWithArgs(note string, args any) error {
	return r.Decide(ConfirmWithArgs(note, args))
}

// Reject notes a no, which fits every kind; see the function [Reject].
func (r *Requirement) Reject(note string) error { return r.Decide(Reject(note)) }

// RejectWith notes a no and what follows; see the function [RejectWith].
func (r *Requirement) RejectWith(note string, onReject OnReject) error {
	return r.Decide(RejectWith(note, onReject))
}

// ProvideUserInput notes values by field name; see the function [UserInput].
func (r *Requirement) ProvideUserInput(values any) error { return r.Decide(UserInput(values)) }

// ProvideUserFeedback notes the labels that were chosen, by the question's id or its text.
func (r *Requirement) ProvideUserFeedback(answers map[string][]string) error {
	byID := make(map[string][]string, len(answers))
	for question, labels := range answers {
		for _, one := range r.Questions() {
			if one.GetQuestion() == question {
				question = one.GetQuestionId()
				break
			}
		}
		byID[question] = labels
	}
	return r.Decide(UserFeedback(byID))
}

// SetResult notes what a tool that ran elsewhere gave back: any JSON value.
func (r *Requirement) SetResult(result any) error { return r.Decide(ExternalResult(result)) }

// SetError notes why a tool that ran elsewhere failed; the agent is told.
func (r *Requirement) SetError(message string) error { return r.Decide(ExternalError(message)) }

// EditOutput notes another output; see the function [EditOutput].
func (r *Requirement) EditOutput(output any) error { return r.Decide(EditOutput(output)) }

// SelectRoutes notes routes, in the order in which they shall run.
func (r *Requirement) SelectRoutes(routes ...string) error {
	return r.Decide(SelectRoutes(routes...))
}

// Retry notes that it shall run again; see the function [Retry].
func (r *Requirement) Retry(feedback string) error { return r.Decide(Retry(feedback)) }

// Skip notes that a failed step is passed over.
func (r *Requirement) Skip() error { return r.Decide(Skip()) }

// Fail notes that it shall fail; see the function [Fail].
func (r *Requirement) Fail(message string) error { return r.Decide(Fail(message)) }

// Decide notes any decision; the other verbs are short for it.
func (r *Requirement) Decide(decision Decision) error {
	refuse := func(why string) error {
		return &RefusedError{r.ID(), decision.Answer(), why, nil}
	}
	if err := decision.check(r.ID()); err != nil {
		return err
	}
	fits, known := fitting[r.Kind()]
	switch {
	case known && !slices.Contains(fits, decision.Answer()):
		return refuse(fmt.Sprintf("is of kind %s: it takes %s, not %s",
			r.Kind(), strings.Join(fits, ", "), decision.Answer()))
	case r.decision.message != nil:
		return refuse("is already decided: " + r.decision.Answer())
	case r.State() != RequirementPending:
		return refuse(fmt.Sprintf("waits no longer: %s", r.State()))
	}
	r.decision = decision
	return nil
}

// StepRequirement is everything that one paused step waits for.
type StepRequirement struct {
	// Message is the step requirement as the server sent it.
	Message *interlockv1.StepRequirement
	// Executor has one entry for each tool call that waits, in call order.
	Executor []*Requirement
	// Step is what the step itself waits for: its gate, its input, its review, its route, or a
	// decision about its failure.
	Step []*Requirement
}

// StepName is the node that waits.
func (s *StepRequirement) StepName() string { return s.Message.GetStep().GetName() }

// StepPath has the names from the root down to that node.
func (s *StepRequirement) StepPath() []string { return s.Message.GetStep().GetPath() }

// ExecutorName is the display name of the executor that paused; empty when the step itself
// waits.
func (s *StepRequirement) ExecutorName() string { return s.Message.GetExecutorName() }

// Requirements are all of the step, those of its executor first.
func (s *StepRequirement) Requirements() []*Requirement { return slices.Concat(s.Executor, s.Step) }

// Field is one value that a person must supply.
type Field struct {
	// Name is that of the value; for a tool, of the argument.
	Name string
	// Type is "STRING", "INTEGER", "NUMBER", "BOOLEAN", "ARRAY" or "OBJECT"; empty means any.
	Type string
	// Description is the text to show to the person.
	Description string
	// Required says whether a value must be given.
	Required bool
	// Value is what the agent proposed, if it did.
	Value JSON
	// Allowed are the values to choose from; none means any of the type.
	Allowed []JSON
}

func fieldFrom(message *interlockv1.UserInputField) Field {
	return Field{
		Name:        message.GetName(),
		Type:        EnumName(message.GetType()),
		Description: message.GetDescription(),
		Required:    message.GetRequired(),
		Value:       JSON(message.GetValueJson()),
		Allowed:     mapped(message.GetAllowedValuesJson(), func(text string) JSON { return JSON(text) }),
	}
}

func requirementFrom(message *interlockv1.Requirement) *Requirement {
	return &Requirement{Message: message}
}

func stepRequirementFrom(message *interlockv1.StepRequirement) *StepRequirement {
	return &StepRequirement{
		Message:  message,
		Executor: mapped(message.GetExecutorRequirements(), requirementFrom),
		Step:     mapped(message.GetStepRequirements(), requirementFrom),
	}
}

// oneofName is the name of the field that is set in a oneof; empty when none is, or one that is
// newer than this package.
func oneofName(message proto.Message, oneof protoreflect.Name) string {
	reflected := message.ProtoReflect()
	field := reflected.WhichOneof(reflected.Descriptor().Oneofs().ByName(oneof))
	if field == nil {
		return ""
	}
	return string(field.Name())
}

func mapped[From, To any](from []From, convert func(From) To) []To {
	to := make([]To, 0, len(from))
	for _, one := range from {
		to = append(to, convert(one))
	}
	return to
}
