package interlock

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The families of errors, for errors.Is. Every failed call gives an *Error, which is of one of
// them; a run that fails is no error, see [Run.Failure].
var (
	ErrInvalidArgument    error = family(codes.InvalidArgument)    // See Error.FieldViolations.
	ErrNotFound           error = family(codes.NotFound)           // No such workflow, run, requirement or session.
	ErrAlreadyExists      error = family(codes.AlreadyExists)      // The request id was used with another request.
	ErrFailedPrecondition error = family(codes.FailedPrecondition) // It does not fit the state of the run or requirement.
	ErrConflict           error = family(codes.Aborted)            // It changed since it was read.
	ErrOutOfRange         error = family(codes.OutOfRange)         // No such position among the events.
	ErrResourceExhausted  error = family(codes.ResourceExhausted)  // A limit was reached.
	ErrUnauthenticated    error = family(codes.Unauthenticated)    // The server does not know who is calling.
	ErrPermissionDenied   error = family(codes.PermissionDenied)   // The caller may not do this.
	ErrUnimplemented      error = family(codes.Unimplemented)      // The server does not offer the method.
	ErrUnavailable        error = family(codes.Unavailable)        // For longer than Options.RetryTimeout.
	ErrDeadlineExceeded   error = family(codes.DeadlineExceeded)   // It may have had its effect.
	ErrCancelled          error = family(codes.Canceled)           // By the caller's context, or by Client.Close.
	ErrInternal           error = family(codes.Internal)           // Metadata["error_id"] finds it in the server's log.
)

// Error is a call that failed.
type Error struct {
	// Code is the gRPC status code.
	Code codes.Code
	// Reason is the name of the contract's ErrorReason without its prefix, for example
	// "RUN_NOT_FOUND"; empty when the error does not come from Interlock.
	Reason string
	// Message says what happened, for a developer.
	Message string
	// Metadata has every dynamic part of the message, by the name that ErrorReason gives it.
	Metadata map[string]string
	// FieldViolations says what is wrong with which field of the request.
	FieldViolations []FieldViolation
	// RetryDelay is how long the server asks to wait before another attempt; 0 when it does
	// not say.
	RetryDelay time.Duration

	cause error
}

// FieldViolation is a field of a request that is wrong.
type FieldViolation struct {
	// Field is its path, for example "spec.workflow_id".
	Field string
	// Description says what is wrong with it.
	Description string
}

// AlreadyResolvedError says that somebody decided otherwise before.
type AlreadyResolvedError struct {
	// Failure is the call that failed.
	Failure *Error
	// RequirementID is the requirement.
	RequirementID string
	// Resolution is what was decided: the answer's name in RequirementResolution.
	Resolution string
	// ResolvedBy is who decided.
	ResolvedBy string
}

func (e *AlreadyResolvedError) Error() string { return e.Failure.Error() }

// Unwrap gives the call that failed.
func (e *AlreadyResolvedError) Unwrap() error { return e.Failure }

// Error has the reason, the message, and what is wrong with which field.
func (e *Error) Error() string {
	reason := e.Reason
	if reason == "" {
		reason = codeName(e.Code)
	}
	text := "interlock: " + reason + ": " + e.Message
	violations := make([]string, 0, len(e.FieldViolations))
	for _, one := range e.FieldViolations {
		violations = append(violations, one.Field+": "+one.Description)
	}
	if all := strings.Join(violations, "; "); !strings.Contains(text, all) {
		text += " (" + all + ")"
	}
	return text
}

// Unwrap gives the error of gRPC.
func (e *Error) Unwrap() error { return e.cause }

// Is says whether the error is of a family; a call that ended with its context is also
// context.Canceled or context.DeadlineExceeded.
func (e *Error) Is(target error) bool {
	switch target {
	case context.Canceled:
		return e.Code == codes.Canceled
	case context.DeadlineExceeded:
		return e.Code == codes.DeadlineExceeded
	}
	wanted, ok := target.(family)
	return ok && codes.Code(wanted) == e.Code
}

type family codes.Code

func (f family) Error() string { return "interlock: " + codeName(codes.Code(f)) }

// errorFrom turns what gRPC gave into an *Error, or into what wraps one.
func errorFrom(err error) error {
	if errors.As(err, new(*Error)) {
		return err
	}
	if !errors.As(err, new(interface{ GRPCStatus() *status.Status })) {
		err = status.FromContextError(err).Err()
	}
	received := status.Convert(err)
	result := &Error{Code: received.Code(), Message: received.Message(), cause: err}
	for _, detail := range received.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			result.Reason, result.Metadata = detail.GetReason(), detail.GetMetadata()
		case *errdetails.BadRequest:
			for _, one := range detail.GetFieldViolations() {
				violation := FieldViolation{one.GetField(), one.GetDescription()}
				result.FieldViolations = append(result.FieldViolations, violation)
			}
		case *errdetails.RetryInfo:
			result.RetryDelay = max(0, detail.GetRetryDelay().AsDuration())
		}
	}
	if result.Reason != "REQUIREMENT_ALREADY_RESOLVED" {
		return result
	}
	return &AlreadyResolvedError{
		Failure:       result,
		RequirementID: result.Metadata["requirement_id"],
		Resolution:    result.Metadata["resolution"],
		ResolvedBy:    result.Metadata["resolved_by"],
	}
}

// codeName is a code as the specification of gRPC writes it, for example "NOT_FOUND".
func codeName(number codes.Code) string { return code.Code(number).String() }
