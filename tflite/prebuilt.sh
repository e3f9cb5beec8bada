#!/usr/bin/env bash
# The fallback: TensorFlow Lite 2.9 as an npm package carries it, a shared library, made fit for the crate tflitec.
#
#     prebuilt.sh ARCH DOWNLOADS BUILD OUT
#
# Arguments and result are those of compile.sh. Against what compile.sh makes it is an older library, int8 inference takes
# about twice as long, and the program needs the file in OUT at run time: it is for development where the sources
# cannot be had, not for an appliance.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
arch=$1 downloads=$2 build=$3 out=$4
final=${TFLITE_FINAL_DIR:-$out}

package=tfjs-tflite-node version=0.0.2
sha256=3be1632328a76a2475e5b6833253763c802c859433becb4d879ee1860e3b5284

die() {
	printf 'tflite: %s\n' "$*" >&2
	exit 1
}

case $arch in
x86_64) lib_dir=linux_amd64 ;;
aarch64) lib_dir=linux_arm64 ;;
*) die "unknown architecture $arch (x86_64 and aarch64 are known)" ;;
esac
prefix=
[ "$arch" = "$(uname -m)" ] || prefix=$arch-linux-gnu-
cc=${prefix}gcc
[ -n "$prefix" ] || cc=${CC:-cc}

for tool in npm patchelf "$cc" "${prefix}ar"; do
	command -v "$tool" >/dev/null || die "$tool is missing (on Debian: apt-get install npm patchelf)"
done

tarball=$downloads/$package-$version.tgz
if ! echo "$sha256  $tarball" | sha256sum --check --status 2>/dev/null; then
	printf 'tflite: fetching %s@%s from the npm registry\n' "$package" "$version"
	(cd "$downloads" && npm pack --silent "$package@$version" >/dev/null) || die "npm cannot fetch $package@$version"
	echo "$sha256  $tarball" | sha256sum --check --status || die "$tarball is not the file that is pinned here"
fi
rm -rf "$build/package" "$out"
mkdir -p "$build" "$out/lib" "$out/static-libstdc++"
tar -xf "$tarball" -C "$build" package/cc_deps package/package.json
deps=$build/package/cc_deps

# ---- Headers: 2.9's, in the places where 2.19 has them, which is what tflitec 0.7.0 is written for --------------------

inc=$out/include/tensorflow/lite
mkdir -p "$inc"/{c,core/c,core/async/c,delegates/xnnpack} "$out/include/tensorflow/compiler/mlir/lite/core/c"
sed -i 's|"tensorflow/lite/c/|"tensorflow/lite/core/c/|' "$deps"/include/tensorflow/lite/c/*.h
sed 's/^\( *\)kTfLiteUInt32 = 16,/&\n\1kTfLiteUInt16 = 17,\n\1kTfLiteInt4 = 18,\n\1kTfLiteBFloat16 = 19,/' \
	"$deps/include/tensorflow/lite/c/c_api_types.h" >"$inc/core/c/c_api_types.h"
grep -q 'kTfLiteBFloat16 = 19' "$inc/core/c/c_api_types.h" || die 'the headers are not those of TensorFlow 2.9'
cp "$deps/include/tensorflow/lite/c/common.h" "$inc/core/c/common.h"
echo '#include "tensorflow/lite/core/c/c_api.h"' >"$inc/c/c_api.h"
{
	cat "$deps/include/tensorflow/lite/c/c_api.h"
	cat <<'HEADER'

/* Not in 2.9, and answered by prebuilt_shim.c: no model has a signature. */
typedef struct TfLiteSignatureRunner TfLiteSignatureRunner;
int32_t TfLiteInterpreterGetSignatureCount(const TfLiteInterpreter*);
const char* TfLiteInterpreterGetSignatureKey(const TfLiteInterpreter*, int32_t);
TfLiteSignatureRunner* TfLiteInterpreterGetSignatureRunner(const TfLiteInterpreter*, const char*);
size_t TfLiteSignatureRunnerGetInputCount(const TfLiteSignatureRunner*);
const char* TfLiteSignatureRunnerGetInputName(const TfLiteSignatureRunner*, int32_t);
TfLiteStatus TfLiteSignatureRunnerResizeInputTensor(TfLiteSignatureRunner*, const char*, const int*, int32_t);
TfLiteStatus TfLiteSignatureRunnerAllocateTensors(TfLiteSignatureRunner*);
TfLiteTensor* TfLiteSignatureRunnerGetInputTensor(TfLiteSignatureRunner*, const char*);
TfLiteStatus TfLiteSignatureRunnerInvoke(TfLiteSignatureRunner*);
size_t TfLiteSignatureRunnerGetOutputCount(const TfLiteSignatureRunner*);
const char* TfLiteSignatureRunnerGetOutputName(const TfLiteSignatureRunner*, int32_t);
const TfLiteTensor* TfLiteSignatureRunnerGetOutputTensor(const TfLiteSignatureRunner*, const char*);
void TfLiteSignatureRunnerDelete(TfLiteSignatureRunner*);
HEADER
} >"$inc/core/c/c_api.h"
cat >"$inc/delegates/xnnpack/xnnpack_delegate.h" <<'HEADER'
/* The XNNPACK delegate's interface as of TensorFlow 2.9, which the npm package leaves out. */
#pragma once
#include "tensorflow/lite/core/c/common.h"

#define TFLITE_XNNPACK_DELEGATE_FLAG_QS8 0x00000001
#define TFLITE_XNNPACK_DELEGATE_FLAG_QU8 0x00000002

typedef struct {
  int32_t num_threads;
  uint32_t flags;
} TfLiteXNNPackDelegateOptions;

TfLiteXNNPackDelegateOptions TfLiteXNNPackDelegateOptionsDefault(void);
TfLiteDelegate* TfLiteXNNPackDelegateCreate(const TfLiteXNNPackDelegateOptions* options);
void TfLiteXNNPackDelegateDelete(TfLiteDelegate* delegate);
HEADER
for empty in lite/builtin_ops.h lite/core/async/c/types.h lite/core/c/operator.h \
	compiler/mlir/lite/core/c/tflite_types.h; do
	echo '/* Empty: 2.9 has no such file, and tflitec copies it. */' >"$out/include/tensorflow/$empty"
done

# ---- Library ---------------------------------------------------------------------------------------------------------

# Its soname becomes its own full path, which the linker copies into the program: found without rpath or
# LD_LIBRARY_PATH. The script named like the library puts the shim in front.
real=libtensorflowlite_c-2.9.so
cp "$deps/$lib_dir/libtensorflowlite_c.so" "$out/lib/$real"
chmod u+w "$out/lib/$real"
patchelf --set-soname "$final/lib/$real" "$out/lib/$real"
"$cc" -O2 -fPIC -Wall -Wextra -I "$out/include" -c "$here/prebuilt_shim.c" -o "$build/prebuilt_shim.o"
rm -f "$out/lib/libtflite_shim.a"
"${prefix}ar" rcs "$out/lib/libtflite_shim.a" "$build/prebuilt_shim.o"
printf '/* GNU ld script */\nGROUP ( %s/lib/libtflite_shim.a %s/lib/%s )\n' "$final" "$final" "$real" \
	>"$out/lib/libtensorflowlite_c.so"
echo "TensorFlow Lite 2.9.0, C API, shared, npm $package@$version, $arch" >"$out/about.txt"
