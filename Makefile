# What developers run. CI runs .ci/run, which has all of these and more.
CI_CACHE ?= $(HOME)/.cache/godwit-ci
LINT     := $(CI_CACHE)/bin/golangci-lint-v2.15.0/golangci-lint
FIXTURES ?= $(CURDIR)/../shared/fixtures

.PHONY: help build test race lint fuzz bench golden conform models smoke mutants ci long clean

help: ## what there is
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

build: ## the command, as bin/godwit
	CGO_ENABLED=0 go build -trimpath -o bin/godwit ./cmd/godwit

test: ## all tests; needs nothing but Go
	go test ./...

race: ## all tests under the race detector; needs gcc
	go test -race ./...

lint: $(LINT) ## gofmt, vet, golangci-lint
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	$(LINT) run ./...

$(LINT):
	GOBIN=$(dir $@) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

fuzz: ## each fuzz target for 10 seconds
	ci/fuzz.sh 10s

bench: ## every benchmark once, with allocations
	go test -run '^$$' -bench . -benchmem ./...

golden: ## expected values of the checks, taken anew from the fixtures
	FIXTURES=$(FIXTURES) python3 ci/smoke.py . --excerpt

conform: ## the fixtures, judged strictly
	FIXTURES=$(FIXTURES) .ci/run fixtures

models: ## two real models, into models/
	ci/real-models.sh models

smoke: models ## every command of the README on them
	ci/smoke.sh models

mutants: ## every mutant: each must be noticed by a test
	go run ./ci/mutate

ci: ## what CI runs
	.ci/run

long: ## what takes too long for CI
	ci/long.sh

clean: ## what the targets above left
	rm -rf bin dist models
