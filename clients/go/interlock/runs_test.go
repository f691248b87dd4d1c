package interlock

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

func TestARunIsStartedOnceHoweverOftenItTakes(t *testing.T) {
	requests := make(chan *interlockv1.RunRequest, 9)
	server := &fake{run: func(request *interlockv1.RunRequest) (*interlockv1.Run, error) {
		if requests <- request; len(requests) < 3 {
			return nil, shutdown()
		}
		return &interlockv1.Run{State: interlockv1.RunState_RUN_STATE_COMPLETED}, nil
	}}
	client := serve(t, server, Options{})
	must[*Run](t)(client.Run(t.Context(), "Weather", map[string]any{"n": JSON("9007199254740993")}, nil))
	first, second, third := <-requests, <-requests, <-requests
	if first.GetRequestId() == "" || first.GetRequestId() != second.GetRequestId() ||
		first.GetRequestId() != third.GetRequestId() {
		t.Errorf("got %v, %v and %v", first, second, third)
	}
	if input := first.GetSpec().GetInputJson(); input != `{"n":9007199254740993}` {
		t.Errorf("the input was %s", input)
	}
}

func TestWaitsAreSlices(t *testing.T) {
	var waits atomic.Int32
	running := &interlockv1.Run{RunId: "run", State: interlockv1.RunState_RUN_STATE_RUNNING}
	server := &fake{
		run: func(request *interlockv1.RunRequest) (*interlockv1.Run, error) {
			if wait := request.GetWaitTimeout().AsDuration(); wait != waitSlice {
				t.Errorf("the first wait is %v", wait)
			}
			return running, nil
		},
		waitRun: func(request *interlockv1.WaitRunRequest) (*interlockv1.Run, error) {
			if request.GetRunId() != "run" || request.GetWaitTimeout().AsDuration() != waitSlice {
				t.Errorf("got %v", request)
			}
			if waits.Add(1) < 3 {
				return running, nil
			}
			// A state that is newer than this package: there is no point in waiting on.
			return &interlockv1.Run{State: unknownEnum}, nil
		},
	}
	client := serve(t, server, Options{})
	run := must[*Run](t)(client.Run(t.Context(), "Weather", nil, nil))
	if run.State() != "99" || waits.Load() != 3 {
		t.Errorf("got %s after %d waits", run.State(), waits.Load())
	}
}

func TestNoWaitIsOneCall(t *testing.T) {
	server := &fake{run: func(request *interlockv1.RunRequest) (*interlockv1.Run, error) {
		if request.GetWaitTimeout() == nil || request.GetWaitTimeout().AsDuration() != 0 {
			t.Errorf("got %v", request)
		}
		return &interlockv1.Run{State: interlockv1.RunState_RUN_STATE_RUNNING}, nil
	}}
	client := serve(t, server, Options{})
	must[*Run](t)(client.Run(t.Context(), "Weather", nil, &RunOptions{WaitTimeout: NoWait}))
}

func TestContinueSendsDecisionsAndNothingElse(t *testing.T) {
	requests := make(chan *interlockv1.ContinueRunRequest, 1)
	server := &fake{contin: func(request *interlockv1.ContinueRunRequest) (*interlockv1.Run, error) {
		requests <- request
		return &interlockv1.Run{State: interlockv1.RunState_RUN_STATE_COMPLETED}, nil
	}}
	client := serve(t, server, Options{})
	waiting := func(id string) *interlockv1.Requirement {
		return &interlockv1.Requirement{
			RequirementId: id,
			State:         interlockv1.RequirementState_REQUIREMENT_STATE_PENDING,
			Kind:          interlockv1.RequirementKind_REQUIREMENT_KIND_CONFIRMATION,
		}
	}
	run := runFrom(&interlockv1.Run{RunId: "run", StepRequirements: []*interlockv1.StepRequirement{
		{ExecutorRequirements: []*interlockv1.Requirement{waiting("a"), waiting("b")}},
		{StepRequirements: []*interlockv1.Requirement{waiting("c")}},
	}})
	for _, requirement := range run.OpenRequirements() {
		if requirement.ID() != "b" {
			must[any](t)(nil, requirement.Confirm("fine"))
		}
	}
	if open := run.OpenRequirements(); len(open) != 1 || open[0].ID() != "b" {
		t.Errorf("still open: %v", open)
	}
	must[*Run](t)(client.Continue(t.Context(), run, nil))
	sent := <-requests
	resolutions := sent.GetResolutions()
	if len(resolutions) != 2 || resolutions[0].GetRequirementId() != "a" ||
		resolutions[1].GetRequirementId() != "c" || sent.GetRunId() != "run" || sent.GetRequestId() == "" {
		t.Errorf("sent %v", sent)
	}
}

func TestATokenGoesWithEveryCall(t *testing.T) {
	tokens := make(chan []string, 2)
	server := &fake{claim: func(
		ctx context.Context, _ *interlockv1.ClaimRequirementRequest,
	) (*interlockv1.Requirement, error) {
		tokens <- metadata.ValueFromIncomingContext(ctx, "authorization")
		return nil, nil
	}}
	client := serve(t, server, Options{Token: "secret"})
	request := &interlockv1.ClaimRequirementRequest{}
	if _, err := interlockv1.NewRequirementServiceClient(client.Conn()).ClaimRequirement(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, tokens, "a call"); len(got) != 1 || got[0] != "Bearer secret" {
		t.Errorf("got %q", got)
	}
}

func TestTheTimeoutBoundsACallWithItsRetries(t *testing.T) {
	server := &fake{run: func(*interlockv1.RunRequest) (*interlockv1.Run, error) {
		return nil, shutdown()
	}}
	client := serve(t, server, Options{Timeout: 300 * time.Millisecond})
	begun := time.Now()
	_, err := client.Run(t.Context(), "Weather", nil, &RunOptions{WaitTimeout: NoWait})
	if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrDeadlineExceeded) {
		t.Errorf("got %v", err) // The one between two attempts, the other during the last.
	}
	if time.Since(begun) > time.Second {
		t.Errorf("it took %v", time.Since(begun))
	}
	client.Close()
	_, err = client.Run(context.Background(), "Weather", nil, nil)
	mustBe(t, err, ErrCancelled)
}
