package interlock

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

// desk hands out calls of a tool, and hears what becomes of them.
type desk struct {
	fake
	waiting  chan *interlockv1.Requirement
	resolved chan *interlockv1.ResolveRequirementRequest
	released chan *interlockv1.ReleaseClaimRequest
	renewed  chan *interlockv1.RenewClaimRequest
	claims   chan *interlockv1.ClaimRequirementRequest

	mutex   sync.Mutex
	renewal error // What a renewal is answered with.
}

func newDesk() *desk {
	d := &desk{
		waiting:  make(chan *interlockv1.Requirement, 10),
		resolved: make(chan *interlockv1.ResolveRequirementRequest, 10),
		released: make(chan *interlockv1.ReleaseClaimRequest, 10),
		renewed:  make(chan *interlockv1.RenewClaimRequest, 1000),
		claims:   make(chan *interlockv1.ClaimRequirementRequest, 1000),
	}
	d.claim = func(
		ctx context.Context, request *interlockv1.ClaimRequirementRequest,
	) (*interlockv1.Requirement, error) {
		d.claims <- request
		ctx, cancel := context.WithTimeout(ctx, request.GetWaitTimeout().AsDuration())
		defer cancel()
		select {
		case one := <-d.waiting:
			return one, nil
		default: // A claim without a wait gets what is there.
		}
		select {
		case one := <-d.waiting:
			return one, nil
		case <-ctx.Done():
			return nil, nil
		}
	}
	d.renew = func(request *interlockv1.RenewClaimRequest) error {
		d.mutex.Lock()
		defer d.mutex.Unlock()
		d.renewed <- request
		return d.renewal
	}
	d.resolve = func(request *interlockv1.ResolveRequirementRequest) error {
		d.resolved <- request
		return nil
	}
	d.release = func(request *interlockv1.ReleaseClaimRequest) error {
		d.released <- request
		return nil
	}
	return d
}

func (d *desk) loseClaims() {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.renewal = failure(codes.FailedPrecondition, "CLAIM_LOST", nil)
}

// add puts a call of the tool `work` into the desk.
func (d *desk) add(id string) {
	d.waiting <- &interlockv1.Requirement{
		RequirementId: id,
		RunId:         "run",
		Claim:         &interlockv1.RequirementClaim{Epoch: 3},
		Subject: &interlockv1.Requirement_ToolExecution{ToolExecution: &interlockv1.ToolExecution{
			ToolName: "work", ToolArgsJson: `{"n":9007199254740993}`,
		}},
	}
}

// atWork is a worker that runs.
type atWork struct {
	stop     context.CancelFunc
	ended    chan error
	outcomes chan string
}

func (d *desk) employ(t *testing.T, handler Handler, options WorkerOptions) *atWork {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	worker := &atWork{stop: stop, ended: make(chan error, 1), outcomes: make(chan string, 10)}
	options.Done = func(call *Call, outcome Outcome, err error) {
		worker.outcomes <- fmt.Sprintf("%s %s", call.RequirementID, outcome)
	}
	client := serve(t, &d.fake, Options{})
	go func() {
		worker.ended <- client.NewWorker(map[string]Handler{"work": handler}, &options).Run(ctx)
	}()
	return worker
}

func (w *atWork) mustEnd(t *testing.T) {
	t.Helper()
	w.stop()
	if err := receive(t, w.ended, "the end of the worker"); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func (w *atWork) mustSee(t *testing.T, want string) {
	t.Helper()
	if got := receive(t, w.outcomes, want); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAWorkerReportsWhatItsHandlerGives(t *testing.T) {
	desk := newDesk()
	worker := desk.employ(t, func(_ context.Context, call *Call) (any, error) {
		switch call.RequirementID {
		case "fails":
			return nil, errors.New("no such table")
		case "panics":
			panic("out of tables")
		case "unfit":
			return func() {}, nil
		case "long":
			return nil, errors.New(strings.Repeat("é", 5000) + "\xff")
		}
		return call.Args.Value(), nil
	}, WorkerOptions{WorkerID: "me", WorkflowID: "Sales"})

	desk.add("echoes")
	sent := receive(t, desk.resolved, "a report")
	if sent.GetResolution().GetExternalResult().GetResultJson() != `{"n":9007199254740993}` ||
		sent.GetClaimEpoch() != 3 || sent.GetRequestId() == "" {
		t.Errorf("got %v", sent)
	}
	worker.mustSee(t, "echoes reported")
	claim := receive(t, desk.claims, "a claim")
	if claim.GetWorkerId() != "me" || claim.GetWorkflowId() != "Sales" || claim.GetToolNames()[0] != "work" ||
		claim.GetLeaseDuration().AsDuration() != leaseDefault || claim.GetRequestId() == "" {
		t.Errorf("claimed with %v", claim)
	}

	for id, want := range map[string]string{
		"fails":  "no such table",
		"panics": "panic: out of tables",
		"unfit":  "the result cannot be taken: ",
		"long":   strings.Repeat("é", messageCharactersMax),
	} {
		desk.add(id)
		got := receive(t, desk.resolved, "a report").GetResolution().GetExternalResult().GetErrorMessage()
		if !strings.HasPrefix(got, want) || len([]rune(got)) > messageCharactersMax {
			t.Errorf("%s was reported as %q", id, got)
		}
		worker.mustSee(t, id+" failed")
	}
	worker.mustEnd(t)
}

func TestAResultThatTheServerRefusesBecomesAnError(t *testing.T) {
	desk := newDesk()
	hear := desk.resolve
	desk.resolve = func(request *interlockv1.ResolveRequirementRequest) error {
		hear(request)
		if request.GetResolution().GetExternalResult().GetErrorMessage() == "" {
			return failure(codes.ResourceExhausted, "SIZE_LIMIT_EXCEEDED", nil)
		}
		return nil
	}
	worker := desk.employ(t, func(context.Context, *Call) (any, error) { return "long", nil }, WorkerOptions{})
	desk.add("a")
	worker.mustSee(t, "a failed")
	first, second := <-desk.resolved, <-desk.resolved
	if first.GetRequestId() == second.GetRequestId() {
		t.Error("two requests have one id")
	}
	worker.mustEnd(t)
}

func TestALostClaimCancelsItsHandler(t *testing.T) {
	desk := newDesk()
	desk.loseClaims()
	cause := make(chan error, 1)
	worker := desk.employ(t, func(ctx context.Context, _ *Call) (any, error) {
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return "too late", nil
	}, WorkerOptions{Lease: 30 * time.Millisecond})
	desk.add("a")
	mustBe(t, receive(t, cause, "the cancellation of the handler"), ErrClaimLost)
	worker.mustSee(t, "a lost")
	worker.mustEnd(t)
	if len(desk.resolved) > 0 {
		t.Errorf("it reported %v", <-desk.resolved)
	}
}

func TestAResultThatComesTooLateIsLost(t *testing.T) {
	desk := newDesk()
	desk.resolve = func(*interlockv1.ResolveRequirementRequest) error {
		return failure(codes.FailedPrecondition, "REQUIREMENT_ALREADY_RESOLVED", nil)
	}
	worker := desk.employ(t, func(context.Context, *Call) (any, error) { return 1, nil }, WorkerOptions{})
	desk.add("a")
	worker.mustSee(t, "a lost")
	desk.add("b")
	worker.mustSee(t, "b lost")
	worker.mustEnd(t)
}

func TestAClaimIsRenewedWhileItsHandlerRuns(t *testing.T) {
	desk := newDesk()
	finish := make(chan struct{})
	worker := desk.employ(t, func(context.Context, *Call) (any, error) {
		<-finish
		return 1, nil
	}, WorkerOptions{Lease: 30 * time.Millisecond})
	desk.add("a")
	for range 5 {
		request := receive(t, desk.renewed, "a renewal")
		if request.GetClaimEpoch() != 3 || request.GetLeaseDuration().AsDuration() != 30*time.Millisecond {
			t.Errorf("got %v", request)
		}
	}
	close(finish)
	worker.mustSee(t, "a reported")
	worker.mustEnd(t)
}

func TestNoMoreHandlersRunThanMay(t *testing.T) {
	desk := newDesk()
	begun, finish := make(chan string, 10), make(chan struct{})
	worker := desk.employ(t, func(_ context.Context, call *Call) (any, error) {
		begun <- call.RequirementID
		<-finish
		return 1, nil
	}, WorkerOptions{Concurrency: 2})
	for _, id := range []string{"a", "b", "c"} {
		desk.add(id)
	}
	receive(t, begun, "the first call")
	receive(t, begun, "the second call")
	if len(desk.claims) != 2 || len(desk.waiting) != 1 {
		t.Errorf("%d claims, %d calls that wait", len(desk.claims), len(desk.waiting))
	}
	finish <- struct{}{}
	if id := receive(t, begun, "the third call"); id != "c" {
		t.Errorf("it is %s", id)
	}
	close(finish)
	for range 3 {
		receive(t, worker.outcomes, "an outcome")
	}
	worker.mustEnd(t)
}

func TestACleanStopLetsHandlersEnd(t *testing.T) {
	desk := newDesk()
	begun, finish := make(chan struct{}), make(chan struct{})
	worker := desk.employ(t, func(ctx context.Context, _ *Call) (any, error) {
		close(begun)
		<-finish
		return 1, ctx.Err()
	}, WorkerOptions{Concurrency: 2, Lease: 30 * time.Millisecond})
	desk.add("a")
	receive(t, begun, "a call")
	worker.stop()
	receive(t, desk.renewed, "a renewal") // The stop waits, and keeps the claim.
	close(finish)
	worker.mustSee(t, "a reported")
	worker.mustEnd(t)
	if len(desk.released) > 0 {
		t.Errorf("it gave back %v", <-desk.released)
	}
}

func TestAStopThatTakesTooLongGivesCallsBack(t *testing.T) {
	desk := newDesk()
	begun, cause := make(chan struct{}), make(chan error, 1)
	worker := desk.employ(t, func(ctx context.Context, _ *Call) (any, error) {
		close(begun)
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return nil, ctx.Err()
	}, WorkerOptions{StopTimeout: 50 * time.Millisecond})
	desk.add("a")
	receive(t, begun, "a call")
	worker.stop()
	mustBe(t, receive(t, cause, "the cancellation of the handler"), ErrWorkerStopped)
	worker.mustSee(t, "a released")
	if request := receive(t, desk.released, "a release"); request.GetClaimEpoch() != 3 {
		t.Errorf("got %v", request)
	}
	worker.mustEnd(t)
}

func TestWhatIsClaimedInTheMomentOfTheStopIsGivenBack(t *testing.T) {
	desk := newDesk()
	hear := desk.claim
	desk.claim = func(
		ctx context.Context, request *interlockv1.ClaimRequirementRequest,
	) (*interlockv1.Requirement, error) {
		if request.GetWaitTimeout().AsDuration() > 0 {
			desk.claims <- request
			<-ctx.Done() // The reply to this one is never read.
			return nil, nil
		}
		desk.add("a")
		return hear(ctx, request)
	}
	worker := desk.employ(t, func(context.Context, *Call) (any, error) { return 1, nil }, WorkerOptions{})
	first := receive(t, desk.claims, "a claim")
	worker.mustEnd(t)
	if again := receive(t, desk.claims, "the same claim"); again.GetRequestId() != first.GetRequestId() {
		t.Errorf("it asked again under %s", again.GetRequestId())
	}
	if request := receive(t, desk.released, "a release"); request.GetRequirementId() != "a" {
		t.Errorf("got %v", request)
	}
	if len(desk.resolved) > 0 {
		t.Errorf("it executed %v", <-desk.resolved)
	}
}

func TestAWorkerOutlivesAnOutage(t *testing.T) {
	desk := newDesk()
	var claims, reports atomic.Int32
	hear := desk.claim
	desk.claim = func(
		ctx context.Context, request *interlockv1.ClaimRequirementRequest,
	) (*interlockv1.Requirement, error) {
		if claims.Add(1) < 3 {
			desk.claims <- request
			return nil, shutdown()
		}
		return hear(ctx, request)
	}
	desk.resolve = func(request *interlockv1.ResolveRequirementRequest) error {
		desk.resolved <- request
		if reports.Add(1) < 3 {
			return shutdown()
		}
		return nil
	}
	worker := desk.employ(t, func(context.Context, *Call) (any, error) { return 1, nil }, WorkerOptions{})
	desk.add("a")
	worker.mustSee(t, "a reported")
	first, second := <-desk.claims, <-desk.claims
	if first.GetRequestId() != second.GetRequestId() {
		t.Error("the claims of one attempt have different ids")
	}
	if one, other := <-desk.resolved, <-desk.resolved; one.GetRequestId() != other.GetRequestId() {
		t.Error("the reports of one result have different ids")
	}
	worker.mustEnd(t)
}

func TestAWorkerThatMayNotClaimEnds(t *testing.T) {
	desk := newDesk()
	desk.claim = func(context.Context, *interlockv1.ClaimRequirementRequest) (*interlockv1.Requirement, error) {
		return nil, failure(codes.PermissionDenied, "", nil)
	}
	worker := desk.employ(t, func(context.Context, *Call) (any, error) { return 1, nil }, WorkerOptions{})
	mustBe(t, receive(t, worker.ended, "the end of the worker"), ErrPermissionDenied)
}
