package interlock

import (
	"google.golang.org/protobuf/proto"

	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

// Event is something that happened in a run.
type Event struct {
	// Message is the event as the server sent it.
	Message *interlockv1.RunEvent
}

// Kind is the name of the field in the contract's RunEvent.event, for example "step_started".
func (e *Event) Kind() string { return oneofName(e.Message, "event") }

// Payload is what is particular to its kind, for a type switch: a *interlockv1.StepStarted, a
// *interlockv1.WorkflowPaused, and so on.
func (e *Event) Payload() proto.Message {
	reflected := e.Message.ProtoReflect()
	field := reflected.WhichOneof(reflected.Descriptor().Oneofs().ByName("event"))
	return reflected.Get(field).Message().Interface()
}

// RunID is the run.
func (e *Event) RunID() string { return e.Message.GetRunId() }

// Sequence is its position in the run: 1, 2, 3, with no gaps. A content delta is not stored and
// has that of the stored event before it.
func (e *Event) Sequence() int64 { return e.Message.GetSequence() }

// StepName is the node that it is about; empty when it is about the whole run.
func (e *Event) StepName() string { return e.Message.GetStep().GetName() }

// StepPath has the names from the root down to that node; a loop is followed by the number of
// its iteration.
func (e *Event) StepPath() []string { return e.Message.GetStep().GetPath() }

// Text is the piece of text that a content delta adds; empty for every other kind.
func (e *Event) Text() string { return e.Message.GetContentDelta().GetText() }

// transcript keeps pieces of text from coming twice. They are not stored: after a lost
// connection some come again, and others never.
type transcript map[string]*writing

// writing is the text of one step so far, by the index of its pieces.
type writing struct {
	last    int64
	skipped int64 // Pieces up to this one were delivered over an earlier connection.
	isOver  bool
}

// resume says that the connection was lost.
func (t transcript) resume() {
	for _, one := range t {
		one.skipped = one.last
	}
}

// admits notes an event, and says whether it is to be delivered.
func (t transcript) admits(event *interlockv1.RunEvent) bool {
	step := event.GetStep().GetStepId()
	switch payload := event.GetEvent().(type) {
	case *interlockv1.RunEvent_ContentDelta:
		text := t[step]
		if text == nil {
			text = &writing{}
			t[step] = text
		}
		index := payload.ContentDelta.GetIndex()
		if text.isOver || index <= text.skipped {
			return false
		}
		text.last = index
	case *interlockv1.RunEvent_StepStarted:
		delete(t, step)
	case *interlockv1.RunEvent_StepCompleted, *interlockv1.RunEvent_StepFailed,
		*interlockv1.RunEvent_StepSkipped:
		t[step] = &writing{isOver: true}
	}
	return true
}
