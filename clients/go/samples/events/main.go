// Events streams a run up to its pause, confirms what waits, and streams the rest.
package main

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"log"
	"os"

	"github.com/interlock-dev/interlock/clients/go/interlock"
	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

func main() {
	client, err := interlock.New(cmp.Or(os.Getenv("INTERLOCK_TARGET"), "localhost:50051"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := run(context.Background(), client); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, client *interlock.Client) error {
	runID, err := show(client.RunStream(ctx, "WeatherWorkflow", "What is the weather in Tokyo?", nil))
	if err != nil {
		return err
	}
	run, err := client.GetRun(ctx, runID)
	if err != nil {
		return err
	}
	for _, requirement := range run.OpenRequirements() {
		if err := requirement.Confirm(""); err != nil {
			return err
		}
	}
	_, err = show(client.ContinueStream(ctx, run))
	return err
}

// show prints the events of a stream, and gives the run that they are of.
func show(events iter.Seq2[*interlock.Event, error]) (runID string, err error) {
	for event, err := range events {
		if err != nil {
			return "", err
		}
		runID = event.RunID()
		switch payload := event.Payload().(type) {
		case *interlockv1.ContentDelta:
			// A piece of text, while an agent writes: payload.GetText().
		case *interlockv1.WorkflowCompleted:
			fmt.Println(event.Kind())
			var content string
			if err := interlock.JSON(payload.GetOutputJson()).Decode(&content); err != nil {
				return "", err
			}
			fmt.Println("Done:", content)
		default:
			fmt.Println(event.Kind())
		}
	}
	return runID, nil
}
