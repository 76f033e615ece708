# `make test` is all that a change has to pass, here and in CI. Every target below
# it can be run alone.

# How long each fuzz target runs, and how long the tests may take.
FUZZTIME ?= $(if $(CI),8s,10s)
TIMEOUT  ?= 20m

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec

.NOTPARALLEL:
.PHONY: test setup vet lint unit fuzz build checklist matrix bench clean

test: setup vet lint unit fuzz build checklist

# Installs what is missing on this machine: a C compiler, Node.js, Chromium.
setup:
	scripts/setup

vet:
	CGO_ENABLED=0 go vet ./...

lint:
	CGO_ENABLED=0 scripts/lint

# All tests with the race detector: unit, reload against a real Caddy, outside clients.
# The reload suite is run by itself so that its figures are seen. Packages run one after
# the other: several at once on few cores starve the tests that have clients wait.
unit:
	scripts/unit -p 1 -timeout $(TIMEOUT) $$(go list ./... | grep -v /internal/e2e)
	scripts/unit -v -timeout $(TIMEOUT) ./internal/e2e

fuzz:
	scripts/fuzz $(FUZZTIME)

# Everything compiles without cgo, and xcaddy makes a Caddy with the module in it.
build:
	CGO_ENABLED=0 go build ./...
	scripts/build

# Which items of the checklists have a test.
checklist:
	go run ./internal/house/checklist

# Which driver passes which suite, against which engine.
matrix:
	go run ./internal/house/matrix

# Measures against the textbook server; needs a quiet machine. BENCHFLAGS=-quick is short.
bench:
	go run ./bench $(BENCHFLAGS)

clean:
	rm -rf dist .cache conformance/node_modules
