#!/bin/sh
# Builds the package as it is published, installs it in an environment of its own outside of the
# repository, as its users would, and uses it there. Calls the server at INTERLOCK_TARGET when that
# is set.
set -eu
cd "$(dirname "$0")"

project=$(mktemp -d)
trap 'rm -rf "$project"' EXIT
uv() { "$PYTHON" -m uv --quiet "$@"; }

uv build --out-dir "$project/dist" .
cd "$project"
uv venv --python "$PYTHON" .venv
uv pip install --python .venv/bin/python dist/*.whl
cat >main.py <<'PROGRAM'
import os
from importlib.metadata import version

from interlock import Client, v1

print("interlock", version("interlock"))
with Client(os.environ.get("INTERLOCK_TARGET", "localhost:50051")) as client:
    assert client.workflow("WeatherWorkflow").workflow_id == "WeatherWorkflow"
    if "INTERLOCK_TARGET" in os.environ:
        workflow: v1.Workflow
        for workflow in client.list_workflows():
            print(workflow.workflow_id)
PROGRAM
.venv/bin/python -W error -I main.py
