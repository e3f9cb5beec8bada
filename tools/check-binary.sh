#!/usr/bin/env bash
# Checks that a program is what the appliance's image expects: it runs on a system that has a C library of 2022, libgbm
# and nothing else of ours.
#
#     tools/check-binary.sh ARCH FILE
#
# Fails, and says why, when FILE is for another architecture, is not stripped, needs a shared library that is not listed
# here or a C library newer than listed, names a folder of this machine to search for libraries, or can be written where
# it can be executed.

set -euo pipefail
export LC_ALL=C

arch=$1 file=$2

# What a system with Mesa has anyway. libEGL and libGLESv2 are loaded at run time, if at all.
allowed_libraries='libgbm\.so\.1|libgcc_s\.so\.1|libm\.so\.6|libc\.so\.6|ld-linux-[a-z0-9-]+\.so\.[0-9]'
# Ubuntu 22.04 has it, and every Yocto release since kirkstone.
glibc_max=2.35

wrong=0
fail() {
	printf 'check-binary: %s: %s\n' "$file" "$*" >&2
	wrong=1
}

header=$(readelf --file-header "$file")
case $arch in
aarch64) machine=AArch64 ;;
x86_64) machine='Advanced Micro Devices X86-64' ;;
*) fail "unknown architecture $arch" && exit 1 ;;
esac
grep -q "Machine: *$machine\$" <<<"$header" || fail "is not for $arch"
grep -q 'Type: *DYN' <<<"$header" || fail 'is not position-independent'

if readelf --sections --wide "$file" | grep -q -E '\] \.(symtab|debug_info)'; then fail 'is not stripped'; fi

dynamic=$(readelf --dynamic --wide "$file")
libraries=$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' <<<"$dynamic")
[ -n "$libraries" ] || fail 'needs no shared library at all: it could not load libEGL'
for library in $libraries; do
	grep -q -x -E "$allowed_libraries" <<<"$library" || fail "needs $library"
done
if grep -q -E '\((RPATH|RUNPATH)\)' <<<"$dynamic"; then fail "has a folder to search for libraries built in"; fi
grep -q 'BIND_NOW\|Flags:.*NOW' <<<"$dynamic" || fail 'resolves names late, so that its table of addresses stays writable'

segments=$(readelf --segments --wide "$file")
grep -q GNU_RELRO <<<"$segments" || fail 'keeps its relocated data writable'
if grep GNU_STACK <<<"$segments" | grep -q 'RWE'; then fail 'wants an executable stack'; fi

newest=$(readelf --version-info --wide "$file" | grep -o 'GLIBC_2[0-9.]*' | sort -u -V | tail -n 1)
newest=${newest#GLIBC_}
if [ -z "$newest" ]; then
	fail 'names no version of the C library'
elif [ "$(printf '%s\n' "$newest" "$glibc_max" | sort -V | tail -n 1)" != "$glibc_max" ]; then
	fail "needs glibc $newest; $glibc_max is the newest that may be asked for"
fi

if [ "$wrong" != 0 ]; then exit 1; fi
printf 'check-binary: %s: %s MB, glibc %s, %s\n' "$file" \
	"$(stat -L --format %s "$file" | awk '{ printf "%.1f", $1 / 1e6 }')" "$newest" "$(paste -s -d ' ' <<<"$libraries")"
