#!/usr/bin/env bash
# Tests the Python package models/andon_models: ruff, then pytest. `make test` calls it.
#
# Uses .venv-models (with TensorFlow) where `make models-env` has made it; else a small environment in the cache, in
# which the tests that need TensorFlow are skipped and say so.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

requirements=models/requirements-test.txt
cache=${ANDON_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/andon}
environment=$cache/models-test-$(sha256sum "$requirements" | cut -c 1-12)

if [ -e .venv-models/complete ]; then
	python=$PWD/.venv-models/bin/python
else
	python=$environment/bin/python
	if [ ! -e "$environment/complete" ]; then
		printf 'test-models: installing numpy, OpenCV, pytest and others from PyPI into %s\n' "$environment"
		rm -rf "$environment"
		if ! { "${PYTHON:-python3}" -m venv "$environment" &&
			"$environment/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"; }; then
			rm -rf "$environment"
			printf 'test-models: SKIPPED: the environment cannot be made here (needs python3-venv and PyPI)\n' >&2
			# On a developer's machine that may be; in CI a check that is not made is a failure.
			[ "${CI:-}" != true ]
			exit
		fi
		touch "$environment/complete"
	fi
fi

cd models
set -x
"$python" -m ruff check .
"$python" -m ruff format --check .
# One thread: several of the libraries else start one for each core, and wait for each other. A test that hangs says where:
# after `faulthandler_timeout` of pyproject.toml all stacks are printed, and `timeout` ends it.
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 timeout --kill-after=10 900 "$python" -m pytest --quiet
