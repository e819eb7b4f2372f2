#!/usr/bin/env bash
# Runs the benchmarks of the library, then those of bench/, which has other
# libraries beside it in the same run. BENCHTIME is how long each runs.
set -euo pipefail
cd "$(dirname "$0")/.."

go test -run '^$' -bench . -benchtime "${BENCHTIME:-1s}" -p 1 ./...
if [ -f bench/go.mod ]; then
	cd bench
	go test -run '^$' -bench . -benchtime "${BENCHTIME:-1s}" -p 1 ./...
fi
