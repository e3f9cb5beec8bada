SUMMARY = "Device-tree overlays of the Andon appliance"
DESCRIPTION = "Relay board, reset button, feedback contact, muting sensor, heartbeat and stack light on the headers of \
Raspberry Pi 4 and 5 and of the i.MX 8M Mini EVK, and M.2 Edge TPUs on the Raspberry Pi 5."
SECTION = "bsp"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

# It is no board's whole tree.
PROVIDES = "andon-overlays"

SRC_URI = "file://overlays"

inherit andon_tree devicetree

# They include nothing of the kernel's.
KERNEL_INCLUDE = ""
DT_FILES_PATH = "${UNPACKDIR}/overlays"

COMPATIBLE_MACHINE = "^(raspberrypi4-64|raspberrypi5|imx8mm-lpddr4-evk)$"

# Only the board's own (conf/include/andon-appliance.inc).
ANDON_OVERLAY_BOARD ??= "*"

do_configure:append() {
    find ${DT_FILES_PATH} -name '*.dtso' ! -name 'andon-${ANDON_OVERLAY_BOARD}-*.dtso' -delete
}
