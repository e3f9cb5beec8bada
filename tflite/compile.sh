#!/usr/bin/env bash
# Compiles TensorFlow Lite's C library, statically and with XNNPACK's int8 kernels, from the files in sources.txt.
#
#     compile.sh ARCH DOWNLOADS BUILD OUT
#
# ARCH       x86_64 or aarch64; other than the machine's own, it is cross-compiled
# DOWNLOADS  directory with the files of sources.txt, already checked against their sums
# BUILD      scratch directory; an interrupted build goes on where it was
# OUT        directory to create: lib/, include/, static-libstdc++/, licenses/, about.txt
#
# setup.sh calls this. Everything that decides what the result is belongs in this file or in those beside it that setup.sh
# hashes to name the cached result.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
arch=$1 downloads=$2 build=$3 out=$4
# Where OUT will be moved to when it is complete: the linker script in it has a full path.
final=${TFLITE_FINAL_DIR:-$out}

die() {
	printf 'tflite: %s\n' "$*" >&2
	exit 1
}

case $arch in
x86_64) debian_arch=amd64 ;;
aarch64) debian_arch=arm64 ;;
*) die "unknown architecture $arch (x86_64 and aarch64 are known)" ;;
esac
multiarch=$arch-linux-gnu

# The native compiler is plain cc; a cross compiler carries its target in its name.
if [ "$arch" = "$(uname -m)" ]; then
	prefix=
	cc=${CC:-cc} cxx=${CXX:-c++}
	cross_args=()
else
	prefix=$multiarch-
	cc=${prefix}gcc cxx=${prefix}g++
	cross_args=(-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$arch")
fi
for tool in cmake ninja patch "$cc" "$cxx" "${prefix}ar" "${prefix}ranlib" "${prefix}strip"; do
	command -v "$tool" >/dev/null || die "$tool is missing"
done

# ---- Unpack ----------------------------------------------------------------------------------------------------------

src=$build/src

# faster_kernels DIR: XNNPACK with the kernels that xnnpack.patch chooses, and our own. A quarter of a MobileNet's time
# went into depthwise convolutions.
faster_kernels() {
	patch -d "$1" -p1 --fuzz=0 --silent <"$here/xnnpack.patch" || die "$1 is not the XNNPACK that is pinned"
	cp "$here/dwconv_avx512vnni.c" "$1/src/qs8-qc8w-dwconv/qs8-qc8w-dwconv-9p32c-minmax-fp32-avx512vnni.c"
}

# unpack NAME FILE: into $src/NAME, without the tarball's top-level directory. Done once; the stamp says so.
unpack() {
	local name=$1 file=$2 dir=$src/$1
	[ -e "$dir/.unpacked" ] && return
	rm -rf "$dir"
	mkdir -p "$dir"
	case $name in
	# Its tarball has no top-level directory; its tests and benchmarks are 100 MB.
	xnnpack)
		tar -xf "$file" -C "$dir" --exclude='./test/*' --exclude='./bench/*' --exclude='test/*' --exclude='bench/*'
		faster_kernels "$dir"
		;;
	# Of 350 MB these parts are compiled or included.
	tensorflow) tar -xf "$file" -C "$dir" --strip-components=1 --wildcards '*/LICENSE' '*/tensorflow/lite/*' \
		'*/tensorflow/core/*' '*/tensorflow/tsl/*' '*/third_party/eigen3/*' '*/third_party/fft2d/*' ;;
	ruy) dpkg-deb -x "$file" "$dir" ;;
	*) tar -xf "$file" -C "$dir" --strip-components=1 ;;
	esac
	touch "$dir/.unpacked"
}

printf 'tflite: unpacking the sources\n'
while read -r name for_arch _sum path; do
	case $name in '' | '#'*) continue ;; esac
	case $for_arch in any | "$debian_arch") unpack "$name" "$downloads/${path##*/}" ;; esac
done <"$here/sources.txt"

# TensorFlow's build wants a CMake project for ruy; Debian's package has headers and archives. This one gives it the
# headers, and the archives are merged below.
mkdir -p "$src/ruy-cmake"
cat >"$src/ruy-cmake/CMakeLists.txt" <<'CMAKE'
add_library(ruy INTERFACE)
add_library(ruy::ruy ALIAS ruy)
target_include_directories(ruy INTERFACE "${CMAKE_CURRENT_SOURCE_DIR}/../ruy/usr/include")
CMAKE
cp "$src/ruy/usr/share/doc/libruy-dev/copyright" "$src/ruy-cmake/LICENSE"

# It also insists on ml_dtypes, of which TensorFlow Lite compiles nothing, and on finding a licence there.
mkdir -p "$src/ml_dtypes"
echo 'Empty: TensorFlow Lite asks for ml_dtypes and uses none of it.' >"$src/ml_dtypes/LICENSE"

# ---- Compile ---------------------------------------------------------------------------------------------------------

# One section for each function and datum, so that the linker of the program leaves out what it does not call; no path of
# this machine in the messages; no warnings about other people's code.
common_flags="-ffunction-sections -fdata-sections -ffile-prefix-map=$src/= -w"

# Eigen's parts under other licences than MPL-2.0 stay out. GCC 13 and later no longer bring <cstdint> in by accident.
cxx_flags='-DEIGEN_MPL2_ONLY -include cstdint'

# Without these two the delegate leaves int8 models to the built-in kernels, which take about fifteen times as long.
delegate_flags='-DXNNPACK_DELEGATE_ENABLE_QS8 -DXNNPACK_DELEGATE_ENABLE_QU8'

cmake_args=(
	-G Ninja -Wno-dev
	"${cross_args[@]}"
	-DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx"
	-DCMAKE_BUILD_TYPE=Release
	-DCMAKE_C_FLAGS_RELEASE='-O2 -DNDEBUG' -DCMAKE_CXX_FLAGS_RELEASE='-O2 -DNDEBUG'
	-DCMAKE_C_FLAGS="$common_flags" -DCMAKE_CXX_FLAGS="$common_flags $cxx_flags $delegate_flags"
	# CMake 4 refuses projects as old as farmhash's and psimd's unless told otherwise.
	-DCMAKE_POLICY_VERSION_MINIMUM=3.5
	-DCMAKE_POSITION_INDEPENDENT_CODE=ON -DBUILD_SHARED_LIBS=OFF -DTFLITE_C_BUILD_SHARED_LIBS=OFF
	-DTFLITE_ENABLE_XNNPACK=ON -DTFLITE_ENABLE_RUY=ON
	-DTFLITE_ENABLE_GPU=OFF -DTFLITE_ENABLE_NNAPI=OFF -DTFLITE_ENABLE_INSTALL=OFF

	# Nothing is downloaded, and no library that happens to be installed is taken instead of a pinned one.
	-DFETCHCONTENT_FULLY_DISCONNECTED=ON
	-DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF -DCMAKE_FIND_USE_SYSTEM_PACKAGE_REGISTRY=OFF
	-DFETCHCONTENT_SOURCE_DIR_ABSEIL-CPP="$src/abseil" -DABSL_PROPAGATE_CXX_STD=ON
	-DFETCHCONTENT_SOURCE_DIR_CPUINFO="$src/cpuinfo"
	-DFETCHCONTENT_SOURCE_DIR_EIGEN="$src/eigen"
	-DFETCHCONTENT_SOURCE_DIR_FARMHASH="$src/farmhash"
	-DFETCHCONTENT_SOURCE_DIR_FFT2D="$src/oourafft"
	-DFETCHCONTENT_SOURCE_DIR_FLATBUFFERS="$src/flatbuffers"
	-DFLATBUFFERS_BUILD_TESTS=OFF -DFLATBUFFERS_BUILD_FLATC=OFF
	-DFETCHCONTENT_SOURCE_DIR_GEMMLOWP="$src/gemmlowp"
	-DFETCHCONTENT_SOURCE_DIR_ML_DTYPES="$src/ml_dtypes"
	-DFETCHCONTENT_SOURCE_DIR_NEON2SSE="$src/neon2sse"
	-DFETCHCONTENT_SOURCE_DIR_RUY="$src/ruy-cmake"
	-DFETCHCONTENT_SOURCE_DIR_XNNPACK="$src/xnnpack"
	-DPTHREADPOOL_SOURCE_DIR="$src/pthreadpool" -DFXDIV_SOURCE_DIR="$src/fxdiv"
	-DFP16_SOURCE_DIR="$src/fp16" -DPSIMD_SOURCE_DIR="$src/psimd"

	# KleidiAI would be one more download; GCC 12 lacks the AMX and AVX512-FP16 intrinsics.
	-DXNNPACK_BUILD_TESTS=OFF -DXNNPACK_BUILD_BENCHMARKS=OFF -DXNNPACK_BUILD_ALL_MICROKERNELS=OFF
	-DXNNPACK_ENABLE_KLEIDIAI=OFF -DXNNPACK_ENABLE_AVX512AMX=OFF -DXNNPACK_ENABLE_AVX512FP16=OFF
)

objects=$build/objects
log=$build/build.log

fail_with_log() {
	tail -n 40 "$log" >&2
	die "$1; the whole log is $log"
}

printf 'tflite: configuring\n'
cmake -S "$src/tensorflow/tensorflow/lite/c" -B "$objects" "${cmake_args[@]}" >"$log" 2>&1 ||
	fail_with_log 'cmake refused the configuration'

# ninja's own progress line on a terminal; elsewhere (CI) a line at every tenth part.
compile() {
	local status=0 percent shown=-1 line
	NINJA_STATUS='[%f/%t] ' ninja -C "$objects" -j "$(nproc)" tensorflowlite_c 2>&1 |
		while IFS= read -r line; do
			printf '%s\n' "$line" >>"$log"
			[[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] || continue
			percent=$((100 * BASH_REMATCH[1] / BASH_REMATCH[2]))
			if [ -t 1 ]; then
				printf '\rtflite: compiling %3d %% (%d of %d files)' "$percent" "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
			elif [ $((percent / 10)) -gt $((shown / 10)) ] || [ "$shown" -lt 0 ]; then
				shown=$percent
				printf 'tflite: compiling %3d %% (%d of %d files)\n' "$percent" "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
			fi
		done || status=$?
	if [ -t 1 ]; then echo; fi
	return "$status"
}
compile || fail_with_log 'the compilation failed'

# ---- Merge -----------------------------------------------------------------------------------------------------------

rm -rf "$out"
mkdir -p "$out/lib" "$out/static-libstdc++" "$out/licenses"
printf 'tflite: merging the archives\n'

"$cc" -O2 -fPIC -Wall -Wextra -c "$here/glibc_compat.c" -o "$build/glibc_compat.o"
{
	echo "create $out/lib/libtflite_all.a"
	find "$objects" "$src/ruy/usr/lib/$multiarch" -name '*.a' | LC_ALL=C sort | sed 's/^/addlib /'
	echo "addmod $build/glibc_compat.o"
	echo save
	echo end
} | "${prefix}ar" -M >>"$log" 2>&1 || fail_with_log 'ar could not merge the archives'
"${prefix}strip" --strip-debug "$out/lib/libtflite_all.a"
"${prefix}ranlib" "$out/lib/libtflite_all.a"

# Our kernel against XNNPACK's portable one, where this machine can run it.
if [ -z "$prefix" ] && [ "$arch" = x86_64 ]; then
	"$cc" -O2 -w -I"$src/xnnpack/include" -I"$src/xnnpack/src" -I"$src/fp16/include" -I"$src/pthreadpool/include" \
		-DXNN_ENABLE_AVX512SKX=1 -DXNN_ENABLE_AVX512VNNI=1 "$here/check_dwconv.c" \
		"$src/xnnpack/src/qs8-qc8w-dwconv/gen/qs8-qc8w-dwconv-9p1c-minmax-fp32-scalar-lrintf.c" \
		"$out/lib/libtflite_all.a" -lm -o "$build/check_dwconv" >>"$log" 2>&1 || fail_with_log 'the check of dwconv_avx512vnni.c cannot be built'
	printf 'tflite: checking dwconv_avx512vnni.c: '
	"$build/check_dwconv" || [ $? = 77 ] || die 'dwconv_avx512vnni.c computes something else than XNNPACK'
fi

# The crate tflitec knows only how to link a shared library of this name. To the linker a text file of the same name is
# a script, and this one says: the archive, and a C++ runtime.
#
# The runtime is named without a path so that the program that is linked decides. As a rule it is the system's
# libstdc++.so.6, one runtime for this library and all other C++ in the process. With `-L .../static-libstdc++` in front
# it is the static one, for everything that says -lstdc++.
library=$out/lib/libtensorflowlite_c.so
printf '/* GNU ld script */\nGROUP ( %s/lib/libtflite_all.a -lstdc++ -lm -lpthread -ldl )\n' "$final" >"$library"
ln -s "$("$cxx" -print-file-name=libstdc++.a)" "$out/static-libstdc++/libstdc++.a"

# ---- Headers ---------------------------------------------------------------------------------------------------------

# tflitec 0.7.0 is written for the headers of TensorFlow 2.19 and copies a fixed list of them. 2.14 has everything it
# calls, in places of its own: registration_external.h became operator.h, and the signature runner moved from
# c_api_experimental.h to c_api.h. One type is new, kTfLiteBFloat16; no 2.14 model has it.
tf=$src/tensorflow/tensorflow/lite
inc=$out/include/tensorflow/lite
mkdir -p "$inc"/{c,core/c,core/async/c,delegates/xnnpack} "$out/include/tensorflow/compiler/mlir/lite/core/c"
cp "$tf/builtin_ops.h" "$inc/"
cp "$tf/c/c_api.h" "$inc/c/"
cp "$tf/core/async/c/types.h" "$inc/core/async/c/"
cp "$tf/core/c/common.h" "$inc/core/c/"
cp "$tf/core/c/registration_external.h" "$inc/core/c/operator.h"
cp "$tf/delegates/xnnpack/xnnpack_delegate.h" "$inc/delegates/xnnpack/"
sed 's/^\( *\)kTfLiteInt4 = 18,/&\n\1kTfLiteBFloat16 = 19,/' "$tf/core/c/c_api_types.h" >"$inc/core/c/c_api_types.h"
{
	sed 's|core/c/registration_external\.h|core/c/operator.h|' "$tf/core/c/c_api.h"
	cat "$tf/core/c/c_api_experimental.h"
} >"$inc/core/c/c_api.h"
echo '/* Empty: 2.14 has these types in core/c/c_api_types.h. */' \
	>"$out/include/tensorflow/compiler/mlir/lite/core/c/tflite_types.h"
grep -q 'kTfLiteBFloat16 = 19' "$inc/core/c/c_api_types.h" || die 'the headers are not those of TensorFlow 2.14'

# ---- What is in it ---------------------------------------------------------------------------------------------------

for dir in "$src"/*/; do
	name=$(basename "$dir")
	case $name in ruy-cmake | ml_dtypes) continue ;; esac
	for file in "$dir"{LICENSE,COPYING,COPYING.{README,MPL2,BSD,APACHE,MINPACK},readme.txt} \
		"$dir"usr/share/doc/*/copyright; do
		[ ! -f "$file" ] || cp "$file" "$out/licenses/$name-$(basename "$file")"
	done
done
{
	echo "TensorFlow Lite 2.14.1, C API, static, XNNPACK with QS8 and QU8, $arch"
	echo "compiler: $("$cxx" --version | head -n 1)"
	grep -v -e '^#' -e '^$' "$here/sources.txt" | awk -v a="$debian_arch" '$2 == "any" || $2 == a { print $3, $4 }'
} >"$out/about.txt"
