package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/interlock-dev/interlock/clients/go/interlock"
)

const running interlock.Outcome = "running"

// working is a worker, and what it has seen.
type working struct {
	cancel context.CancelFunc
	ended  chan error

	mutex   sync.Mutex
	calls   []*call
	changed chan struct{} // Closed and replaced whenever a call changes.
}

// call is a call of the worker.
type call struct {
	*interlock.Call
	outcome  interlock.Outcome
	finished chan any // What a handler that waits shall return.
}

func startWorker(ctx context.Context, client *interlock.Client, asked *request) *working {
	ctx, cancel := context.WithCancel(ctx)
	w := &working{cancel: cancel, ended: make(chan error, 1), changed: make(chan struct{})}
	handlers := map[string]interlock.Handler{}
	for name, what := range asked.Tools {
		handlers[name] = func(ctx context.Context, claimed *interlock.Call) (any, error) {
			return what.handle(ctx, w.begun(claimed))
		}
	}
	worker := client.NewWorker(handlers, &interlock.WorkerOptions{
		Concurrency: asked.Concurrency, Lease: seconds(asked.Lease), Done: w.done,
	})
	go func() { w.ended <- worker.Run(ctx) }()
	return w
}

func (t tool) handle(ctx context.Context, claimed *call) (any, error) {
	switch t.Do {
	case "return":
		return value(t.Value), nil
	case "echo":
		return claimed.Args, nil
	case "fail":
		return nil, errors.New(t.Message)
	case "crash":
		panic(t.Message)
	}
	select {
	case result := <-claimed.finished:
		return result, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *working) begun(claimed *interlock.Call) *call {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	one := &call{claimed, running, make(chan any, 1)}
	w.calls = append(w.calls, one)
	w.announce()
	return one
}

func (w *working) done(claimed *interlock.Call, outcome interlock.Outcome, _ error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for _, one := range w.calls {
		if one.Call == claimed {
			one.outcome = outcome
		}
	}
	w.announce()
}

func (w *working) announce() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// seen waits until so many calls have an outcome, and gives all calls.
func (w *working) seen(asked *request) view {
	var over <-chan time.Time
	if asked.Timeout != nil {
		over = time.After(seconds(asked.Timeout))
	}
	for {
		w.mutex.Lock()
		matching, changed := 0, w.changed
		for _, one := range w.calls {
			if asked.Outcome == "" || string(one.outcome) == asked.Outcome {
				matching++
			}
		}
		w.mutex.Unlock()
		if asked.Count == nil || matching >= *asked.Count {
			return w.view()
		}
		select {
		case <-changed:
		case <-over:
			return w.view()
		}
	}
}

// finish lets every handler that waits return a value.
func (w *working) finish(result any) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for _, one := range w.calls {
		if one.outcome == running && len(one.finished) == 0 {
			one.finished <- result
		}
	}
}

func (w *working) stop() (view, error) {
	w.cancel()
	err := <-w.ended
	return w.view(), err
}

func (w *working) view() view {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	calls := []view{}
	for _, one := range w.calls {
		calls = append(calls, view{
			"requirement_id": one.RequirementID,
			"tool_name":      one.ToolName,
			"args":           text(one.Args),
			"epoch":          one.Epoch,
			"outcome":        one.outcome,
		})
	}
	return view{"calls": calls}
}
