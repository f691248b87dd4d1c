// Worker executes the calls of an external tool, until it is interrupted or, with CALLS, until it
// has executed that many.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/interlock-dev/interlock/clients/go/interlock"
)

func main() {
	client, err := interlock.New(cmp.Or(os.Getenv("INTERLOCK_TARGET"), "localhost:50051"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, stop, client); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, stop func(), client *interlock.Client) error {
	limit, err := strconv.ParseInt(cmp.Or(os.Getenv("CALLS"), "0"), 10, 64)
	if err != nil {
		return err
	}
	var executed atomic.Int64
	runQuery := func(ctx context.Context, call *interlock.Call) (any, error) {
		var args struct {
			SQL string `json:"sql"`
		}
		if err := call.Args.Decode(&args); err != nil {
			return nil, err
		}
		fmt.Println("Running:", args.SQL)
		if executed.Add(1) == limit {
			stop() // This call still ends and is reported.
		}
		return interlock.JSON(`[["Tokyo",780.0]]`), nil
	}
	worker := client.NewWorker(map[string]interlock.Handler{"run_query": runQuery}, nil)
	return worker.Run(ctx)
}
