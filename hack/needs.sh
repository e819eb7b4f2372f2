#!/usr/bin/env bash
# Installs the programs that tests start and that are missing, with apt-get
# where that is possible. Otherwise it names the packages; it then fails when
# CI is set, and goes on elsewhere: the tests that need them skip and say so.
set -euo pipefail

has() { command -v "$1" >/dev/null 2>&1; }

has_postgres() { has postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }

missing() { # the Debian packages whose programs are not here
	has gcc || echo gcc libc6-dev # go test -race
	has chromium || has chromium-browser || has google-chrome || echo chromium
	has redis-server || has valkey-server || echo redis-server
	has_postgres || echo postgresql
	has node || echo nodejs
	has npm || echo npm
	has brotli || echo brotli
}

give_up() { # a reason, then the packages
	local reason=$1
	shift
	echo "$reason"
	echo "Tests need these packages (Debian's names): $*"
	case "${CI:-}" in '' | false | 0) ;; *) exit 1 ;; esac
	echo "Going on without them; tests that need them skip and say so."
	exit 0
}

if ! has go; then
	echo "Go is not installed, or not in PATH. go.mod names the version: https://go.dev/doc/install"
	exit 1
fi

read -r -a packages <<<"$(missing | tr '\n' ' ')"
if [ ${#packages[@]} -eq 0 ]; then
	echo "nothing is missing"
	exit 0
fi

has apt-get || give_up "There is no apt-get here." "${packages[@]}"
if [ "$(id -u)" -eq 0 ]; then
	as_root=()
elif has sudo && sudo -n true 2>/dev/null; then
	as_root=(sudo -n)
else
	give_up "apt-get needs root, and sudo asks for a password." "${packages[@]}"
fi

# RUNLEVEL=1 keeps the packages from starting servers of their own: tests start
# private ones, on free ports of the loopback interface.
apt() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
		apt-get -q -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@"
}

echo "installing ${packages[*]}"
updated=yes
apt update -o APT::Update::Error-Mode=any || updated=no
if [ "$updated" = no ]; then
	echo "apt-get update failed, as shown above; trying with the package lists that are here"
fi
installed=yes
apt install -y --no-install-recommends "${packages[@]}" || installed=no

read -r -a packages <<<"$(missing | tr '\n' ' ')"
if [ ${#packages[@]} -gt 0 ]; then
	[ "$installed" = yes ] || echo "apt-get install failed, as shown above"
	[ "$updated" = yes ] || echo "apt-get update had failed before"
	give_up "apt-get did not bring everything." "${packages[@]}"
fi
