package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/interlock-dev/interlock/clients/go/interlock"
)

// request is a line of the suite: an operation, and the parameters of all operations.
type request struct {
	ID json.Number `json:"id"`
	Op string      `json:"op"`

	Target       string   `json:"target"`
	Token        string   `json:"token"`
	CAFile       string   `json:"ca_file"`
	Timeout      *float64 `json:"timeout"`
	RetryTimeout *float64 `json:"retry_timeout"`

	Workflow    string               `json:"workflow"`
	Input       string               `json:"input"`
	SessionID   string               `json:"session_id"`
	Labels      map[string]string    `json:"labels"`
	RequestID   string               `json:"request_id"`
	WaitTimeout *float64             `json:"wait_timeout"`
	RunTimeout  *float64             `json:"run_timeout"`
	RunID       string               `json:"run_id"`
	Decisions   []decision           `json:"decisions"`
	Reason      string               `json:"reason"`
	States      []interlock.RunState `json:"states"`

	Stream        string   `json:"stream"`
	Of            string   `json:"of"`
	AfterSequence int64    `json:"after_sequence"`
	EndOnPause    bool     `json:"end_on_pause"`
	Count         *int     `json:"count"`
	Until         string   `json:"until"`
	Filter        criteria `json:"filter"`

	decision
	HoldRun bool `json:"hold_run"`

	Worker      string          `json:"worker"`
	Tools       map[string]tool `json:"tools"`
	Concurrency int             `json:"concurrency"`
	Lease       *float64        `json:"lease"`
	Outcome     string          `json:"outcome"`
	Value       string          `json:"value"`
}

// value is a value of a user from its text.
func value(text string) any { return interlock.JSON(text).Value() }

func (r *request) input() any { return value(r.Input) }

func (r *request) connectOptions() (*interlock.Options, error) {
	options := &interlock.Options{
		Token: r.Token, Timeout: seconds(r.Timeout), RetryTimeout: secondsOrNone(r.RetryTimeout),
	}
	if r.CAFile == "" {
		return options, nil
	}
	pem, err := os.ReadFile(r.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", r.CAFile)
	}
	options.TLS = &tls.Config{RootCAs: roots}
	return options, nil
}

func (r *request) runOptions() *interlock.RunOptions {
	return &interlock.RunOptions{
		SessionID:   r.SessionID,
		Labels:      r.Labels,
		RequestID:   r.RequestID,
		RunTimeout:  seconds(r.RunTimeout),
		WaitTimeout: secondsOrNone(r.WaitTimeout),
	}
}

func (r *request) waitOptions() *interlock.WaitOptions {
	return &interlock.WaitOptions{WaitTimeout: secondsOrNone(r.WaitTimeout)}
}

func (r *request) watchOptions() *interlock.WatchOptions {
	return &interlock.WatchOptions{AfterSequence: r.AfterSequence, EndOnPause: r.EndOnPause}
}

func (r *request) runFilter() *interlock.RunFilter {
	return &interlock.RunFilter{
		WorkflowID: r.Workflow, SessionID: r.SessionID, States: r.States, Labels: r.Labels,
	}
}

// criteria select requirements.
type criteria struct {
	RunID      string                       `json:"run_id"`
	WorkflowID string                       `json:"workflow_id"`
	SessionID  string                       `json:"session_id"`
	States     []interlock.RequirementState `json:"states"`
	Kinds      []interlock.RequirementKind  `json:"kinds"`
	ToolNames  []string                     `json:"tool_names"`
}

func (c criteria) filter() *interlock.RequirementFilter {
	filter := interlock.RequirementFilter(c)
	return &filter
}

// decision is an answer to a requirement: a verb, and what the verbs take.
type decision struct {
	RequirementID string              `json:"requirement_id"`
	Verb          string              `json:"verb"`
	Note          string              `json:"note"`
	EditedArgs    string              `json:"edited_args"`
	OnReject      interlock.OnReject  `json:"on_reject"`
	Values        string              `json:"values"`
	Result        string              `json:"result"`
	Message       string              `json:"message"`
	Answers       map[string][]string `json:"answers"`
	Output        string              `json:"output"`
	Routes        []string            `json:"routes"`
	Feedback      string              `json:"feedback"`
}

// decide makes the decision with the verb of a requirement.
func (d decision) decide(requirement *interlock.Requirement) error {
	switch d.Verb {
	case "confirm":
		if d.EditedArgs != "" {
			return requirement.ConfirmWithArgs(d.Note, value(d.EditedArgs))
		}
		return requirement.Confirm(d.Note)
	case "reject":
		return requirement.RejectWith(d.Note, d.OnReject)
	case "user_input":
		return requirement.ProvideUserInput(value(d.Values))
	case "result":
		return requirement.SetResult(value(d.Result))
	case "error":
		return requirement.SetError(d.Message)
	case "feedback":
		return requirement.ProvideUserFeedback(d.Answers)
	case "edit":
		return requirement.EditOutput(value(d.Output))
	case "select":
		return requirement.SelectRoutes(d.Routes...)
	case "retry":
		return requirement.Retry(d.Feedback)
	case "skip":
		return requirement.Skip()
	case "fail":
		return requirement.Fail(d.Message)
	}
	return fmt.Errorf("there is no verb %q", d.Verb)
}

// decision is the decision for who has only the requirement's id.
func (d decision) decision() interlock.Decision {
	switch d.Verb {
	case "confirm":
		if d.EditedArgs != "" {
			return interlock.ConfirmWithArgs(d.Note, value(d.EditedArgs))
		}
		return interlock.Confirm(d.Note)
	case "reject":
		return interlock.RejectWith(d.Note, d.OnReject)
	case "user_input":
		return interlock.UserInput(value(d.Values))
	case "result":
		return interlock.ExternalResult(value(d.Result))
	case "error":
		return interlock.ExternalError(d.Message)
	case "feedback":
		return interlock.UserFeedback(d.Answers)
	case "edit":
		return interlock.EditOutput(value(d.Output))
	case "select":
		return interlock.SelectRoutes(d.Routes...)
	case "retry":
		return interlock.Retry(d.Feedback)
	case "skip":
		return interlock.Skip()
	case "fail":
		return interlock.Fail(d.Message)
	}
	return interlock.Decision{}
}

// tool says what a worker does when a tool is called.
type tool struct {
	Do      string `json:"do"`
	Value   string `json:"value"`
	Message string `json:"message"`
}

// seconds is a duration; an absent one is 0.
func seconds(number *float64) time.Duration {
	if number == nil {
		return 0
	}
	return time.Duration(*number * float64(time.Second))
}

// secondsOrNone is a duration where the shell takes 0 for an absent one, and less for 0.
func secondsOrNone(number *float64) time.Duration {
	if number != nil && *number == 0 {
		return interlock.NoWait
	}
	return seconds(number)
}
