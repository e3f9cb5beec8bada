#!/usr/bin/env bash
# Runs a command with everything set that building for an architecture needs.
#
#     tools/cross.sh ARCH COMMAND...
#     tools/cross.sh aarch64 cargo build --release
#
# ARCH may be this machine's own: then nothing is crossed, but the program is put together in the same way, that is with
# the C++ run time inside and against a stand-in for libgbm, so that it runs on systems that have neither.
# `make setup ARCH=...` must have run. tools/check-binary.sh says whether the result keeps what is promised.

set -euo pipefail

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
arch=$1
shift
target=$arch-unknown-linux-gnu
upper=$(tr 'a-z-' 'A-Z_' <<<"$target")
lower=${target//-/_}

say() { printf 'cross: %s\n' "$*" >&2; }

if [ ! -e "$tree/.tflite/$arch/about.txt" ]; then
	say "TensorFlow Lite for $arch is missing: make setup ARCH=$arch"
	exit 1
fi

rust_flags=()
if [ "$arch" = "$(uname -m)" ]; then
	prefix=
else
	prefix=$arch-linux-gnu-
	if ! command -v "${prefix}g++" >/dev/null; then
		say "${prefix}g++ is missing: make setup ARCH=$arch"
		exit 1
	fi
	export "CARGO_TARGET_${upper}_LINKER=${prefix}gcc"
	export "CC_$lower=${prefix}gcc" "CXX_$lower=${prefix}g++" "AR_$lower=${prefix}ar"
	# The crates that translate C headers must read the other architecture's.
	root=/usr/$arch-linux-gnu
	export "BINDGEN_EXTRA_CLANG_ARGS_$lower=--sysroot=$root -I$root/include"
	sysroot=$("$tree/tools/rust-std.sh" "$arch")
	if [ -n "$sysroot" ]; then rust_flags+=("--sysroot=$sysroot"); fi
fi

# The program needs libgbm.so.1 of the system it runs on. To link it, the names suffice; Mesa for another architecture,
# with all that it depends on, is not needed.
stand_in=${CARGO_TARGET_DIR:-$tree/target}/stand-in/$arch
if [ ! -e "$stand_in/libgbm.so.1" ] || [ "$tree/tools/libgbm-symbols.txt" -nt "$stand_in/libgbm.so.1" ]; then
	mkdir -p "$stand_in"
	sed '/^#/d; s/.*/void &(void) {}/' "$tree/tools/libgbm-symbols.txt" |
		"${prefix}gcc" -shared -nostdlib -fPIC -Wl,-soname,libgbm.so.1 -x c -o "$stand_in/libgbm.so.1" -
	ln -sf libgbm.so.1 "$stand_in/libgbm.so"
fi

# Tests and `cargo run` for another architecture go through QEMU's emulation of a process. They start with the stand-in for
# libgbm: nothing that takes a display can be run this way.
if [ -n "$prefix" ]; then
	for emulator in "qemu-$arch-static" "qemu-$arch"; do
		if command -v "$emulator" >/dev/null; then
			export "CARGO_TARGET_${upper}_RUNNER=$emulator -L $root -E LD_LIBRARY_PATH=$stand_in"
			break
		fi
	done
fi

# The static C++ run time's folder comes before the compiler's own, where the shared one lies.
rust_flags+=("-Lnative=$tree/.tflite/$arch/static-libstdc++" "-Lnative=$stand_in")
export "CARGO_TARGET_${upper}_RUSTFLAGS=${rust_flags[*]}" CARGO_BUILD_TARGET="$target"

exec "$@"
