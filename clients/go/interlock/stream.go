package interlock

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

// cursor is where a stream stands: how to go on from there, and what is new in a reply.
type cursor[Reply, Item any] interface {
	// open starts the call that goes on from here, and gives what receives its replies.
	open(ctx context.Context) (func() (Reply, error), error)
	// take gives the new items in a reply, and whether it shows that the server is well.
	take(reply Reply) (items []Item, isProgress bool)
	// isFinished says that nothing can follow, so that a lost connection loses nothing.
	isFinished() bool
}

var errLeft = errors.New("the loop was left")

// stream gives the items of a stream, which goes on by itself after the server was unavailable.
// Leaving the loop ends the call. Every loop over it begins at its beginning.
func stream[Reply, Item any](
	ctx context.Context, c *Client, begin func() (cursor[Reply, Item], error),
) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		var none Item
		ctx, hangUp := context.WithCancel(ctx)
		defer hangUp()
		at, err := begin()
		if err != nil {
			yield(none, err)
			return
		}
		outage := &backoff{limit: c.retryTimeout}
		for {
			err := follow(ctx, at, outage, yield)
			if errors.Is(err, errLeft) || errors.Is(err, io.EOF) || at.isFinished() {
				return
			}
			if err := outage.survive(ctx, errorFrom(err)); err != nil {
				yield(none, err)
				return
			}
		}
	}
}

// follow reads one call to its end, which is io.EOF when it ended well.
func follow[Reply, Item any](
	ctx context.Context, at cursor[Reply, Item], outage *backoff, yield func(Item, error) bool,
) error {
	receive, err := at.open(ctx)
	if err != nil {
		return err
	}
	for {
		reply, err := receive()
		if err != nil {
			return err
		}
		items, isProgress := at.take(reply)
		if isProgress {
			outage.reset()
		}
		for _, item := range items {
			if !yield(item, nil) {
				return errLeft
			}
		}
	}
}

// eventsReply is what the three streams of events have in common.
type eventsReply interface {
	GetEvents() *interlockv1.RunEvents
}

// receiving adapts a call that was started, so that it can be passed to it.
func receiving[Reply any, Pointer interface {
	*Reply
	eventsReply
}](call grpc.ServerStreamingClient[Reply], err error) (func() (eventsReply, error), error) {
	if err != nil {
		return nil, err
	}
	return func() (eventsReply, error) {
		reply, err := call.Recv()
		return Pointer(reply), err
	}, nil
}

// runCursor is the position in the events of one run.
type runCursor struct {
	client *Client
	// opening starts the first call. Until that has brought an event, it is also what is
	// repeated, with the same request id, so that nothing happens twice.
	opening func(ctx context.Context) (func() (eventsReply, error), error)
	// watch is what to call after that, with the position so far.
	watch *interlockv1.WatchRunRequest
	// isLeg says that the stream ends when the run pauses.
	isLeg bool

	texts      transcript
	isComplete bool
}

func (r *runCursor) open(ctx context.Context) (func() (eventsReply, error), error) {
	r.texts.resume()
	if r.opening != nil {
		return r.opening(ctx)
	}
	return receiving(r.client.runs.WatchRun(ctx, proto.CloneOf(r.watch)))
}

func (r *runCursor) take(reply eventsReply) ([]*Event, bool) {
	if watched, ok := reply.(*interlockv1.WatchRunResponse); ok && watched.GetSnapshot() != nil {
		return nil, false
	}
	var events []*Event
	for _, message := range reply.GetEvents().GetEvents() {
		if !r.isNew(message) || message.GetEvent() == nil || !r.texts.admits(message) {
			continue
		}
		r.note(message)
		events = append(events, &Event{Message: message})
	}
	return events, true
}

// isNew says whether an event was not yet received. Only stored events move the position, and
// those of an unknown kind do too.
func (r *runCursor) isNew(message *interlockv1.RunEvent) bool {
	if message.GetContentDelta() != nil {
		return true
	}
	if message.GetSequence() <= r.watch.GetAfterSequence() {
		return false
	}
	r.opening = nil
	r.watch.RunId, r.watch.AfterSequence = message.GetRunId(), message.GetSequence()
	return true
}

func (r *runCursor) note(message *interlockv1.RunEvent) {
	switch message.GetEvent().(type) {
	case *interlockv1.RunEvent_ContentDelta:
	case *interlockv1.RunEvent_WorkflowCompleted, *interlockv1.RunEvent_WorkflowFailed,
		*interlockv1.RunEvent_WorkflowCancelled:
		r.isComplete = true
	case *interlockv1.RunEvent_WorkflowPaused:
		r.isComplete = r.isLeg
	default:
		r.isComplete = false
	}
}

func (r *runCursor) isFinished() bool { return r.isComplete }

// pages gives the items of a list, read page by page as the loop asks for them.
func pages[Item any](read func(token string) ([]Item, string, error)) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for token, isLast := "", false; !isLast; isLast = token == "" {
			items, next, err := read(token)
			if err != nil {
				var none Item
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			token = next
		}
	}
}
