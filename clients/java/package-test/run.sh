#!/bin/sh
# Publishes the client into a folder, then builds and runs a project that knows only its
# coordinates. Each has a local repository of its own; what others publish comes from ours.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
maven="$MAVEN -B -q -Dmaven.repo.local.tail=$HOME/.m2/repository"

$maven -Dmaven.repo.local="$room/ours" -f "$here/../pom.xml" -Ppublish -Dmaven.test.skip \
	package deploy:deploy -DaltDeploymentRepository="local::file://$room/published"
for what in .jar -sources.jar -javadoc.jar .pom; do
	test -s "$room/published/dev/interlock/interlock-client/0.1.0/interlock-client-0.1.0$what"
done

cp -r "$here/project" "$room/project"
cd "$room/project"
$maven -Dmaven.repo.local="$room/theirs" -Dpublished="file://$room/published" compile exec:java
