package interlock

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	backoffShortest = 100 * time.Millisecond
	backoffLongest  = 10 * time.Second
)

// backoff is one outage: waits double from attempt to attempt, until it has lasted too long.
type backoff struct {
	limit time.Duration // Counted from the first failure; negative means for ever.
	since time.Time
	wait  time.Duration
}

// reset says that the outage is over.
func (b *backoff) reset() { b.since, b.wait = time.Time{}, 0 }

// next is how long to wait before the next attempt, and false means to give up. The wait is a
// little longer than the server asks for, so that not all clients come back at once.
func (b *backoff) next(retryDelay time.Duration) (time.Duration, bool) {
	if b.since.IsZero() {
		b.since, b.wait = time.Now(), backoffShortest
	}
	delay := retryDelay + time.Duration(float64(b.wait)*(0.5+rand.Float64()/2))
	b.wait = min(2*b.wait, backoffLongest)
	return delay, b.limit < 0 || time.Since(b.since)+delay <= b.limit
}

// survive waits after a failed attempt. It gives nil when there shall be another one, and
// else the error to report.
func (b *backoff) survive(ctx context.Context, err error) error {
	var failure *Error
	if !errors.As(err, &failure) || failure.Code != codes.Unavailable {
		return err
	}
	delay, ok := b.next(failure.RetryDelay)
	if deadline, has := ctx.Deadline(); !ok || has && time.Until(deadline) <= delay {
		return err
	}
	select {
	case <-ctx.Done():
		return errorFrom(ctx.Err())
	case <-time.After(delay):
		return nil
	}
}
