// The driver of the Go client in the conformance suite; see clients/conformance/README.md.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/interlock-dev/interlock/clients/go/interlock"
)

func main() {
	driver := newDriver()
	lines := bufio.NewReader(os.Stdin)
	replies := json.NewEncoder(os.Stdout)
	replies.SetEscapeHTML(false)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		var asked request
		if err := json.Unmarshal(line, &asked); err != nil {
			log.Fatalf("%s: %v", line, err)
		}
		if err := replies.Encode(driver.reply(context.Background(), &asked)); err != nil {
			log.Fatal(err)
		}
	}
}

// driver has the operations, over one client at a time, and what they have seen so far.
type driver struct {
	client       *interlock.Client
	runs         map[string]*interlock.Run
	requirements map[string]*interlock.Requirement
	streams      map[string]*reading
	workers      map[string]*working
}

func newDriver() *driver {
	return &driver{
		runs:         map[string]*interlock.Run{},
		requirements: map[string]*interlock.Requirement{},
		streams:      map[string]*reading{},
		workers:      map[string]*working{},
	}
}

// reply does what a request says.
func (d *driver) reply(ctx context.Context, asked *request) view {
	result, err := d.do(ctx, asked)
	var failure *interlock.Error
	switch {
	case errors.As(err, &failure):
		return view{"id": asked.ID, "error": errorView(failure)}
	case err != nil:
		return view{"id": asked.ID, "refused": err.Error()}
	}
	return view{"id": asked.ID, "result": result}
}

func (d *driver) do(ctx context.Context, asked *request) (view, error) {
	switch asked.Op {
	case "connect":
		return d.connect(asked)
	case "run":
		return d.seen(d.client.Run(ctx, asked.Workflow, asked.input(), asked.runOptions()))
	case "continue":
		run, err := d.decided(asked)
		if err != nil {
			return nil, err
		}
		return d.seen(d.client.Continue(ctx, run, asked.waitOptions()))
	case "get_run":
		return d.seen(d.client.GetRun(ctx, asked.RunID))
	case "wait_run":
		return d.seen(d.client.WaitRun(ctx, asked.RunID, asked.waitOptions()))
	case "cancel_run":
		return d.seen(d.client.CancelRun(ctx, asked.RunID, asked.Reason))
	case "list_runs":
		found, err := collected(d.client.ListRuns(ctx, asked.runFilter()), runView)
		return view{"runs": found}, err
	case "list_events":
		found, err := collected(d.client.ListEvents(ctx, asked.RunID, asked.AfterSequence), eventView)
		return view{"events": found}, err
	case "open":
		return d.open(ctx, asked)
	case "read":
		return d.read(asked)
	case "leave":
		d.streams[asked.Stream].leave()
		delete(d.streams, asked.Stream)
		return view{}, nil
	case "list_requirements":
		found, err := collected(d.client.ListRequirements(ctx, asked.Filter.filter()), d.noted)
		return view{"requirements": found}, err
	case "get_requirement":
		requirement, err := d.client.GetRequirement(ctx, asked.RequirementID)
		if err != nil {
			return nil, err
		}
		return d.noted(requirement), nil
	case "resolve":
		return d.resolve(ctx, asked)
	case "list_workflows":
		found, err := collected(d.client.ListWorkflows(ctx), workflowView)
		return view{"workflows": found}, err
	case "get_session":
		session, err := d.client.GetSession(ctx, asked.SessionID)
		if err != nil {
			return nil, err
		}
		return view{"session_id": session.ID(), "state": text(session.State())}, nil
	case "worker_start":
		d.workers[asked.Worker] = startWorker(ctx, d.client, asked)
		return view{}, nil
	case "worker_seen":
		return d.workers[asked.Worker].seen(asked), nil
	case "worker_finish":
		d.workers[asked.Worker].finish(value(asked.Value))
		return view{}, nil
	case "worker_stop":
		return d.workers[asked.Worker].stop()
	}
	return nil, fmt.Errorf("there is no operation %q", asked.Op)
}

// connect replaces the connection before, and ends what that has open.
func (d *driver) connect(asked *request) (view, error) {
	for _, stream := range d.streams {
		stream.leave()
	}
	for _, worker := range d.workers {
		worker.cancel()
	}
	clear(d.streams)
	clear(d.workers)
	if d.client != nil {
		if err := d.client.Close(); err != nil {
			return nil, err
		}
	}
	options, err := asked.connectOptions()
	if err != nil {
		return nil, err
	}
	d.client, err = interlock.New(asked.Target, options)
	return view{}, err
}

// seen notes a run, with the requirements in it.
func (d *driver) seen(run *interlock.Run, err error) (view, error) {
	if err != nil {
		return nil, err
	}
	d.runs[run.ID()] = run
	for _, requirement := range run.Requirements() {
		d.requirements[requirement.ID()] = requirement
	}
	return runView(run), nil
}

// noted notes a requirement.
func (d *driver) noted(requirement *interlock.Requirement) view {
	d.requirements[requirement.ID()] = requirement
	return requirementView(requirement)
}

// decided is the newest run of an id, with decisions on its requirements.
func (d *driver) decided(asked *request) (*interlock.Run, error) {
	run := d.runs[asked.RunID]
	if run == nil {
		return interlock.RunRef(asked.RunID), nil
	}
	for _, made := range asked.Decisions {
		for _, requirement := range run.Requirements() {
			if requirement.ID() != made.RequirementID {
				continue
			}
			if err := made.decide(requirement); err != nil {
				return nil, err
			}
		}
	}
	return run, nil
}

func (d *driver) open(ctx context.Context, asked *request) (view, error) {
	switch asked.Of {
	case "run":
		d.streams[asked.Stream] = newReading(ctx, func(ctx context.Context) items {
			return anyOf(d.client.RunStream(ctx, asked.Workflow, asked.input(), asked.runOptions()))
		})
	case "continue":
		run, err := d.decided(asked)
		if err != nil {
			return nil, err
		}
		d.streams[asked.Stream] = newReading(ctx, func(ctx context.Context) items {
			return anyOf(d.client.ContinueStream(ctx, run))
		})
	case "watch":
		d.streams[asked.Stream] = newReading(ctx, func(ctx context.Context) items {
			return anyOf(d.client.Watch(ctx, asked.RunID, asked.watchOptions()))
		})
	case "requirements":
		d.streams[asked.Stream] = newReading(ctx, func(ctx context.Context) items {
			return anyOf(d.client.WatchRequirements(ctx, asked.Filter.filter()))
		})
	}
	return view{}, nil
}

func (d *driver) read(asked *request) (view, error) {
	found, hasEnded, err := d.streams[asked.Stream].read(asked.Count, asked.Until, asked.Timeout)
	if err != nil {
		return nil, err
	}
	shown := []view{}
	for _, item := range found {
		switch item := item.(type) {
		case *interlock.Event:
			shown = append(shown, eventView(item))
		case *interlock.Requirement:
			shown = append(shown, d.noted(item))
		}
	}
	return view{"items": shown, "ended": hasEnded}, nil
}

// resolve decides on the newest requirement of an id, or by the id alone.
func (d *driver) resolve(ctx context.Context, asked *request) (view, error) {
	options := &interlock.ResolveOptions{HoldRun: asked.HoldRun}
	var resolution *interlock.Resolution
	var err error
	if requirement := d.requirements[asked.RequirementID]; requirement == nil {
		resolution, err = d.client.ResolveByID(ctx, asked.RequirementID, asked.decision.decision(), options)
	} else if err = asked.decide(requirement); err == nil {
		resolution, err = d.client.Resolve(ctx, requirement, options)
	}
	if err != nil {
		return nil, err
	}
	return view{
		"requirement": d.noted(resolution.Requirement), "run_state": resolution.RunState,
	}, nil
}
