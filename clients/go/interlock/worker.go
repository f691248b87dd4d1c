package interlock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

const (
	claimWait          = 20 * time.Second
	leaseDefault       = 30 * time.Second
	stopTimeoutDefault = 30 * time.Second
	// farewell is how long a worker still tries to say what became of a call after its stop
	// has taken too long.
	farewell = 5 * time.Second
	// messageCharactersMax is how long the contract lets an error message be.
	messageCharactersMax = 4000
)

// Why the context of a [Handler] was cancelled; see context.Cause.
var (
	// ErrClaimLost says that another worker may have the call now, or that it waits no longer.
	ErrClaimLost = errors.New("interlock: the claim of the call is lost")
	// ErrWorkerStopped says that the handler took longer than the worker's StopTimeout.
	ErrWorkerStopped = errors.New("interlock: the worker stops")
)

// Handler executes a call of a tool, and gives its result: any JSON value, see [EncodeJSON]. The
// agent reads the text of an error in place of the result, and decides what to do next; a panic
// counts as an error. The context is cancelled when there is no point in going on: the worker
// then waits for the handler to return, and reports nothing.
type Handler func(ctx context.Context, call *Call) (any, error)

// Call is a call of a tool that a worker has claimed.
type Call struct {
	// RequirementID is the same whenever this call is tried again, and different for every other.
	// Hand it to services that detect repeated requests.
	RequirementID string
	// Epoch is the number of the claim, from 1. Greater than 1 means that an earlier worker gave
	// up or died, and may have executed the call in part.
	Epoch int64
	// ToolName is the tool.
	ToolName string
	// Args are its arguments: a JSON object.
	Args JSON
	// RunID is the run that waits.
	RunID string
	// Requirement has everything else.
	Requirement *Requirement
}

// Outcome is what became of a call.
type Outcome string

// What can become of a call.
const (
	CallReported Outcome = "reported" // Its result was accepted.
	CallFailed   Outcome = "failed"   // Its error was accepted.
	CallLost     Outcome = "lost"     // Its claim was lost, so that the result does not count.
	CallReleased Outcome = "released" // It was given back when the worker stopped.
)

// WorkerOptions says how a worker works.
type WorkerOptions struct {
	// Concurrency is how many handlers run at once; less than 1 means 1.
	Concurrency int
	// Lease is how long a claim holds after the worker was last heard of, from 1 second to 1
	// hour; 0 means 30 seconds. It is renewed for as long as the handler runs.
	Lease time.Duration
	// WorkerID names this worker, differently from all others; empty means a random UUID.
	WorkerID string
	// WorkflowID limits the worker to calls of one workflow; empty means all.
	WorkflowID string
	// StopTimeout is how long a stop waits for handlers before it cancels their contexts; 0
	// means 30 seconds.
	StopTimeout time.Duration
	// Done is told what became of each call, and the error behind it where there is one. It may
	// be called by several goroutines at once.
	Done func(call *Call, outcome Outcome, err error)
}

// Worker executes calls of tools that are declared as external: it claims them, runs their
// handlers, and reports the results. A call is claimed by one worker at a time.
type Worker struct {
	client   *Client
	handlers map[string]Handler
	options  WorkerOptions
}

// NewWorker makes a worker with a handler for each tool, by name. No options mean the zero value.
func (c *Client) NewWorker(handlers map[string]Handler, options *WorkerOptions) *Worker {
	worker := &Worker{client: c, handlers: maps.Clone(handlers), options: valueOf(options)}
	worker.options.Concurrency = max(1, worker.options.Concurrency)
	worker.options.Lease = cmp.Or(worker.options.Lease, leaseDefault)
	worker.options.StopTimeout = cmp.Or(worker.options.StopTimeout, stopTimeoutDefault)
	worker.options.WorkerID = cmp.Or(worker.options.WorkerID, newID())
	if worker.options.Done == nil {
		worker.options.Done = func(*Call, Outcome, error) {}
	}
	return worker
}

// Run works until the context is cancelled, which is a clean stop and gives nil: it takes
// nothing new, and returns when every handler has returned and reported. After StopTimeout it
// cancels the contexts of those that still run, and gives their calls back.
//
// While the server is unavailable it tries again for as long as it takes. Every other failure
// to claim, such as [ErrUnauthenticated], ends it in the same clean way, and is returned.
func (w *Worker) Run(ctx context.Context) error {
	working, giveUp := context.WithCancelCause(context.WithoutCancel(ctx))
	defer giveUp(nil)
	var handlers sync.WaitGroup
	err := w.claimAll(ctx, func(call *Call, done func()) {
		handlers.Go(func() {
			defer done()
			outcome, err := w.execute(working, call)
			w.options.Done(call, outcome, err)
		})
	})
	limit := time.AfterFunc(w.options.StopTimeout, func() { giveUp(ErrWorkerStopped) })
	defer limit.Stop()
	handlers.Wait()
	return err
}

// claimAll claims calls and starts them, as many at once as there may be.
func (w *Worker) claimAll(ctx context.Context, start func(call *Call, done func())) error {
	slots := make(chan struct{}, w.options.Concurrency)
	for {
		select {
		case <-ctx.Done():
			return nil
		case slots <- struct{}{}:
		}
		call, err := w.claim(ctx)
		if call == nil {
			return err
		}
		start(call, func() { <-slots })
	}
}

// claim waits for a call; there is none when the context ends first.
func (w *Worker) claim(ctx context.Context) (*Call, error) {
	for ctx.Err() == nil {
		request := &interlockv1.ClaimRequirementRequest{
			WorkerId:      w.options.WorkerID,
			ToolNames:     slices.Sorted(maps.Keys(w.handlers)),
			WorkflowId:    w.options.WorkflowID,
			LeaseDuration: durationpb.New(w.options.Lease),
			WaitTimeout:   durationpb.New(claimWait),
			RequestId:     newID(),
		}
		reply, err := tireless(ctx, w.client.requirements.ClaimRequirement, request)
		switch {
		case ctx.Err() != nil:
			w.giveBack(ctx, request, reply)
		case err != nil:
			return nil, err
		case reply.GetRequirement() != nil:
			return callFrom(reply.GetRequirement()), nil
		}
	}
	return nil, nil
}

// giveBack releases what was claimed in the moment of the stop. When there is no reply, the same
// request is asked again, without a wait: it gets what it got before.
func (w *Worker) giveBack(
	ctx context.Context, request *interlockv1.ClaimRequirementRequest, reply *interlockv1.ClaimRequirementResponse,
) {
	if reply == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
		request.WaitTimeout = durationpb.New(0)
		reply, _ = w.client.requirements.ClaimRequirement(ctx, request)
	}
	if requirement := reply.GetRequirement(); requirement != nil {
		w.release(ctx, callFrom(requirement))
	}
}

// execute runs the handler of a call and reports what came of it.
func (w *Worker) execute(working context.Context, call *Call) (Outcome, error) {
	result, err := w.handle(working, call)
	switch {
	case errors.Is(err, ErrClaimLost):
		return CallLost, err
	case errors.Is(err, ErrWorkerStopped):
		w.release(working, call)
		return CallReleased, err
	case err == nil:
		if err = w.report(working, call, ExternalResult(result)); err == nil {
			return CallReported, nil
		}
		if !isUnfit(err) {
			return CallLost, err
		}
		// The next worker's result would not fit either, so the agent is told.
		err = fmt.Errorf("the result cannot be taken: %w", err)
	}
	if failure := w.report(working, call, ExternalError(excerpt(err.Error()))); failure != nil {
		return CallLost, errors.Join(err, failure)
	}
	return CallFailed, err
}

// handle runs the handler of a call, and keeps the claim meanwhile. Its error is ErrClaimLost or
// ErrWorkerStopped when the handler was cancelled for that and has no result to report.
func (w *Worker) handle(working context.Context, call *Call) (any, error) {
	ctx, cancel := context.WithCancelCause(working)
	var renewal sync.WaitGroup
	renewal.Go(func() { w.renew(ctx, call, cancel) })
	result, err := guarded(ctx, w.handlers[call.ToolName], call)
	why := context.Cause(ctx)
	cancel(nil)
	renewal.Wait()
	if errors.Is(why, ErrClaimLost) || err != nil && errors.Is(why, ErrWorkerStopped) {
		return nil, why
	}
	return result, err
}

// guarded runs a handler, and makes an error of a panic.
func guarded(ctx context.Context, handler Handler, call *Call) (result any, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			slog.ErrorContext(ctx, "interlock: a handler panicked",
				"tool", call.ToolName, "panic", reason, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	return handler(ctx, call)
}

// renew keeps a claim until the context ends, or until the claim is lost.
func (w *Worker) renew(ctx context.Context, call *Call, cancel context.CancelCauseFunc) {
	ticks := time.NewTicker(w.options.Lease / 3)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		_, err := tireless(ctx, w.client.requirements.RenewClaim, &interlockv1.RenewClaimRequest{
			RequirementId: call.RequirementID,
			ClaimEpoch:    call.Epoch,
			LeaseDuration: durationpb.New(w.options.Lease),
		})
		if errors.Is(err, ErrFailedPrecondition) || errors.Is(err, ErrNotFound) {
			cancel(ErrClaimLost)
			return
		}
	}
}

// report sends what came of a call, under its claim.
func (w *Worker) report(working context.Context, call *Call, decision Decision) error {
	if err := decision.check(call.RequirementID); err != nil {
		return err
	}
	ctx, cancel := outlasting(working)
	defer cancel()
	_, err := tireless(ctx, w.client.requirements.ResolveRequirement, &interlockv1.ResolveRequirementRequest{
		Resolution: decision.resolving(call.RequirementID),
		ClaimEpoch: call.Epoch,
		RequestId:  newID(),
	})
	return err
}

// release gives a claim back. Where that fails, the claim ends with its lease.
func (w *Worker) release(working context.Context, call *Call) {
	ctx, cancel := outlasting(working)
	defer cancel()
	tireless(ctx, w.client.requirements.ReleaseClaim, &interlockv1.ReleaseClaimRequest{
		RequirementId: call.RequirementID, ClaimEpoch: call.Epoch,
	})
}

func callFrom(requirement *interlockv1.Requirement) *Call {
	return &Call{
		RequirementID: requirement.GetRequirementId(),
		Epoch:         requirement.GetClaim().GetEpoch(),
		ToolName:      requirement.GetToolExecution().GetToolName(),
		Args:          JSON(requirement.GetToolExecution().GetToolArgsJson()),
		RunID:         requirement.GetRunId(),
		Requirement:   requirementFrom(requirement),
	}
}

// tireless makes a call, and makes it again for as long as the server is unavailable.
func tireless[Request, Reply any](
	ctx context.Context, method method[Request, Reply], request Request,
) (Reply, error) {
	return persist(ctx, &backoff{limit: -1}, method, request)
}

// outlasting is a context that ends a farewell after another one.
func outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(farewell, cancel) })
	return longer, func() { stop(); cancel() }
}

// isUnfit says whether the value of an answer is at fault.
func isUnfit(err error) bool {
	return errors.As(err, new(*RefusedError)) ||
		errors.Is(err, ErrInvalidArgument) || errors.Is(err, ErrResourceExhausted)
}

// excerpt is as much of a text as an error message can hold.
func excerpt(text string) string {
	letters := []rune(strings.ToValidUTF8(text, "\uFFFD"))
	return string(letters[:min(len(letters), messageCharactersMax)])
}
