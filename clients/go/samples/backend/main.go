// Backend runs a workflow, answers what it waits for, and prints what came of it.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"

	"github.com/interlock-dev/interlock/clients/go/interlock"
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
	run, err := client.Run(ctx, "WeatherWorkflow", "What is the weather in Tokyo?", nil)
	if err != nil {
		return err
	}
	for run.IsPaused() {
		for _, requirement := range run.OpenRequirements() {
			fmt.Println("Waiting:", requirement.ToolName(), requirement.Args())
			if err := requirement.Confirm(""); err != nil {
				return err
			}
		}
		if run, err = client.Continue(ctx, run, nil); err != nil {
			return err
		}
	}
	if failure := run.Failure(); failure != nil {
		return fmt.Errorf("the run failed: %s", failure.GetMessage())
	}
	var content string
	if err := run.Output().Decode(&content); err != nil {
		return err
	}
	fmt.Println("Done:", content)
	return nil
}
