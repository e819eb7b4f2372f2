#!/usr/bin/env bash
# Tests the JavaScript client: its tests, and a check of its types.
set -euo pipefail
cd "$(dirname "$0")/../clientjs"

if ! command -v npm >/dev/null 2>&1; then
	case "${CI:-}" in '' | false | 0) ;; *)
		echo "npm is missing (Debian's packages: nodejs npm)"
		exit 1
		;;
	esac
	echo "SKIPPED: the JavaScript client is not tested, npm is missing (Debian's packages: nodejs npm)"
	exit 0
fi

npm ci --no-audit --no-fund
npm test
