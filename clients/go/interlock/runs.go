package interlock

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

// NoWait, as a WaitTimeout, means to return at once.
const NoWait time.Duration = -1

// waitSlice is the longest wait in one call, so that no proxy takes it for dead.
const waitSlice = 30 * time.Second

// RunOptions says more about a run to start.
type RunOptions struct {
	// Version is the version of the workflow; 0 means the newest.
	Version int32
	// SessionID is the session to run in; empty means a new one.
	SessionID string
	// Labels are user-defined, at most 64.
	Labels map[string]string
	// RequestID makes calls with the same one start one run between them; at most 64
	// characters. Empty means a new one.
	RequestID string
	// RunTimeout says how long the run may take, its pauses included; after that it fails. 0
	// means as the workflow says.
	RunTimeout time.Duration
	// WaitTimeout is as in WaitOptions. It has no meaning for streams.
	WaitTimeout time.Duration
}

// WaitOptions says how long to wait for a run.
type WaitOptions struct {
	// WaitTimeout is the longest time to wait until the run pauses or ends; the run as it is
	// then is returned, and goes on. 0 means as long as it takes, see also NoWait.
	WaitTimeout time.Duration
}

// WatchOptions says which events of a run to stream.
type WatchOptions struct {
	// AfterSequence begins after the event with this sequence.
	AfterSequence int64
	// EndOnPause ends the stream when the run pauses, not only when it ends.
	EndOnPause bool
}

// RunFilter selects runs. A run must match every field that is set.
type RunFilter struct {
	WorkflowID    string            // Of this workflow.
	SessionID     string            // Of this session.
	States        []RunState        // In one of these states.
	Labels        map[string]string // With all of these labels.
	CreateTimeMin time.Time         // Created at or after this time.
	CreateTimeMax time.Time         // Created before this time.
	Stuck         bool              // Not ended, and in need of code that the server lacks.
}

// Run starts a run and waits until it pauses or ends. The input is any JSON value, see
// [EncodeJSON]; nil means none. When the wait ends early, with its context for instance, the
// run goes on.
func (c *Client) Run(ctx context.Context, workflowID string, input any, options *RunOptions) (*Run, error) {
	request, err := runRequest(workflowID, input, options)
	if err != nil {
		return nil, err
	}
	start := func(wait time.Duration) (*interlockv1.Run, error) {
		request.WaitTimeout = durationpb.New(wait)
		reply, err := call(ctx, c, c.runs.Run, request, wait)
		return reply.GetRun(), err
	}
	return c.settle(ctx, valueOf(options).WaitTimeout, start)
}

// RunStream starts a run and streams its events until it pauses or ends. The run starts when
// the loop does; a second loop follows the same run.
func (c *Client) RunStream(
	ctx context.Context, workflowID string, input any, options *RunOptions,
) iter.Seq2[*Event, error] {
	request, err := runRequest(workflowID, input, options)
	return stream(ctx, c, func() (cursor[eventsReply, *Event], error) {
		opening := func(ctx context.Context) (func() (eventsReply, error), error) {
			return receiving(c.runs.RunStream(ctx, &interlockv1.RunStreamRequest{
				Spec: request.GetSpec(), RequestId: request.GetRequestId(),
			}))
		}
		watch := &interlockv1.WatchRunRequest{EndOnPause: true}
		return c.newRunCursor(opening, watch, true), err
	})
}

// Continue sends the decisions that were made on a paused run, and nothing else of it, and waits
// until it pauses again or ends. Requirements on which nothing was decided still wait then.
func (c *Client) Continue(ctx context.Context, run *Run, options *WaitOptions) (*Run, error) {
	request := &interlockv1.ContinueRunRequest{
		RunId: run.ID(), Resolutions: run.resolutions(), RequestId: newID(),
	}
	start := func(wait time.Duration) (*interlockv1.Run, error) {
		request.WaitTimeout = durationpb.New(wait)
		reply, err := call(ctx, c, c.runs.ContinueRun, request, wait)
		return reply.GetRun(), err
	}
	return c.settle(ctx, valueOf(options).WaitTimeout, start)
}

// ContinueStream sends decisions, as [Client.Continue] does, and streams the events until the
// run pauses again or ends. The decisions are sent when the loop begins.
func (c *Client) ContinueStream(ctx context.Context, run *Run) iter.Seq2[*Event, error] {
	request := &interlockv1.ContinueRunStreamRequest{
		RunId: run.ID(), Resolutions: run.resolutions(), RequestId: newID(),
	}
	return stream(ctx, c, func() (cursor[eventsReply, *Event], error) {
		opening := func(ctx context.Context) (func() (eventsReply, error), error) {
			return receiving(c.runs.ContinueRunStream(ctx, request))
		}
		watch := &interlockv1.WatchRunRequest{RunId: run.ID(), EndOnPause: true}
		return c.newRunCursor(opening, watch, true), nil
	})
}

// Watch streams the events of a run, those that have happened first.
func (c *Client) Watch(ctx context.Context, runID string, options *WatchOptions) iter.Seq2[*Event, error] {
	return stream(ctx, c, func() (cursor[eventsReply, *Event], error) {
		return c.newRunCursor(nil, &interlockv1.WatchRunRequest{
			RunId:         runID,
			AfterSequence: valueOf(options).AfterSequence,
			EndOnPause:    valueOf(options).EndOnPause,
		}, false), nil
	})
}

// GetRun gets a run.
func (c *Client) GetRun(ctx context.Context, runID string) (*Run, error) {
	request := &interlockv1.GetRunRequest{RunId: runID}
	reply, err := call(ctx, c, c.runs.GetRun, request, 0)
	if err != nil {
		return nil, err
	}
	return runFrom(reply.GetRun()), nil
}

// WaitRun waits until a run pauses or ends.
func (c *Client) WaitRun(ctx context.Context, runID string, options *WaitOptions) (*Run, error) {
	start := func(wait time.Duration) (*interlockv1.Run, error) { return c.waitOnce(ctx, runID, wait) }
	return c.settle(ctx, valueOf(options).WaitTimeout, start)
}

// CancelRun cancels a run: a paused one at once, a running one before its next effect. The
// reason is recorded with the run; it may be empty.
func (c *Client) CancelRun(ctx context.Context, runID, reason string) (*Run, error) {
	request := &interlockv1.CancelRunRequest{RunId: runID, Reason: reason, RequestId: newID()}
	reply, err := call(ctx, c, c.runs.CancelRun, request, 0)
	if err != nil {
		return nil, err
	}
	return runFrom(reply.GetRun()), nil
}

// ListRuns lists runs without their step results, newest first, page by page. No filter selects
// all.
func (c *Client) ListRuns(ctx context.Context, filter *RunFilter) iter.Seq2[*Run, error] {
	return pages(func(token string) ([]*Run, string, error) {
		selected, err := valueOf(filter).message()
		if err != nil {
			return nil, "", err
		}
		request := &interlockv1.ListRunsRequest{PageToken: token, Filter: selected}
		reply, err := call(ctx, c, c.runs.ListRuns, request, 0)
		return mapped(reply.GetRuns(), runFrom), reply.GetNextPageToken(), err
	})
}

// ListEvents lists the stored events of a run, oldest first, page by page, beginning after the
// event with a sequence.
func (c *Client) ListEvents(ctx context.Context, runID string, afterSequence int64) iter.Seq2[*Event, error] {
	return pages(func(token string) ([]*Event, string, error) {
		request := &interlockv1.ListRunEventsRequest{
			RunId: runID, PageToken: token, AfterSequence: afterSequence,
		}
		reply, err := call(ctx, c, c.runs.ListRunEvents, request, 0)
		var events []*Event
		for _, message := range reply.GetEvents() {
			if message.GetEvent() != nil {
				events = append(events, &Event{Message: message})
			}
		}
		return events, reply.GetNextPageToken(), err
	})
}

func (c *Client) newRunCursor(
	opening func(ctx context.Context) (func() (eventsReply, error), error),
	watch *interlockv1.WatchRunRequest, isLeg bool,
) *runCursor {
	return &runCursor{client: c, opening: opening, watch: watch, isLeg: isLeg, texts: transcript{}}
}

// settle waits in slices: first in the call that starts the wait, then in WaitRun.
func (c *Client) settle(
	ctx context.Context, timeout time.Duration, start func(wait time.Duration) (*interlockv1.Run, error),
) (*Run, error) {
	end := time.Now().Add(timeout)
	left := func() time.Duration {
		if timeout == 0 {
			return waitSlice
		}
		return min(max(0, time.Until(end)), waitSlice)
	}
	run, err := start(left())
	for err == nil && isOnItsWay(run.GetState()) && left() > 0 {
		run, err = c.waitOnce(ctx, run.GetRunId(), left())
	}
	if err != nil {
		return nil, err
	}
	return runFrom(run), nil
}

func (c *Client) waitOnce(ctx context.Context, runID string, wait time.Duration) (*interlockv1.Run, error) {
	request := &interlockv1.WaitRunRequest{RunId: runID, WaitTimeout: durationpb.New(wait)}
	reply, err := call(ctx, c, c.runs.WaitRun, request, wait)
	return reply.GetRun(), err
}

// isOnItsWay says whether a run neither waits for anybody nor has ended.
func isOnItsWay(state interlockv1.RunState) bool {
	return state == interlockv1.RunState_RUN_STATE_PENDING || state == interlockv1.RunState_RUN_STATE_RUNNING
}

func runRequest(workflowID string, input any, options *RunOptions) (*interlockv1.RunRequest, error) {
	more := valueOf(options)
	spec := &interlockv1.RunSpec{WorkflowId: workflowID, SessionId: more.SessionID, Labels: more.Labels}
	if more.Version != 0 {
		spec.WorkflowVersion = &more.Version
	}
	if more.RunTimeout != 0 {
		spec.RunTimeout = durationpb.New(more.RunTimeout)
	}
	if input != nil && input != JSON("") {
		text, err := EncodeJSON(input)
		if err != nil {
			return nil, fmt.Errorf("interlock: the input cannot be sent: %w", err)
		}
		spec.InputJson = string(text)
	}
	return &interlockv1.RunRequest{Spec: spec, RequestId: cmp.Or(more.RequestID, newID())}, nil
}

func (f RunFilter) message() (*interlockv1.RunFilter, error) {
	states, err := enumNumbers[interlockv1.RunState](f.States)
	return &interlockv1.RunFilter{
		WorkflowId:    f.WorkflowID,
		SessionId:     f.SessionID,
		States:        states,
		Labels:        f.Labels,
		CreateTimeMin: timestamp(f.CreateTimeMin),
		CreateTimeMax: timestamp(f.CreateTimeMax),
		Stuck:         f.Stuck,
	}, err
}

func timestamp(moment time.Time) *timestamppb.Timestamp {
	if moment.IsZero() {
		return nil
	}
	return timestamppb.New(moment)
}
