# Andon's commands for people. Plain cargo works too, once `make setup` has run.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: help setup demo test lint models bench clean

# The architecture to build for: this machine's, or `make setup ARCH=aarch64` for a cross build.
ARCH ?= $(shell uname -m)
# Where `make models` finds the photographs to train on: one folder for each class. The shipped classifier's are not ours
# to hand on; models/README.md says where they come from.
DATA ?=

# A Rust that rustup has just installed is not in a running shell's PATH.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

help: ## Show this list
	@echo 'make TARGET, where TARGET is one of'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'Variables: ARCH=aarch64 (setup), DATA=DIR (models), TFLITE=prebuilt (any; see tflite/README.md)'

setup: ## Install what is missing and build TensorFlow Lite (first time about 7 minutes, then nothing)
	@tools/setup.sh $(ARCH)
	@tflite/setup.sh $(ARCH)

demo: setup ## Build, run both jobs on the bundled clips, and say where the film is
	cargo build --release
	cargo run --release -- run
	@echo
	@echo 'The film:     out/andon.mp4'
	@echo 'The report:   out/report.jsonl   (one JSON object per line; docs/report.md)'
	@echo 'The figures:  out/summary.txt'

# The doc tests go first: the last lines are then those of the tests proper.
test: lint ## Check everything: formatting, lints, dependencies, tests
	cargo test --workspace --doc
	@if command -v cargo-nextest >/dev/null; then set -x; cargo nextest run --workspace --no-fail-fast; else set -x; cargo test --workspace --all-targets; fi

# Advisories are not checked here: their database is on GitHub, and a test must not depend on the network or on the day.
# `cargo deny check advisories` does it by hand.
lint: setup ## Formatting, clippy, documentation, licences and origins of the dependencies, shell scripts
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items --quiet
	tools/cargo-deny.sh check --hide-inclusion-graph bans licenses sources
	@if command -v shellcheck >/dev/null; then set -x; shellcheck .ci/run tools/*.sh tflite/*.sh; \
	else echo 'skipped: shellcheck is not installed (apt-get install shellcheck)'; fi

models: ## Make the shipped models again (DATA=DIR: the photographs, one folder for each class)
	@test -d '$(DATA)' || { echo 'make models DATA=DIR, where DIR has one folder of photographs for each class'; exit 2; }
	@tools/setup.sh
	python3 -m venv .venv-models
	.venv-models/bin/pip install --quiet --disable-pip-version-check -r models/requirements.txt
	.venv-models/bin/python models/build_detector.py
	.venv-models/bin/python models/train_classifier.py --data '$(DATA)'

bench: setup ## Measure: decode, inference, drawing and whole pairs of frames
	cargo run --release -- bench

clean: ## Remove what was built here; the cache with TensorFlow Lite stays
	cargo clean
	rm -rf out .tflite .venv-models
