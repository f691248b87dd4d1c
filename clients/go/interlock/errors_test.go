package interlock

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestErrorsHaveWhatTheServerSays(t *testing.T) {
	err := errorFrom(failure(codes.InvalidArgument, "INVALID_FIELD", map[string]string{"a": "b"},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "spec.workflow_id", Description: "is missing"},
		}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(3 * time.Second)},
		&errdetails.Help{}, // One that we do not read.
	))
	mustBe(t, err, ErrInvalidArgument)
	var got *Error
	if !errors.As(err, &got) {
		t.Fatalf("got %v", err)
	}
	if got.Code != codes.InvalidArgument || got.Reason != "INVALID_FIELD" || got.Metadata["a"] != "b" ||
		got.FieldViolations[0] != (FieldViolation{"spec.workflow_id", "is missing"}) ||
		got.RetryDelay != 3*time.Second {
		t.Errorf("got %+v", got)
	}
	if want := "interlock: INVALID_FIELD: it failed (spec.workflow_id: is missing)"; err.Error() != want {
		t.Errorf("got %q", err)
	}
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("gRPC sees %v", status.Code(err))
	}
}

func TestAlreadyResolvedSaysByWhom(t *testing.T) {
	err := errorFrom(failure(codes.FailedPrecondition, "REQUIREMENT_ALREADY_RESOLVED", map[string]string{
		"requirement_id": "r", "resolution": "reject", "resolved_by": "Ada",
	}))
	mustBe(t, err, ErrFailedPrecondition)
	var resolved *AlreadyResolvedError
	if !errors.As(err, &resolved) || !errors.As(err, new(*Error)) {
		t.Fatalf("got %T", err)
	}
	if resolved.RequirementID != "r" || resolved.Resolution != "reject" || resolved.ResolvedBy != "Ada" {
		t.Errorf("got %+v", resolved)
	}
}

func TestEndsOfContextsAreThoseOfGo(t *testing.T) {
	for _, err := range []error{context.Canceled, status.Error(codes.Canceled, "")} {
		mustBe(t, errorFrom(err), context.Canceled)
		mustBe(t, errorFrom(err), ErrCancelled)
	}
	for _, err := range []error{context.DeadlineExceeded, status.Error(codes.DeadlineExceeded, "")} {
		mustBe(t, errorFrom(err), context.DeadlineExceeded)
		mustBe(t, errorFrom(err), ErrDeadlineExceeded)
	}
	if errors.Is(errorFrom(status.Error(codes.NotFound, "")), context.Canceled) {
		t.Error("everything is a cancellation")
	}
	if text := fmt.Sprint(ErrCancelled); text != "interlock: CANCELLED" {
		t.Errorf("got %q", text)
	}
}
