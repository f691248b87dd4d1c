package interlock

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
)

func unavailable(retryDelay time.Duration) error {
	delay := &errdetails.RetryInfo{RetryDelay: durationpb.New(retryDelay)}
	return errorFrom(failure(codes.Unavailable, "STORE_UNAVAILABLE", nil, delay))
}

func TestWaitsDoubleUntilTheOutageHasLastedTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, outage := time.Now(), &backoff{limit: 30 * time.Second}
		for want := backoffShortest; ; want = min(2*want, backoffLongest) {
			before := time.Now()
			if err := outage.survive(t.Context(), unavailable(0)); err != nil {
				mustBe(t, err, ErrUnavailable)
				break
			}
			if waited := time.Since(before); waited < want/2 || waited > want {
				t.Errorf("waited %v, want up to %v", waited, want)
			}
		}
		if lasted := time.Since(begun); lasted < 20*time.Second || lasted > 30*time.Second {
			t.Errorf("gave up after %v", lasted)
		}
		outage.reset()
		before := time.Now()
		if err := outage.survive(t.Context(), unavailable(0)); err != nil || time.Since(before) > backoffShortest {
			t.Errorf("the next outage begins with %v after %v", err, time.Since(before))
		}
	})
}

func TestTheServerSaysHowLongToWaitAtLeast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, outage := time.Now(), &backoff{limit: 30 * time.Second}
		if err := outage.survive(t.Context(), unavailable(7*time.Second)); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(begun); waited < 7*time.Second || waited > 7*time.Second+backoffShortest {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestNothingElseIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		outage := &backoff{limit: -1}
		for _, code := range []codes.Code{codes.Internal, codes.Aborted, codes.DeadlineExceeded, codes.Unknown} {
			if err := outage.survive(t.Context(), errorFrom(failure(code, "", nil))); err == nil {
				t.Errorf("%v was survived", code)
			}
		}
		if time.Since(begun) != 0 {
			t.Errorf("waited %v", time.Since(begun))
		}
	})
}

func TestAWaitThatCannotEndInTimeIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun, outage := time.Now(), &backoff{limit: -1}
		mustBe(t, outage.survive(ctx, unavailable(2*time.Second)), ErrUnavailable)
		if time.Since(begun) != 0 {
			t.Errorf("waited %v", time.Since(begun))
		}
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		mustBe(t, outage.survive(ctx, unavailable(2*time.Second)), context.Canceled)
		if time.Since(begun) != time.Second {
			t.Errorf("waited %v", time.Since(begun))
		}
	})
}
