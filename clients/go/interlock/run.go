package interlock

import (
	"slices"

	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

// Run is a run as it was when the server sent it. Decisions are made on the requirements in it,
// and sent by [Client.Continue].
type Run struct {
	// Message is the run as the server sent it.
	Message *interlockv1.Run
	// StepRequirements is what it waits for, one entry for each paused step.
	StepRequirements []*StepRequirement
}

func runFrom(message *interlockv1.Run) *Run {
	return &Run{Message: message, StepRequirements: mapped(message.GetStepRequirements(), stepRequirementFrom)}
}

// RunRef is a run of which only the id is known, for [Client.Continue] without decisions.
func RunRef(id string) *Run { return runFrom(&interlockv1.Run{RunId: id}) }

// ID is unique in the service.
func (r *Run) ID() string { return r.Message.GetRunId() }

// WorkflowID is the workflow that runs.
func (r *Run) WorkflowID() string { return r.Message.GetWorkflowId() }

// SessionID is the session that the run belongs to.
func (r *Run) SessionID() string { return r.Message.GetSessionId() }

// State says where it is in its life.
func (r *Run) State() RunState { return RunState(EnumName(r.Message.GetState())) }

// IsPaused says whether it waits for requirements to be resolved.
func (r *Run) IsPaused() bool { return r.State() == RunPaused }

// PauseKind says why it is paused; empty when it is not.
func (r *Run) PauseKind() PauseKind { return PauseKind(EnumName(r.Message.GetPauseKind())) }

// Input is what it was started with.
func (r *Run) Input() JSON { return JSON(r.Message.GetInputJson()) }

// Output is its result; there is none until it has completed.
func (r *Run) Output() JSON { return JSON(r.Message.GetOutputJson()) }

// Failure says why it failed; nil when it did not.
func (r *Run) Failure() *interlockv1.RunError { return r.Message.GetError() }

// StepResults are those of finished nodes, oldest first, containers included. Runs that were
// listed have none.
func (r *Run) StepResults() []*interlockv1.StepResult { return r.Message.GetStepResults() }

// LastSequence is the sequence of its newest event.
func (r *Run) LastSequence() int64 { return r.Message.GetLastSequence() }

// Requirements are those of all steps.
func (r *Run) Requirements() []*Requirement {
	var all []*Requirement
	for _, step := range r.StepRequirements {
		all = append(all, step.Requirements()...)
	}
	return all
}

// OpenRequirements are those on which nothing is decided.
func (r *Run) OpenRequirements() []*Requirement {
	return slices.DeleteFunc(r.Requirements(), func(one *Requirement) bool { return !one.IsOpen() })
}

// resolutions are the decisions that were made on its requirements, and nothing else of it.
func (r *Run) resolutions() []*interlockv1.RequirementResolution {
	var made []*interlockv1.RequirementResolution
	for _, one := range r.Requirements() {
		if one.decision.message != nil {
			made = append(made, one.decision.resolving(one.ID()))
		}
	}
	return made
}
