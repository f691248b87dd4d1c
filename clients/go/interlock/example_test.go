package interlock_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/interlock-dev/interlock/clients/go/interlock"
	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

// The snippets of the README. They are compiled, and TestTheReadmeIsCutFromWhatCompiles compares.

func ExampleRequirement_decide() {
	var requirement *interlock.Requirement
	decide := func() error {
		switch requirement.Kind() {
		case interlock.KindConfirmation:
			return requirement.Confirm("fine, this once") // or Reject("too expensive")
		case interlock.KindUserInput:
			return requirement.ProvideUserInput(map[string]any{"recipient": "Ada Lovelace"})
		case interlock.KindExternalExecution:
			return requirement.SetResult(map[string]any{"balance": 250}) // or SetError("no such table")
		default:
			return requirement.Reject("nobody here can say")
		}
	}
	if err := decide(); err != nil {
		log.Fatal(err)
	}
}

func ExampleClient_Run() {
	var client *interlock.Client
	ctx := context.Background()

	run, err := client.Run(ctx, "WeatherWorkflow", "What is the weather in Tokyo?", &interlock.RunOptions{
		SessionID:   "ada",
		Labels:      map[string]string{"team": "north"},
		WaitTimeout: 5 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	if run.State() == interlock.RunRunning {
		run, err = client.WaitRun(ctx, run.ID(), nil) // as long as it takes
	}
	_, _ = run, err
}

func ExampleClient_RunStream() {
	var client *interlock.Client
	ctx := context.Background()
	stream := func() error {
		for event, err := range client.RunStream(ctx, "WeatherWorkflow", "What is the weather in Tokyo?", nil) {
			if err != nil {
				return err
			}
			switch payload := event.Payload().(type) {
			case *interlockv1.ContentDelta:
				fmt.Print(payload.GetText())
			case *interlockv1.StepExecutorPaused:
				fmt.Println("Paused:", payload.GetStepRequirement().GetExecutorName())
			case *interlockv1.WorkflowCompleted:
				fmt.Println("Done:", payload.GetOutputJson())
			}
		}
		return nil
	}
	_ = stream
}

func ExampleClient_Watch() {
	var client *interlock.Client
	var event *interlock.Event
	ctx := context.Background()

	events := client.Watch(ctx, event.RunID(), &interlock.WatchOptions{AfterSequence: event.Sequence()})
	_ = events
}

func ExampleClient_WatchRequirements() {
	var client *interlock.Client
	ctx := context.Background()
	approve := func() error {
		for requirement, err := range client.WatchRequirements(ctx, &interlock.RequirementFilter{
			Kinds: []interlock.RequirementKind{interlock.KindConfirmation},
		}) {
			if err != nil {
				return err
			}
			if !requirement.IsOpen() {
				continue // somebody was faster
			}
			fmt.Println(requirement.RunID(), requirement.ToolName(), requirement.Args())
			if err := requirement.Confirm("approved by the night shift"); err != nil {
				return err
			}
			_, err = client.Resolve(ctx, requirement, nil)
			var resolved *interlock.AlreadyResolvedError
			if errors.As(err, &resolved) {
				fmt.Println(resolved.ResolvedBy, "was faster:", resolved.Resolution)
			} else if err != nil {
				return err
			}
		}
		return nil
	}
	_ = approve
}

func ExampleClient_ResolveByID() {
	var client *interlock.Client
	var id string
	ctx := context.Background()

	_, err := client.ResolveByID(ctx, id, interlock.Reject("not today"), nil)
	_ = err
}

func ExampleClient_NewWorker() {
	var client *interlock.Client
	var query func(ctx context.Context, sql, key string) ([][]any, error)

	runQuery := func(ctx context.Context, call *interlock.Call) (any, error) {
		var args struct {
			SQL string `json:"sql"`
		}
		if err := call.Args.Decode(&args); err != nil {
			return nil, err
		}
		return query(ctx, args.SQL, call.RequirementID)
	}
	worker := client.NewWorker(map[string]interlock.Handler{"run_query": runQuery}, &interlock.WorkerOptions{
		Concurrency: 4,
		Done: func(call *interlock.Call, outcome interlock.Outcome, err error) {
			log.Println(call.ToolName, call.RequirementID, outcome, err)
		},
	})

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := worker.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

func ExampleJSON() {
	total := interlock.JSON(`{"order": 9007199254740993}`)

	var typed struct {
		Order int64 `json:"order"`
	}
	if err := total.Decode(&typed); err != nil {
		log.Fatal(err)
	}
	loose := total.Value().(map[string]any)

	fmt.Println(typed.Order, loose["order"], total)
	// Output: 9007199254740993 9007199254740993 {"order": 9007199254740993}
}

func ExampleError() {
	var client *interlock.Client
	var runID string
	ctx := context.Background()

	_, err := client.GetRun(ctx, runID)
	var failure *interlock.Error
	switch {
	case errors.Is(err, interlock.ErrNotFound):
		fmt.Println("there is no such run")
	case errors.As(err, &failure):
		fmt.Println(failure.Code, failure.Reason, failure.Metadata, failure.FieldViolations)
	}
}

func ExampleNew() {
	client, err := interlock.New("interlock.example.com:443", &interlock.Options{
		TLS:     &tls.Config{}, // the roots of the system
		Token:   "...",         // sent as "authorization: Bearer ..."
		Timeout: 10 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
}

func ExampleOptions_ownRoot() {
	pem, err := os.ReadFile("root.pem")
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	options := &interlock.Options{TLS: &tls.Config{RootCAs: roots}}
	_ = options
}
