package interlock

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

type runStreamServer = grpc.ServerStreamingServer[interlockv1.RunStreamResponse]
type watchRunServer = grpc.ServerStreamingServer[interlockv1.WatchRunResponse]

// Events of one run, by their sequence.

func at(sequence int64, event *interlockv1.RunEvent) *interlockv1.RunEvent {
	event.RunId, event.Sequence = "run", sequence
	event.Step = &interlockv1.StepRef{StepId: "step", Name: "write", Path: []string{"write"}}
	return event
}

func started() *interlockv1.RunEvent {
	return &interlockv1.RunEvent{Event: &interlockv1.RunEvent_StepStarted{StepStarted: &interlockv1.StepStarted{}}}
}

func delta(index int64) *interlockv1.RunEvent {
	return &interlockv1.RunEvent{Event: &interlockv1.RunEvent_ContentDelta{
		ContentDelta: &interlockv1.ContentDelta{Index: index, Text: fmt.Sprint(index)},
	}}
}

func stepCompleted() *interlockv1.RunEvent {
	return &interlockv1.RunEvent{Event: &interlockv1.RunEvent_StepCompleted{
		StepCompleted: &interlockv1.StepCompleted{},
	}}
}

func paused() *interlockv1.RunEvent {
	return &interlockv1.RunEvent{Event: &interlockv1.RunEvent_WorkflowPaused{
		WorkflowPaused: &interlockv1.WorkflowPaused{},
	}}
}

func completed() *interlockv1.RunEvent {
	return &interlockv1.RunEvent{Event: &interlockv1.RunEvent_WorkflowCompleted{
		WorkflowCompleted: &interlockv1.WorkflowCompleted{},
	}}
}

func ofNewerKind() *interlockv1.RunEvent { return &interlockv1.RunEvent{} }

func sendRun(stream runStreamServer, events ...*interlockv1.RunEvent) {
	stream.Send(&interlockv1.RunStreamResponse{Payload: &interlockv1.RunStreamResponse_Events{
		Events: &interlockv1.RunEvents{Events: events},
	}})
}

func sendWatch(stream watchRunServer, events ...*interlockv1.RunEvent) {
	stream.Send(&interlockv1.WatchRunResponse{Payload: &interlockv1.WatchRunResponse_Snapshot{
		Snapshot: &interlockv1.Run{RunId: "run"},
	}})
	stream.Send(&interlockv1.WatchRunResponse{Payload: &interlockv1.WatchRunResponse_Events{
		Events: &interlockv1.RunEvents{Events: events},
	}})
}

// told are the events of a stream in short, up to its end.
func told(events iter.Seq2[*Event, error]) (all []string, err error) {
	for event, err := range events {
		if err != nil {
			return all, err
		}
		all = append(all, fmt.Sprintf("%d %s%s", event.Sequence(), event.Kind(), event.Text()))
	}
	return all, nil
}

func TestAStreamGoesOnWhereItStood(t *testing.T) {
	begun := make(chan *interlockv1.RunStreamRequest, 9)
	watched := make(chan *interlockv1.WatchRunRequest, 9)
	server := &fake{
		runStream: func(request *interlockv1.RunStreamRequest, stream runStreamServer) error {
			begun <- request
			if len(begun) < 3 {
				return shutdown() // Before an event was seen: the same call is made again.
			}
			sendRun(stream, at(1, started()), at(1, delta(1)), at(1, delta(2)), at(2, ofNewerKind()))
			return shutdown()
		},
		watchRun: func(request *interlockv1.WatchRunRequest, stream watchRunServer) error {
			watched <- request
			if len(watched) == 1 {
				// What comes twice is left out, and pieces of text that have come before.
				sendWatch(stream, at(2, started()), at(2, delta(2)), at(2, delta(3)), at(3, stepCompleted()))
				return shutdown()
			}
			sendWatch(stream, at(3, delta(4)), at(4, paused()))
			return shutdown() // After the last event of a leg: nothing is lost.
		},
	}
	client := serve(t, server, Options{})
	got, err := told(client.RunStream(t.Context(), "Weather", nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"1 step_started", "1 content_delta1", "1 content_delta2", "2 content_delta3",
		"3 step_completed", "4 workflow_paused",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	first, second, third := <-begun, <-begun, <-begun
	if first.GetRequestId() == "" || first.GetRequestId() != second.GetRequestId() ||
		first.GetRequestId() != third.GetRequestId() {
		t.Errorf("started with %v, %v and %v", first, second, third)
	}
	one, other := <-watched, <-watched
	if one.GetAfterSequence() != 2 || other.GetAfterSequence() != 3 || other.GetRunId() != "run" ||
		!other.GetEndOnPause() || len(watched) > 0 {
		t.Errorf("watched with %v and %v", one, other)
	}
}

func TestAWatchDoesNotEndAtAnEarlierPause(t *testing.T) {
	var calls atomic.Int32
	server := &fake{watchRun: func(request *interlockv1.WatchRunRequest, stream watchRunServer) error {
		if calls.Add(1) == 1 {
			sendWatch(stream, at(1, paused()))
			return shutdown()
		}
		sendWatch(stream, at(2, completed()))
		return shutdown()
	}}
	client := serve(t, server, Options{})
	got, err := told(client.Watch(t.Context(), "run", nil))
	if err != nil || !slices.Equal(got, []string{"1 workflow_paused", "2 workflow_completed"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLeavingTheLoopEndsTheCall(t *testing.T) {
	ended := make(chan error, 1)
	server := &fake{runStream: func(_ *interlockv1.RunStreamRequest, stream runStreamServer) error {
		sendRun(stream, at(1, started()))
		<-stream.Context().Done()
		ended <- stream.Context().Err()
		return nil
	}}
	client := serve(t, server, Options{})
	for _, err := range client.RunStream(t.Context(), "Weather", nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	mustBe(t, receive(t, ended, "the cancellation of the call"), context.Canceled)
}

func TestTheContextEndsTheLoop(t *testing.T) {
	server := &fake{watchRun: func(_ *interlockv1.WatchRunRequest, stream watchRunServer) error {
		sendWatch(stream, at(1, started()))
		<-stream.Context().Done()
		return nil
	}}
	client := serve(t, server, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var failed error
	for _, err := range client.Watch(ctx, "run", nil) {
		cancel()
		failed = err
	}
	mustBe(t, failed, context.Canceled)
}

func TestAStreamGivesUp(t *testing.T) {
	var calls atomic.Int32
	server := &fake{watchRun: func(_ *interlockv1.WatchRunRequest, stream watchRunServer) error {
		if calls.Add(1) == 1 {
			sendWatch(stream, at(1, started()))
		}
		return shutdown()
	}}
	client := serve(t, server, Options{RetryTimeout: 500 * time.Millisecond})
	got, err := told(client.Watch(t.Context(), "run", nil))
	mustBe(t, err, ErrUnavailable)
	if len(got) != 1 || calls.Load() < 3 {
		t.Errorf("got %q in %d calls", got, calls.Load())
	}

	client = serve(t, server, Options{RetryTimeout: -1})
	calls.Store(0)
	_, err = told(client.Watch(t.Context(), "run", nil))
	mustBe(t, err, ErrUnavailable)
	if calls.Load() != 1 {
		t.Errorf("there were %d calls", calls.Load())
	}
}

func TestOtherErrorsEndAStream(t *testing.T) {
	server := &fake{watchRun: func(*interlockv1.WatchRunRequest, watchRunServer) error {
		return failure(codes.OutOfRange, "SEQUENCE_OUT_OF_RANGE", nil)
	}}
	client := serve(t, server, Options{})
	_, err := told(client.Watch(t.Context(), "run", &WatchOptions{AfterSequence: 9}))
	mustBe(t, err, ErrOutOfRange)

	_, err = told(client.RunStream(t.Context(), "Weather", func() {}, nil))
	if err == nil || errors.As(err, new(*Error)) {
		t.Errorf("a function was sent as input: %v", err)
	}
}

func TestTheInboxGoesOnWhereItStood(t *testing.T) {
	tokens := make(chan string, 9)
	server := &fake{watchRequirements: func(
		request *interlockv1.WatchRequirementsRequest,
		stream grpc.ServerStreamingServer[interlockv1.WatchRequirementsResponse],
	) error {
		tokens <- request.GetResumeToken()
		switch len(tokens) {
		case 1:
			stream.Send(&interlockv1.WatchRequirementsResponse{
				Payload: &interlockv1.WatchRequirementsResponse_Requirement{
					Requirement: &interlockv1.Requirement{RequirementId: "first"},
				},
				ResumeToken: "token 1",
			})
			stream.Send(&interlockv1.WatchRequirementsResponse{
				Payload: &interlockv1.WatchRequirementsResponse_Heartbeat{Heartbeat: &interlockv1.Heartbeat{}},
			})
		case 2:
			stream.Send(&interlockv1.WatchRequirementsResponse{
				Payload: &interlockv1.WatchRequirementsResponse_Requirement{
					Requirement: &interlockv1.Requirement{RequirementId: "second"},
				},
			})
		}
		return shutdown()
	}}
	client := serve(t, server, Options{})
	var seen []string
	for requirement, err := range client.WatchRequirements(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if seen = append(seen, requirement.ID()); len(seen) == 2 {
			break
		}
	}
	if !slices.Equal(seen, []string{"first", "second"}) {
		t.Errorf("got %q", seen)
	}
	if one, other := <-tokens, <-tokens; one != "" || other != "token 1" {
		t.Errorf("asked with %q and %q", one, other)
	}
}

func TestAListHasAllPages(t *testing.T) {
	pages := map[string]*interlockv1.ListRequirementsResponse{
		"": {
			Requirements:  []*interlockv1.Requirement{{RequirementId: "1"}},
			NextPageToken: "a",
		},
		"a": {NextPageToken: "b"}, // A page may be empty without being the last.
		"b": {Requirements: []*interlockv1.Requirement{{RequirementId: "2"}, {RequirementId: "3"}}},
	}
	server := &fake{listRequirements: func(
		request *interlockv1.ListRequirementsRequest,
	) (*interlockv1.ListRequirementsResponse, error) {
		return pages[request.GetPageToken()], nil
	}}
	client := serve(t, server, Options{})
	var ids string
	for requirement, err := range client.ListRequirements(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		ids += requirement.ID()
	}
	if ids != "123" {
		t.Errorf("got %q", ids)
	}
}
