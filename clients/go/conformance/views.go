package main

import (
	"iter"
	"slices"

	"google.golang.org/genproto/googleapis/rpc/code"

	"github.com/interlock-dev/interlock/clients/go/interlock"
	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

// view is what the shell gives, as the suite writes it down.
type view map[string]any

func runView(run *interlock.Run) view {
	steps := []view{}
	for _, one := range run.StepRequirements {
		steps = append(steps, view{
			"step":         one.StepName(),
			"path":         list(one.StepPath()),
			"executor":     one.ExecutorName(),
			"requirements": views(one.Requirements(), requirementView),
		})
	}
	return view{
		"run_id":            run.ID(),
		"workflow_id":       run.WorkflowID(),
		"session_id":        run.SessionID(),
		"state":             run.State(),
		"pause_kind":        run.PauseKind(),
		"is_paused":         run.IsPaused(),
		"output":            text(run.Output()),
		"error":             failureView(run.Failure()),
		"last_sequence":     run.LastSequence(),
		"labels":            labels(run.Message.GetLabels()),
		"step_results":      views(run.StepResults(), resultView),
		"step_requirements": steps,
	}
}

func failureView(failure *interlockv1.RunError) any {
	if failure == nil {
		return nil
	}
	return view{"reason": failure.GetReason(), "message": failure.GetMessage()}
}

func resultView(result *interlockv1.StepResult) view {
	return view{
		"name":    result.GetStep().GetName(),
		"path":    list(result.GetStep().GetPath()),
		"outcome": interlock.EnumName(result.GetOutcome()),
		"output":  text(interlock.JSON(result.GetOutputJson())),
	}
}

func requirementView(requirement *interlock.Requirement) view {
	message := requirement.Message
	shown := view{
		"requirement_id": requirement.ID(),
		"run_id":         requirement.RunID(),
		"kind":           requirement.Kind(),
		"state":          requirement.State(),
		"step":           requirement.StepName(),
		"path":           list(requirement.StepPath()),
		"executor":       requirement.ExecutorName(),
		"member_path":    list(message.GetMemberPath()),
		"message":        requirement.Prompt(),
		"tool_name":      requirement.ToolName(),
		"args":           text(requirement.Args()),
		"fields":         views(requirement.Fields(), fieldView),
		"questions":      views(requirement.Questions(), questionView),
		"routes":         nil,
		"content":        text(requirement.Content()),
		"on_timeout":     interlock.EnumName(message.GetOnTimeout()),
		"expires":        message.GetExpireTime() != nil,
		"attempt":        message.GetAttempt(),
		"can_edit_args":  requirement.CanEditArgs(),
		"claim":          nil,
		"resolution":     nil,
		"resolved_by":    message.GetResolvedBy(),
	}
	if routes := requirement.Routes(); routes != nil {
		shown["routes"] = view{
			"available":      list(routes.GetAvailableRoutes()),
			"proposed":       list(routes.GetProposedRoutes()),
			"allow_multiple": routes.GetAllowMultiple(),
		}
	}
	if claim := message.GetClaim(); claim != nil {
		shown["claim"] = view{"worker_id": claim.GetWorkerId(), "epoch": claim.GetEpoch()}
	}
	if answer := requirement.Answer(); answer != "" {
		shown["resolution"] = answer
	}
	return shown
}

func fieldView(field interlock.Field) view {
	shown := view{
		"name": field.Name, "type": field.Type, "required": field.Required, "value": nil,
		"allowed": []any{},
	}
	if field.Value.Value() != nil {
		shown["value"] = text(field.Value)
	}
	for _, one := range field.Allowed {
		shown["allowed"] = append(shown["allowed"].([]any), text(one))
	}
	return shown
}

func questionView(question *interlockv1.FeedbackQuestion) view {
	options := []string{}
	for _, one := range question.GetOptions() {
		options = append(options, one.GetLabel())
	}
	return view{
		"question_id":  question.GetQuestionId(),
		"question":     question.GetQuestion(),
		"multi_select": question.GetMultiSelect(),
		"options":      options,
	}
}

func eventView(event *interlock.Event) view {
	return view{
		"kind":     event.Kind(),
		"sequence": event.Sequence(),
		"step":     event.StepName(),
		"path":     list(event.StepPath()),
		"text":     event.Text(),
	}
}

func workflowView(workflow *interlockv1.Workflow) string { return workflow.GetWorkflowId() }

func errorView(failure *interlock.Error) view {
	fields := map[string]string{}
	for _, one := range failure.FieldViolations {
		fields[one.Field] = one.Description
	}
	return view{
		"code":     code.Code(failure.Code).String(),
		"reason":   failure.Reason,
		"message":  failure.Message,
		"metadata": labels(failure.Metadata),
		"fields":   fields,
	}
}

// text is the JSON text of a value as the shell gives it.
func text(json interlock.JSON) any {
	if json == "" {
		return nil
	}
	encoded, err := interlock.EncodeJSON(json.Value())
	if err != nil {
		panic(err)
	}
	return string(encoded)
}

// views are never null, like every list of the suite.
func views[T any](items []T, show func(T) view) []view {
	shown := []view{}
	for _, one := range items {
		shown = append(shown, show(one))
	}
	return shown
}

func list(names []string) []string { return append([]string{}, names...) }

func labels(pairs map[string]string) map[string]string {
	if pairs == nil {
		return map[string]string{}
	}
	return pairs
}

// collected reads a list to its end.
func collected[T, V any](found iter.Seq2[T, error], show func(T) V) ([]V, error) {
	shown := []V{}
	for one, err := range found {
		if err != nil {
			return nil, err
		}
		shown = append(shown, show(one))
	}
	return slices.Clip(shown), nil
}
