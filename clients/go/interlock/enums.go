package interlock

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// RunState says where a run is in its life. A state that is newer than this package is its
// number in the contract, for example "7"; so it is with the other enums.
type RunState string

// The states of a run.
const (
	RunPending   RunState = "PENDING"
	RunRunning   RunState = "RUNNING"
	RunPaused    RunState = "PAUSED"
	RunCompleted RunState = "COMPLETED"
	RunFailed    RunState = "FAILED"
	RunCancelled RunState = "CANCELLED"
)

// PauseKind says why a run is paused; it is empty when the run is not.
type PauseKind string

// The kinds of pause.
const (
	PauseExecutor PauseKind = "EXECUTOR" // A tool call inside a step waits.
	PauseStep     PauseKind = "STEP"     // A step itself waits.
	PauseError    PauseKind = "ERROR"    // A step failed, and a person decides what follows.
)

// RequirementKind says what is needed to resolve a requirement.
type RequirementKind string

// The kinds of requirement.
const (
	KindConfirmation      RequirementKind = "CONFIRMATION"       // A yes or a no to a tool call.
	KindUserInput         RequirementKind = "USER_INPUT"         // Values for arguments of a tool.
	KindExternalExecution RequirementKind = "EXTERNAL_EXECUTION" // The result of a tool that runs elsewhere.
	KindUserFeedback      RequirementKind = "USER_FEEDBACK"      // Answers to questions of an agent.
	KindStepConfirmation  RequirementKind = "STEP_CONFIRMATION"  // A yes or a no to a whole step.
	KindStepInput         RequirementKind = "STEP_INPUT"         // Values for a whole step.
	KindOutputReview      RequirementKind = "OUTPUT_REVIEW"      // A judgement of a step's output.
	KindRouteSelection    RequirementKind = "ROUTE_SELECTION"    // A choice between routes.
	KindIterationReview   RequirementKind = "ITERATION_REVIEW"   // A judgement of a loop's iteration.
	KindErrorDecision     RequirementKind = "ERROR_DECISION"     // What to do about a failed step.
	KindInDoubt           RequirementKind = "IN_DOUBT"           // What to do about a call that may have happened.
)

// RequirementState says whether a requirement still waits.
type RequirementState string

// The states of a requirement.
const (
	RequirementPending   RequirementState = "PENDING"
	RequirementResolved  RequirementState = "RESOLVED"
	RequirementExpired   RequirementState = "EXPIRED"   // Nobody answered in time.
	RequirementCancelled RequirementState = "CANCELLED" // Its run ended first.
)

// OnReject says what a rejection does; empty means as the definition says.
type OnReject string

// What a rejection can do.
const (
	RejectSkips   OnReject = "SKIP"   // The step is skipped.
	RejectCancels OnReject = "CANCEL" // The run is cancelled.
	RejectElse    OnReject = "ELSE"   // The other branch of a condition runs.
	RejectRetries OnReject = "RETRY"  // The step runs again, with the note.
)

// EnumName is the name of an enum's value in the contract without its prefix, for example
// "PAUSED": empty when it is not set, and its number when it is newer than this package.
func EnumName(value protoreflect.Enum) string {
	number := value.Number()
	if number == 0 {
		return ""
	}
	known := value.Descriptor().Values().ByNumber(number)
	if known == nil {
		return strconv.Itoa(int(number))
	}
	return strings.TrimPrefix(string(known.Name()), enumPrefix(value.Descriptor()))
}

// enumNumber is the number of an enum's value, by its EnumName in any case.
func enumNumber[E interface {
	~int32
	protoreflect.Enum
}](name string) (E, error) {
	var enum E
	known := enum.Descriptor().Values()
	full := enumPrefix(enum.Descriptor()) + strings.ToUpper(name)
	if value := known.ByName(protoreflect.Name(full)); value != nil {
		return E(value.Number()), nil
	}
	number, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("interlock: %q is not a value of %s", name, enum.Descriptor().Name())
	}
	return E(number), nil
}

// enumNumbers are the numbers of several values.
func enumNumbers[E interface {
	~int32
	protoreflect.Enum
}, Name ~string](names []Name) ([]E, error) {
	numbers := make([]E, 0, len(names))
	for _, name := range names {
		number, err := enumNumber[E](string(name))
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, number)
	}
	return numbers, nil
}

func enumPrefix(enum protoreflect.EnumDescriptor) string {
	return strings.TrimSuffix(string(enum.Values().ByNumber(0).Name()), "UNSPECIFIED")
}
