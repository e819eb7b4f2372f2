#!/usr/bin/env bash
# Everything CI runs, in one go. Every step runs even when one before it
# failed; the last lines say which did, and how long it all took.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT

failed=()

step() { # a title, then a command
	local title=$1
	shift
	printf '\n== %d s: %s\n' "$SECONDS" "$title"
	if ! "$@"; then
		failed+=("$title")
		printf '== FAILED: %s\n' "$title"
	fi
}

build_tools() {
	go build -o "$tools/" honnef.co/go/tools/cmd/staticcheck mvdan.cc/gofumpt
}

formatted() {
	local files
	files=$("$tools/gofumpt" -l .) || return 1
	[ -z "$files" ] && return
	printf 'not formatted, which `make fmt` does:\n%s\n' "$files"
	return 1
}

tidy() {
	go mod tidy -diff && return
	echo 'go.mod or go.sum is not tidy: `make fmt` tidies them'
	return 1
}

# The packages that are also compiled for the browser.
browser_packages() {
	go list ./... | grep -E '^github.com/sojourn-go/sojourn/(client|protocol|rpc)$'
}

lint_for_browser() {
	local packages
	packages=$(browser_packages) || return 1
	GOOS=js GOARCH=wasm go vet $packages &&
		GOOS=js GOARCH=wasm "$tools/staticcheck" $packages
}

shell_scripts() {
	local script
	for script in hack/*.sh .ci/run; do
		bash -n "$script" || return 1
	done
}

# The seeds of every fuzz target run among the tests.
module() { # its folder: "." or one with a go.mod of its own
	pushd "$1" >/dev/null
	local name=$1
	[ "$name" = . ] && name="the library"
	step "go.mod, $name" go mod tidy -e -diff
	step "vet, $name" go vet ./...
	step "staticcheck, $name" "$tools/staticcheck" ./...
	step "tests, $name" go test -race -shuffle=on -timeout 30m ./...
	step "benchmarks once each, $name" go test -run '^$' -bench . -benchtime 1x ./...
	popd >/dev/null
}

step "what tests need" bash hack/needs.sh
step "tools" build_tools
step "shell scripts" shell_scripts
step "gofumpt" formatted
step "vet and staticcheck for js/wasm" lint_for_browser
step "JavaScript client" bash hack/test-js.sh
module .
for folder in bench examples; do
	[ ! -f "$folder/go.mod" ] || module "$folder"
done

printf '\n== %d s in all\n' "$SECONDS"
if [ ${#failed[@]} -gt 0 ]; then
	printf '== FAILED: %s\n' "${failed[@]}"
	exit 1
fi
echo "== all steps passed"
