#!/usr/bin/env bash
# Makes Rust's standard library for another architecture available.
#
#     tools/rust-std.sh ARCH     aarch64, say
#
# Prints the folder to give to rustc as --sysroot, or nothing where rustc finds the library by itself. In this order:
#
#  1. it is there: installed by rustup, by the distribution or by Yocto;
#  2. `rustup target add` fetches it;
#  3. it is built from its sources, once, and kept in the cache: from rustup's component rust-src where that is installed,
#     else from Debian's package of it, of which the release and the sum are below. That takes 2 minutes on two cores.
#
# The third way is for places that reach a Debian mirror and no more. It needs a switch meant for the compiler's own
# developers, but only for the library: the program itself is compiled as everywhere else. Environment:
#
#     ANDON_RUST_STD=build    the third way, whatever there is
#     ANDON_CACHE             the cache; default: $XDG_CACHE_HOME/andon or ~/.cache/andon

set -euo pipefail

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=$1-unknown-linux-gnu
cache=${ANDON_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/andon}

# Debian's rust-src, by the release of Rust that it belongs to: SHA-256 and path below the root of a mirror.
declare -A sources=(
	[1.95.0]='7b76db5b880a77f9e52975d2baa6209d2f76d2c9c2789515c3088cb960e2c83b pool/main/r/rustc/rust-src_1.95.0+dfsg1-2~bpo13+1_all.deb'
)

say() { printf 'rust-std: %s\n' "$*" >&2; }
die() {
	say "$*"
	exit 1
}

# ---- There already, or from rustup -----------------------------------------------------------------------------------

installed() { compgen -G "$(rustc --print target-libdir --target "$target")/libstd-*.rlib" >/dev/null; }

if [ "${ANDON_RUST_STD:-}" != build ]; then
	if installed; then exit; fi
	if rustup show active-toolchain >/dev/null 2>&1; then
		say "rustup target add $target"
		# Without a way to its server rustup tries for minutes.
		if timeout 300 rustup target add "$target" >&2 && installed; then exit; fi
		say 'rustup cannot fetch it'
	fi
fi

# ---- From its sources ------------------------------------------------------------------------------------------------

release=$(rustc --version --verbose | awk '$1 == "release:" { print $2 }')
cc=$1-linux-gnu-gcc
hash=$({ cat "${BASH_SOURCE[0]}" && rustc --version --verbose && "$cc" -dumpfullversion; } | sha256sum | cut -c1-12)
sysroot=$cache/rust-std-$hash
if [ -e "$sysroot/about.txt" ]; then
	echo "$sysroot"
	exit
fi

mkdir -p "$cache"
exec 9>"$cache/rust-std.lock"
flock 9
if [ ! -e "$sysroot/about.txt" ]; then
	build=$sysroot.build
	mkdir -p "$build/package/src"
	library=$(rustc --print sysroot)/lib/rustlib/src/rust/library
	if [ ! -e "$library/Cargo.lock" ]; then
		[ -n "${sources[$release]:-}" ] ||
			die "no source of Rust $release's library is known. Where rustup works: rustup target add $target"
		"$tree/tools/fetch.sh" rust-std "$cache/downloads" <<<"${sources[$release]}" >&2 ||
			die "without its source the library for $target cannot be built"
		dpkg-deb -x "$cache/downloads/$(basename "${sources[$release]}")" "$build/source"
		library=$build/source/usr/src/rustc-$release/library
	fi

	# An empty package whose dependencies are the library's crates.
	printf '[package]\nname = "nothing"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n' >"$build/package/Cargo.toml"
	echo '#![no_std]' >"$build/package/src/lib.rs"
	say "building $release's standard library for $target: once, about 2 minutes on two cores"
	upper=$(tr 'a-z-' 'A-Z_' <<<"$target")
	(
		cd "$build/package"
		unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET CARGO_TARGET_DIR "CARGO_TARGET_${upper}_RUSTFLAGS"
		export RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT=$library
		export "CARGO_TARGET_${upper}_LINKER=$cc" "CC_${target//-/_}=$cc"
		cargo build --quiet --release --target "$target" --target-dir "$build/target" \
			-Zbuild-std=std,panic_unwind,panic_abort,test,proc_macro >&2
	) || die "that did not work. Where rustup works: rustup target add $target"

	# As rustc wants to find it, with this machine's own library beside it for macros.
	libraries=$build/sysroot/lib/rustlib
	rm -rf "$build/sysroot"
	mkdir -p "$libraries/$target/lib"
	cp "$build/target/$target"/release/deps/*.rlib "$libraries/$target/lib/"
	rm -f "$libraries/$target"/lib/libnothing-*
	host=$(rustc --version --verbose | awk '$1 == "host:" { print $2 }')
	ln -s "$(rustc --print sysroot)/lib/rustlib/$host" "$libraries/$host"
	echo "Rust $release's standard library for $target, built from $library" >"$build/sysroot/about.txt"
	rm -rf "$sysroot"
	mv "$build/sysroot" "$sysroot"
	rm -rf "$build"
fi
echo "$sysroot"
