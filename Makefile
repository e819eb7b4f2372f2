# What this project can be told to do. `make` alone lists it.

# How long each fuzz target runs in `make fuzz`, and how long each benchmark
# runs in `make bench` (1x: once).
FUZZTIME ?= 30s
BENCHTIME ?= 1s

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: ## everything CI runs: install what tests need, lint, test, fuzz seeds, benchmarks once each
	@bash hack/test.sh

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (30s)
	@FUZZTIME=$(FUZZTIME) bash hack/fuzz.sh

.PHONY: bench
bench: ## the benchmarks, beside other libraries, for BENCHTIME (1s) each
	@BENCHTIME=$(BENCHTIME) bash hack/bench.sh

.PHONY: fmt
fmt: ## format the Go code, and tidy go.mod of each module
	go tool gofumpt -w .
	go mod tidy
	cd bench && go mod tidy
	cd examples && go mod tidy
