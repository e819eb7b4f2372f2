#!/usr/bin/env bash
# Runs each fuzz target of the library for FUZZTIME. An input that fails is
# kept in the package's testdata/fuzz, and runs among the tests from then on.
set -euo pipefail
cd "$(dirname "$0")/.."

found=0
while read -r dir; do
	while read -r target; do
		found=$((found + 1))
		printf '\n== %d s: %s in %s\n' "$SECONDS" "$target" "$dir"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}" "$dir"
	done < <(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$dir"/*_test.go)
done < <(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./...)
printf '\n== %d s: %d fuzz targets\n' "$SECONDS" "$found"
