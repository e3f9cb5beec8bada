# Andon's commands for people. Plain cargo works too, once `make setup` has run.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: help setup demo test test-models test-yocto test-vm test-update test-pi test-aarch64 lint aarch64 vm models models-env \
	train-classifier bench sbom clean

# The architecture to build for: this machine's, or `make setup ARCH=aarch64` for a cross build.
ARCH ?= $(shell uname -m)
# Where `make models` and `make train-classifier` find the photographs to train on: one folder for each class. The shipped
# classifier's are not ours to hand on; models/README.md says where they come from. OUT is where a classifier goes.
DATA ?=
OUT ?=
# More options for andon-models, such as ARGS='--samples 2000 --epochs 3'.
ARGS ?=
# TensorFlow 2.19 and the pinned packages exist for Python 3.11 and 3.12; `make models-env PYTHON=python3.12` takes another.
PYTHON ?= python3

# A Rust that rustup has just installed is not in a running shell's PATH.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

help: ## Show this list
	@echo 'make TARGET, where TARGET is one of'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'Variables: ARCH=aarch64 (setup, sbom), DATA=DIR (models, train-classifier), OUT=DIR ARGS=... (train-classifier), TFLITE=prebuilt (any; see tflite/README.md)'

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
test: lint test-models ## Check everything: formatting, lints, dependencies, tests
	cargo test --workspace --doc
	cargo build
	tests/yocto/check.py
	@if command -v cargo-nextest >/dev/null; then set -x; cargo nextest run --workspace --no-fail-fast; else set -x; cargo test --workspace --all-targets; fi
	@if [ "$${VM:-}" = 1 ] || { [ "$${VM:-}" != 0 ] && tests/vm/vm.py cached; }; then $(MAKE) --no-print-directory test-vm; \
	else echo 'skipped: the appliance in a virtual machine, about 15 minutes (make test-vm, or VM=1; by itself once it has run, but for VM=0)'; fi

# In a small environment of its own; what needs TensorFlow is skipped and says so, unless `make models-env` has run.
test-models: ## Test the Python package that makes the models
	@tools/test-models.sh

test-yocto: ## Check the Yocto layer, the overlays and the appliance's files (part of `make test`)
	@tools/setup.sh
	@tests/yocto/check.py

aarch64: ## Build the program for ARM64, to run on a system that has libgbm and a C library of 2022
	@$(MAKE) --no-print-directory setup ARCH=aarch64
	CARGO_PROFILE_RELEASE_STRIP=symbols tools/cross.sh aarch64 cargo build --release --locked
	tools/check-binary.sh aarch64 target/aarch64-unknown-linux-gnu/release/andon

# What asks a kernel about /dev/null what only cameras and watchdogs know: QEMU's emulation of a process says "not
# implemented" where a kernel says "not such a device".
AARCH64_SKIP := what_is_no_camera_is_refused_at_once what_is_no_watchdog_is_refused

test-aarch64: ## Run the unit tests of the ARM64 program, one process at a time emulated (slow)
	@$(MAKE) --no-print-directory setup ARCH=aarch64
	tools/cross.sh aarch64 cargo test --profile vm --lib --locked -- $(addprefix --skip ,$(AARCH64_SKIP))
	@echo 'skipped: $(AARCH64_SKIP) (the emulation does not know their ioctls)'

# Less optimised than the release and quicker to build; what is emulated is slow either way.
VM_BINARY := target/aarch64-unknown-linux-gnu/vm/andon

vm: aarch64 ## Start the appliance in a virtual machine: a window where there is a display, a root shell here
	tests/vm/vm.py show

test-vm: ## Start it without a window and check what it does
	@$(MAKE) --no-print-directory setup ARCH=aarch64
	tools/cross.sh aarch64 cargo build --profile vm --locked
	tests/vm/vm.py test --binary $(VM_BINARY)

# Not part of `make test`: it starts the board about twenty times.
test-update: ## Update an emulated i.MX 8M Mini EVK: U-Boot, header, RAUC, good, bad and interrupted updates
	@$(MAKE) --no-print-directory setup ARCH=aarch64
	tools/cross.sh aarch64 cargo build --profile vm --locked
	tests/vm/vm.py update --binary $(VM_BINARY)

test-pi: ## Start an emulated Raspberry Pi 4 with each overlay of its header, and the program on all of them
	@$(MAKE) --no-print-directory setup ARCH=aarch64
	tools/cross.sh aarch64 cargo build --profile vm --locked
	tests/vm/vm.py pi --binary $(VM_BINARY)

# Advisories are not checked here: their database is on GitHub, and a test must not depend on the network or on the day.
# `cargo deny check advisories` does it by hand.
lint: setup ## Formatting, clippy, documentation, licences and origins of the dependencies, shell scripts
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items --quiet
	tools/cargo-deny.sh check --hide-inclusion-graph bans licenses sources
	@if command -v shellcheck >/dev/null; then set -x; shellcheck .ci/run tools/*.sh tflite/*.sh yocto/tools/*.sh; \
	else echo 'skipped: shellcheck is not installed (apt-get install shellcheck)'; fi

models: models-env ## Make the shipped models again (DATA=DIR: the photographs, one folder for each class)
	@test -d '$(DATA)' || { echo 'make models DATA=DIR, where DIR has one folder of photographs for each class'; exit 2; }
	.venv-models/bin/andon-models build-detector --out models
	.venv-models/bin/andon-models train-classifier --data '$(DATA)' --out out/classifier \
		--name classifier_apple_224_int8 --labels apple_labels.txt --base coco-ssd
	@echo 'out/classifier has the classifier; copy it and its entry to models/ if its card says that it is better'

models-env: .venv-models/complete ## Install the package andon-models with TensorFlow into .venv-models (about 2 GB)

# The stamp is there once everything is: a training needs the network only the first time, and after a cut installation
# the next call installs the rest.
.venv-models/complete: models/requirements.txt models/pyproject.toml
	@tools/setup.sh
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || { echo 'models-env: $(PYTHON) is '"$$($(PYTHON) --version 2>&1)"'; TensorFlow 2.19 and the pinned packages need Python 3.11 or 3.12: make models-env PYTHON=python3.12'; exit 2; }
	@echo 'Installing TensorFlow and others from PyPI into .venv-models, about 2 GB'
	$(PYTHON) -m venv .venv-models
	.venv-models/bin/pip install --quiet --disable-pip-version-check -r models/requirements.txt
	.venv-models/bin/pip install --quiet --disable-pip-version-check --no-deps --editable models
	@touch $@

train-classifier: models-env ## Train a classifier on your own photographs (DATA=DIR OUT=DIR)
	@test -d '$(DATA)' -a -n '$(OUT)' || { echo 'make train-classifier DATA=DIR OUT=DIR, with a folder of photographs per class in DATA'; exit 2; }
	.venv-models/bin/andon-models train-classifier --data '$(DATA)' --out '$(OUT)' $(ARGS)

bench: setup ## Measure: decode, inference, drawing and whole pairs of frames
	cargo run --release -- bench

sbom: ## List every crate of the program, and build it with the list inside (ARCH=aarch64: the appliance's)
	@$(MAKE) --no-print-directory setup ARCH=$(ARCH)
	@tools/sbom.py $(ARCH)

clean: ## Remove what was built here; the cache with TensorFlow Lite stays
	cargo clean
	rm -rf out .tflite .venv-models
