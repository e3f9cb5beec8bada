#!/usr/bin/env bash
# Puts TensorFlow Lite's C library where .cargo/config.toml looks for it: .tflite/ARCH in the work tree.
#
#     tflite/setup.sh [ARCH]      x86_64 or aarch64; without it, this machine's
#
# The first time this builds the library from pinned sources (compile.sh, about 7 minutes on two idle cores); after that
# it is a link into the cache and takes no time. Environment:
#
#     TFLITE=prebuilt        take the npm registry's library instead (prebuilt.sh); default: static
#     ANDON_CACHE            the cache; default: $XDG_CACHE_HOME/andon or ~/.cache/andon
#     ANDON_DEBIAN_MIRROR    base URLs of Debian mirrors or of a day of Debian's snapshot archive, separated by blanks and
#                            asked in this order; default: the mirror that apt is configured with
#
# If a source cannot be had, or is not what its sum says, the prebuilt library is taken and that is said aloud.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(dirname "$here")
arch=${1:-$(uname -m)}
mode=${TFLITE:-static}
cache=${ANDON_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/andon}
downloads=$cache/downloads

say() { printf 'tflite: %s\n' "$*"; }
die() {
	say "$*" >&2
	exit 1
}

case $arch in x86_64) debian_arch=amd64 ;; aarch64) debian_arch=arm64 ;; *) die "no recipe for $arch" ;; esac
case $mode in static | prebuilt) ;; *) die "TFLITE=$mode: static and prebuilt are known" ;; esac

# ---- The cache: one directory for each recipe and compiler -----------------------------------------------------------

# recipe_dir MODE: where that mode's result is or will be. The name holds a hash of all that decides what it is.
recipe_dir() {
	local files compiler=${CXX:-c++} hash
	[ "$arch" = "$(uname -m)" ] || compiler=$arch-linux-gnu-g++
	case $1 in
	static) files=(compile.sh sources.txt glibc_compat.c xnnpack.patch dwconv_avx512vnni.c check_dwconv.c) ;;
	prebuilt) files=(prebuilt.sh prebuilt_shim.c) ;;
	esac
	hash=$({
		cd "$here" && cat "${files[@]}"
		[ "$1" = prebuilt ] || { "$compiler" -dumpmachine && "$compiler" -dumpfullversion; } || die "no compiler $compiler"
	} | sha256sum | cut -c1-12)
	echo "$cache/tflite-$hash/$arch"
}

# link DIR: makes .tflite/ARCH point at DIR. Cargo does not notice that this library changed (tflitec copies it and its
# headers into the build directory once), so what was built with another one goes.
link() {
	local link=$tree/.tflite/$arch target=${CARGO_TARGET_DIR:-$tree/target}
	if [ "$(readlink "$link" || true)" != "$1" ]; then
		mkdir -p "$tree/.tflite"
		ln -sfn "$1" "$link"
		find "$target" -maxdepth 4 -type d -name 'tflitec-*' \
			\( -path '*/build/*' -o -path '*/.fingerprint/*' \) -prune -exec rm -rf {} + 2>/dev/null || true
	fi
	say "$(head -n 1 "$1/about.txt")"
	say "in .tflite/$arch -> $1"
}

# ---- Downloads -------------------------------------------------------------------------------------------------------

# Fetches what sources.txt lists and the cache lacks. Returns non-zero, and has said why, when a file cannot be had.
download_sources() {
	awk -v a="$debian_arch" '!/^#/ && ($2 == "any" || $2 == a) { print $3, $4 }' "$here/sources.txt" |
		"$tree/tools/fetch.sh" tflite "$downloads"
}

# ---- Make or find the library ----------------------------------------------------------------------------------------

# make_with SCRIPT DIR: runs compile.sh or prebuilt.sh; DIR appears whole or not at all. What it took to build goes; after
# a failure or an interruption it stays, and the next run goes on from there.
make_with() {
	mkdir -p "$downloads" "$2.build"
	TFLITE_FINAL_DIR=$2 "$here/$1" "$arch" "$downloads" "$2.build" "$2.partial"
	rm -rf "$2"
	mv "$2.partial" "$2"
	rm -rf "$2.build"
}

mkdir -p "$cache"
if [ "$mode" = static ]; then
	dir=$(recipe_dir static)
	if [ -e "$dir/about.txt" ]; then
		link "$dir"
		exit
	fi
fi

# Two at a time would work in the same directories.
exec 9>"$cache/lock"
if ! flock --nonblock 9; then
	say 'waiting for another set-up to finish'
	flock 9
fi

if [ "$mode" = static ] && [ ! -e "$dir/about.txt" ]; then
	if download_sources; then
		say 'building the library: once, about 7 minutes on two idle cores'
		started=$SECONDS
		make_with compile.sh "$dir"
		say "built in $((SECONDS - started)) s"
	else
		cat >&2 <<'NOTE'
tflite: ************************************************************************************
tflite: The sources cannot be had, so the PREBUILT library of the npm registry is taken:
tflite: TensorFlow Lite 2.9, a shared library, int8 inference about half as fast.
tflite: Name Debian mirrors in ANDON_DEBIAN_MIRROR and run this again (tflite/README.md).
tflite: ************************************************************************************
NOTE
		mode=prebuilt
		TFLITE=prebuilt "$tree/tools/setup.sh" "$arch"
	fi
fi
if [ "$mode" = prebuilt ]; then
	dir=$(recipe_dir prebuilt)
	[ -e "$dir/about.txt" ] || make_with prebuilt.sh "$dir"
fi
link "$dir"
