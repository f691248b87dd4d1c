#!/bin/sh
# Publishing a Go module is tagging the repository that holds it. So this tags a copy of it, has Go
# clone that in place of the real one, and uses the module from an empty project, as its users do.
set -eu
cd "$(dirname "$0")"

module=github.com/interlock-dev/interlock/clients/go
version=v$(sed -n 's/^const Version = "\(.*\)"$/\1/p' interlock/client.go)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

mkdir -p "$tmp/repository/clients/go" "$tmp/project"
cp ../../LICENSE "$tmp/repository"
git ls-files -co --exclude-standard | tar -c -T - | tar -x -C "$tmp/repository/clients/go"
git -C "$tmp/repository" -c init.defaultBranch=main init -q
git -C "$tmp/repository" add .
git -C "$tmp/repository" -c user.name=test -c user.email=test@localhost commit -qm 'A release'
git -C "$tmp/repository" tag "clients/go/$version"

export GIT_CONFIG_COUNT=1
export GIT_CONFIG_KEY_0="url.file://$tmp/repository.insteadOf"
export GIT_CONFIG_VALUE_0=https://github.com/interlock-dev/interlock
# Versions that are downloaded once are kept for ever, so this one goes elsewhere. The others come
# from where they were kept, and were checked then.
GOPROXY="file://$(go env GOMODCACHE)/cache/download,$(go env GOPROXY)"
export GOPROXY GOMODCACHE="$tmp/modules" GOPRIVATE='github.com/interlock-dev/*' GOSUMDB=off
export GOFLAGS='-modcacherw -trimpath' GOWORK=off

cd "$tmp/project"
cat >main.go <<'PROGRAM'
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/interlock-dev/interlock/clients/go/interlock"
	interlockv1 "github.com/interlock-dev/interlock/clients/go/interlock/v1"
)

func main() {
	target := os.Getenv("INTERLOCK_TARGET")
	client, err := interlock.New(target, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println("interlock", interlock.Version)
	if target == "" {
		return
	}
	var workflow *interlockv1.Workflow
	for workflow, err = range client.ListWorkflows(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(workflow.GetWorkflowId())
	}
}
PROGRAM
go mod init example.com/project 2>/dev/null
go get "$module/interlock@$version" 2>/dev/null || go get "$module/interlock@$version"
test -f "$GOMODCACHE/$module@$version/LICENSE"
go vet .
go build -o program .
test "$(./program | head -1)" = "interlock ${version#v}"
./program
