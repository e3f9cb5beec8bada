SUMMARY = "Firmware of Coral's USB Edge TPU"
DESCRIPTION = "The firmware that an Edge TPU on USB (1a6e:089a) is given before it is one (18d1:9302), in its \
single-endpoint form, from the repository of libedgetpu."
HOMEPAGE = "https://github.com/google-coral/libedgetpu"
SECTION = "kernel"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=86d3f3a95c324c9479bd8986968f4327"

SRC_URI = "git://github.com/google-coral/libedgetpu.git;protocol=https;branch=master"
SRCREV = "e35aed18fea2e2d25d98352e5a5bd357c170bd4d"

inherit allarch

do_configure[noexec] = "1"
do_compile[noexec] = "1"

# The file that Andon's driver knows by this sum.
ANDON_FIRMWARE_SHA256 = "3b07311b174b81fd14fd2c887f40d646c0ebf2f140cc5ee5cf8befa0f3e3dc7f"

do_install() {
    install -D -m 0644 ${S}/driver/usb/apex_latest_single_ep.bin ${D}${nonarch_base_libdir}/firmware/google/apex_latest_single_ep.bin
    echo "${ANDON_FIRMWARE_SHA256}  ${D}${nonarch_base_libdir}/firmware/google/apex_latest_single_ep.bin" | sha256sum -c
}

FILES:${PN} += "${nonarch_base_libdir}/firmware/google"
