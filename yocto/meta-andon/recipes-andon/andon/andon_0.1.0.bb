SUMMARY = "Keepout-zone worker safety and visual inspection on two cameras"
DESCRIPTION = "Andon watches a danger zone and takes away a machine's run permission when somebody steps in; at the same \
time it finds parts on a conveyor and grades them. Supplementary protection in front of a certified safety relay."
SECTION = "applications"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

DEPENDS = "andon-tflite clang-native openssl-native virtual/libgbm"

require ${BPN}-crates.inc

# The program is built from the repository that this layer is part of.
SRC_URI += "\
    file://Cargo.toml;subdir=${BP} \
    file://Cargo.lock;subdir=${BP} \
    file://LICENSE;subdir=${BP} \
    file://NOTICE;subdir=${BP} \
    file://README.md;subdir=${BP} \
    file://config;subdir=${BP} \
    file://models;subdir=${BP} \
    file://src;subdir=${BP} \
    file://tests/tpu-sim;subdir=${BP} \
    file://tools/install-appliance.sh;subdir=${BP} \
"

inherit andon_tree cargo cargo-update-recipe-crates features_check pkgconfig systemd useradd

REQUIRED_DISTRO_FEATURES = "opengl systemd usrmerge"

# TensorFlow Lite's build knows these two.
COMPATIBLE_HOST = "(aarch64|x86_64).*-linux"

# The crate tflitec finds its library and headers by these; its bindings are made with libclang for the target.
export TFLITEC_PREBUILT_PATH = "${STAGING_LIBDIR}/andon-tflite/libtensorflowlite_c.so"
export TFLITEC_HEADER_DIR = "${STAGING_INCDIR}/andon-tflite"
export LIBCLANG_PATH = "${STAGING_LIBDIR_NATIVE}"
export BINDGEN_EXTRA_CLANG_ARGS = "--target=${HOST_SYS} --sysroot=${STAGING_DIR_TARGET} -I${STAGING_INCDIR}"

# Crates with C in them are compiled where they are unpacked; the build's paths stay out of their debug information.
DEBUG_PREFIX_MAP:append = " -ffile-prefix-map=${CARGO_HOME}=${TARGET_DBGSRC_DIR}"

# The library's linker script names its archive without a path.
RUSTFLAGS:append = " -L native=${STAGING_LIBDIR}/andon-tflite"

# openssl-sys is a build dependency of tflitec alone: it is for the machine that builds.
export OPENSSL_NO_VENDOR = "1"
export OPENSSL_INCLUDE_DIR = "${STAGING_INCDIR_NATIVE}"
export OPENSSL_LIB_DIR = "${STAGING_LIBDIR_NATIVE}"

do_install:append() {
    ${S}/tools/install-appliance.sh ${D} ${ANDON_BOARD}
    if [ -e "${ANDON_KEYS}/import.pub" ]; then
        install -m 0644 ${ANDON_KEYS}/import.pub ${D}${datadir}/andon/import.pub
    else
        bbnote "no ${ANDON_KEYS}/import.pub: this image takes no configuration from sticks (yocto/tools/make-keys.sh)"
    fi
}
do_install[vardeps] += "ANDON_BOARD"
do_install[file-checksums] += "${ANDON_KEYS}/import.pub:${@os.path.exists(d.getVar('ANDON_KEYS') + '/import.pub')}"

ANDON_BOARD ??= "${MACHINE}"
ANDON_KEYS ??= "${TOPDIR}/../andon-keys"

# The factory configuration is the board's.
PACKAGE_ARCH = "${MACHINE_ARCH}"

SYSTEMD_SERVICE:${PN} = "andon.service"

# The same as config/andon.sysusers.conf says; a check compares them. The number is fixed because the files on the partitions
# for configuration and events outlive an update: the next system's user must be able to read them.
USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system --gid 400 andon; --system gpio; --system input; --system plugdev; --system render; \
    --system video"
USERADD_PARAM:${PN} = "--system --uid 400 --gid andon --no-create-home --home-dir ${localstatedir}/lib/andon \
    --shell ${sbindir}/nologin --groups gpio,input,plugdev,render,video andon"

FILES:${PN} += "\
    ${nonarch_libdir}/sysusers.d/andon.conf \
    ${nonarch_libdir}/tmpfiles.d/andon.conf \
    ${nonarch_libdir}/udev/rules.d/70-andon.rules \
    ${systemd_system_unitdir} \
"

# Licence and notice go with the program, not into a package that no image installs.
FILES:${PN} += "${docdir}/andon"
# nooelint: oelint.var.filesoverride - nothing is left for it
FILES:${PN}-doc = ""

# EGL and GLES are loaded at run time: no dependency shows in the program. The other is the licences of what is linked in.
RDEPENDS:${PN} += "andon-tflite-doc libegl libgles2"
RRECOMMENDS:${PN} += "edgetpu-firmware"
