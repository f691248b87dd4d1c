package main

import (
	"context"
	"iter"
	"time"

	"github.com/interlock-dev/interlock/clients/go/interlock"
)

// items are events or requirements.
type items = iter.Seq2[any, error]

func anyOf[T any](stream iter.Seq2[T, error]) items {
	return func(yield func(any, error) bool) {
		for item, err := range stream {
			if !yield(item, err) {
				return
			}
		}
	}
}

// reading is a loop over a stream that goes on when it is asked to.
type reading struct {
	cancel context.CancelFunc
	asked  chan struct{}
	left   chan struct{}
	found  chan found // Closed when the loop is over.

	isAsked bool
}

type found struct {
	item any
	err  error
}

func newReading(ctx context.Context, stream func(ctx context.Context) items) *reading {
	ctx, cancel := context.WithCancel(ctx)
	r := &reading{
		cancel: cancel,
		asked:  make(chan struct{}),
		left:   make(chan struct{}),
		found:  make(chan found),
	}
	go r.loop(stream(ctx))
	return r
}

func (r *reading) loop(stream items) {
	defer close(r.found)
	if !r.mayGoOn() {
		return
	}
	for item, err := range stream {
		r.found <- found{item, err}
		if !r.mayGoOn() {
			break
		}
	}
}

func (r *reading) mayGoOn() bool {
	select {
	case <-r.asked:
		return true
	case <-r.left:
		return false
	}
}

// read gives items, and whether the stream has ended.
func (r *reading) read(count *int, until string, timeout *float64) (read []any, hasEnded bool, err error) {
	var over <-chan time.Time
	if timeout != nil {
		over = time.After(seconds(timeout))
	}
	for count == nil || len(read) < *count {
		if !r.isAsked {
			select {
			case r.asked <- struct{}{}:
				r.isAsked = true
			case <-r.found:
				return read, true, nil
			}
		}
		select {
		case one, isOpen := <-r.found:
			r.isAsked = false
			if !isOpen || one.err != nil {
				return read, !isOpen, one.err
			}
			read = append(read, one.item)
			if event, ok := one.item.(*interlock.Event); ok && until != "" && event.Kind() == until {
				return read, false, nil
			}
		case <-over:
			return read, false, nil
		}
	}
	return read, false, nil
}

// leave breaks off the loop. One that waits for an item can only be left by its context.
func (r *reading) leave() {
	if r.isAsked {
		r.cancel()
	}
	close(r.left)
	for range r.found {
	}
}
