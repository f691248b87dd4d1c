# Needs only Python 3.11 or newer, make and git. `make help` lists the targets.

PYTHON ?= python3
UV_VERSION := 0.13.9
BIN := .venv/bin
UV := $(BIN)/uv
GENERATED := clients/python/src/interlock/v1

# The system's certificates, so that installing also works behind a company's proxy.
export UV_SYSTEM_CERTS ?= 1
# Nothing of the caller's own Python leaks in.
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV

# The generators have an environment of their own: they need an older protobuf than the server.
GENERATORS := --isolated --no-project --python $(BIN)/python \
	--with grpcio-tools==1.76.0 --with setuptools==80.9.0 \
	--with mypy-protobuf==5.1.0 --with buf-bin==1.75.0
# $(call generate,FOLDER): generate into FOLDER, without the network once it has been done.
generate = offline=--offline; \
	$(UV) run -q $$offline $(GENERATORS) true 2>/dev/null || offline=; \
	$(UV) run -q $$offline $(GENERATORS) buf generate -o $(1)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: .venv/.ready ## Create .venv with everything in it
	@:

.venv/.ready: pyproject.toml clients/python/pyproject.toml server/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Interlock needs Python 3.11 or newer, and "$(PYTHON)" is not:' >&2; \
		$(PYTHON) --version >&2; \
		echo 'Name another one with: make setup PYTHON=python3.12' >&2; \
		exit 1; \
	}
	@test -x $(BIN)/python || { echo 'setup: creating .venv' && $(PYTHON) -m venv .venv; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@echo 'setup: installing what constraints.txt pins'
	@$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt \
		-e clients/python -e server --group dev
	@touch $@

.PHONY: generate
generate: setup ## Generate the code from proto/
	@echo 'generate: $(GENERATED)'
	@find $(GENERATED) -name '*_pb2*' -type f -delete 2>/dev/null || true
	@$(call generate,.)

.PHONY: check
check: setup lint-proto check-generated ## Format, lint, types, imports, contract
	@echo 'check: ruff'
	@$(BIN)/ruff format --quiet --check . || { echo 'Run: make format' >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@echo 'check: mypy'
	@$(BIN)/mypy --no-error-summary
	@echo 'check: import-linter'
	@$(BIN)/lint-imports --no-logo >.venv/imports.log 2>&1 || { cat .venv/imports.log; exit 1; }

# The contract is compared with main's, or, in a clone without that branch, with the last commit's.
.PHONY: lint-proto
lint-proto: setup
	@echo 'check: buf'
	@$(BIN)/buf lint
	@$(BIN)/buf format -d --exit-code
	@base=; \
	for ref in refs/heads/main refs/remotes/origin/main HEAD; do \
		if git rev-parse -q --verify "$$ref:proto" >/dev/null 2>&1; then base=$$ref; break; fi; \
	done; \
	if [ -z "$$base" ]; then echo 'check: no earlier contract, nothing can break'; exit 0; fi; \
	tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	git archive -o "$$tmp/base.tar" "$$base" buf.yaml proto; \
	$(BIN)/buf breaking --against "$$tmp/base.tar"

.PHONY: check-generated
check-generated: setup
	@echo 'check: generated code'
	@tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	{ $(call generate,"$$tmp"); } && \
	diff -r -x __pycache__ "$$tmp/$(GENERATED)" $(GENERATED) || \
	{ echo 'The generated code is not what proto/ says. Run: make generate' >&2; exit 1; }

.PHONY: test
test: check ## All checks, then all tests, and those of the clients
	@$(BIN)/pytest -n 2
	@$(MAKE) -s test-clients

.PHONY: test-replicas
test-replicas: setup ## The tests of the service, with three servers instead of one
	@INTERLOCK_TEST_SERVERS=3 $(BIN)/pytest -n 2 \
		tests/service tests/promises tests/authoring/test_pinned.py \
		--ignore=tests/service/test_bad_input.py

.PHONY: test-fast
test-fast: setup ## Only the tests that are not marked slow
	@$(BIN)/pytest -n 2 -q -m 'not slow'

# As long as one of KILLS=1000 and SECONDS=600 says; SEED=7 begins with another round.
.PHONY: soak
soak: setup ## Kill servers, cut connections, and look whether everything held
	@GRPC_VERBOSITY=ERROR $(BIN)/python -m tests.chaos \
		$(if $(KILLS),--kills $(KILLS)) $(if $(SECONDS),--seconds $(SECONDS)) \
		$(if $(SEED),--seed $(SEED))

# Of each client its own checks and tests, and its package used from an empty project, against a
# server. The scenarios of the suite are played by pytest for all clients, and here for one.
.PHONY: test-clients test-typescript test-go test-java test-rust
test-clients: setup ## Every client whose toolchain is here: checks, tests, package
	@$(BIN)/python -m clients.conformance --serve '$(MAKE) -s -C clients/python package-test'
	@$(BIN)/python -m clients.conformance --present | tr ' ' '\n' | grep -v '^python' | \
		xargs -r -P 2 -I '{}' $(MAKE) -s client-'{}'
client-%: setup
	@$(MAKE) -s -C clients/$* check test
	@$(BIN)/python -m clients.conformance --serve '$(MAKE) -s -C clients/$* package-test'
test-typescript: ## The TypeScript client: checks, tests, package, conformance
test-go: ## The same for Go
test-java: ## The same for Java
test-rust: ## The same for Rust
test-typescript test-go test-java test-rust: test-%: client-%
	@$(BIN)/python -m clients.conformance --language $* --require-all

.PHONY: conformance-matrix
conformance-matrix: setup ## Play every scenario with every client, and keep what comes of it
	@$(BIN)/python -m clients.conformance --keep-matrix

.PHONY: demo
demo: setup ## Start a server of its own and walk through it
	@$(BIN)/interlock demo

# ONLY=cycles,streams measures just these; QUICK=1 looks instead of measuring.
.PHONY: bench
bench: setup benchmarks/.venv/.ready ## Measure Interlock beside its peers, and beside the floor
	@GRPC_VERBOSITY=ERROR $(BIN)/python -m benchmarks \
		$(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick)

# What is measured beside Interlock has an environment of its own.
benchmarks/.venv/.ready: benchmarks/requirements.txt
	@echo 'bench: installing what benchmarks/requirements.txt pins'
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python benchmarks/.venv
	@$(UV) pip install --quiet --compile-bytecode --python benchmarks/.venv/bin/python \
		-r benchmarks/requirements.txt
	@touch $@

# Moves every version in benchmarks/requirements.txt to the newest that requirements.in allows.
.PHONY: bench-pins
bench-pins: setup
	@{ sed -n '/^#/p' benchmarks/requirements.txt && $(UV) pip compile --quiet --universal --upgrade \
		--python-version 3.11 --no-header --no-annotate benchmarks/requirements.in; } \
		>.venv/requirements.txt
	@cp .venv/requirements.txt benchmarks/requirements.txt

.PHONY: format
format: setup ## Rewrite the sources in their one format
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix . || true
	@$(BIN)/ruff format --quiet .
	@$(BIN)/buf format -w

.PHONY: pins
pins: setup ## Move every version in constraints.txt to the newest
	@{ sed -n '/^#/p' constraints.txt && $(UV) pip compile --quiet --universal --upgrade \
		--python-version 3.11 --no-header --no-annotate \
		--no-emit-package interlock --no-emit-package interlock-server --group dev \
		clients/python/pyproject.toml server/pyproject.toml; } >.venv/constraints.txt
	@cp .venv/constraints.txt constraints.txt

.PHONY: clean
clean: ## Remove .venv, caches and build output
	@rm -rf .venv .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@rm -rf build dist clients/python/dist server/dist benchmarks/.venv
	@find . -name node_modules -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
