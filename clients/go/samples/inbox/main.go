// Inbox approves every tool call that waits in any run of a workflow.
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
	approved := 0
	waiting := client.ListRequirements(ctx, &interlock.RequirementFilter{
		WorkflowID: "WeatherWorkflow",
		Kinds:      []interlock.RequirementKind{interlock.KindConfirmation},
	})
	for requirement, err := range waiting {
		if err != nil {
			return err
		}
		fmt.Println("Approving:", requirement.ToolName(), requirement.Args())
		if err := requirement.Confirm("approved from the inbox"); err != nil {
			return err
		}
		if _, err := client.Resolve(ctx, requirement, nil); err != nil {
			return err
		}
		approved++
	}
	fmt.Println("Approved:", approved)
	return nil
}
