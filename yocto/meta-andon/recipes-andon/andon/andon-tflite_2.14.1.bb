SUMMARY = "TensorFlow Lite's C library with XNNPACK's int8 kernels, static"
DESCRIPTION = "Built from the sources that tflite/sources.txt pins, by the very script that builds it for tests and \
development: what is measured there is what runs on the device."
HOMEPAGE = "https://www.tensorflow.org/lite"
SECTION = "libs"
LICENSE = "Apache-2.0 & BSD-2-Clause & BSD-3-Clause & MIT & MPL-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

DEPENDS = "cmake-native dpkg-native ninja-native"

require ${BPN}-sources.inc

# The script applies the patch itself, to the XNNPACK that it unpacks.
SRC_URI += "\
    file://tflite/check_dwconv.c;subdir=${BP} \
    file://tflite/compile.sh;subdir=${BP} \
    file://tflite/dwconv_avx512vnni.c;subdir=${BP} \
    file://tflite/glibc_compat.c;subdir=${BP} \
    file://tflite/sources.txt;subdir=${BP} \
    file://tflite/xnnpack.patch;subdir=${BP};apply=no \
"

inherit andon_tree python3native

# The script's architectures.
COMPATIBLE_HOST = "(aarch64|x86_64).*-linux"

B = "${WORKDIR}/build"
do_compile[cleandirs] = "${B}/out"

# The script calls its compilers by Debian's names, ARCH-linux-gnu-gcc and so on, or by CC and CXX where it does not
# cross-compile; these wrappers give it the ones of this build, with their options.
do_compile() {
    downloads=${WORKDIR}/downloads
    tools=${WORKDIR}/tools
    mkdir -p "$downloads" "$tools" ${B}
    for file in ${ANDON_TFLITE_FILES}; do
        ln -sf "${DL_DIR}/$file" "$downloads/$file"
    done
    wrap() {
        printf '#!/bin/sh\nexec %s "$@"\n' "$2" > "$tools/${HOST_ARCH}-linux-gnu-$1"
        chmod 0755 "$tools/${HOST_ARCH}-linux-gnu-$1"
    }
    wrap gcc "${CC} ${DEBUG_PREFIX_MAP}"
    wrap g++ "${CXX} ${DEBUG_PREFIX_MAP}"
    wrap ar "${AR}"
    wrap ranlib "${RANLIB}"
    wrap strip "${STRIP}"

    # nproc, which the script asks for the number of jobs, goes by this.
    export OMP_NUM_THREADS=${@oe.utils.parallel_make(d, False) or 1}
    export CC="$tools/${HOST_ARCH}-linux-gnu-gcc" CXX="$tools/${HOST_ARCH}-linux-gnu-g++"
    export TFLITE_FINAL_DIR=${B}/out
    unset CFLAGS CXXFLAGS LDFLAGS CPPFLAGS
    PATH="$tools:$PATH" bash ${S}/tflite/compile.sh ${HOST_ARCH} "$downloads" ${B} ${B}/out
}

do_install() {
    install -d ${D}${libdir}/andon-tflite ${D}${includedir}/andon-tflite ${D}${docdir}/${BPN}
    install -m 0644 ${B}/out/lib/libtflite_all.a ${D}${libdir}/andon-tflite/
    # A linker script with the archive's name alone: the linker looks beside the script's copy and in the paths it is given.
    printf '/* GNU ld script */\nGROUP ( -ltflite_all -lstdc++ -lm -lpthread -ldl )\n' \
        > ${D}${libdir}/andon-tflite/libtensorflowlite_c.so
    cp -R --no-preserve=ownership ${B}/out/include/. ${D}${includedir}/andon-tflite/
    install -m 0644 ${B}/out/about.txt ${D}${docdir}/${BPN}/
    cp -R --no-preserve=ownership ${B}/out/licenses ${D}${docdir}/${BPN}/
}

# Only a library to link with: the package of that name would be empty and is not made, so nothing may ask for it.
FILES:${PN}-staticdev += "${libdir}/andon-tflite/libtflite_all.a"
FILES:${PN}-dev += "${includedir}/andon-tflite ${libdir}/andon-tflite/libtensorflowlite_c.so"
RDEPENDS:${PN}-dev = ""
RDEPENDS:${PN}-staticdev = ""
