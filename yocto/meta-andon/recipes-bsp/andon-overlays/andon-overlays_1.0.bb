SUMMARY = "Device-tree overlays of the Andon appliance"
DESCRIPTION = "Relay board, reset button, feedback contact, muting sensor, heartbeat and stack light on the headers of \
Raspberry Pi 4 and 5 and of the i.MX 8M Mini EVK, and M.2 Edge TPUs on the Raspberry Pi 5."
SECTION = "bsp"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

# nooelint: oelint.vars.filesextrapaths - the overlays are not below the recipe but around the layer
FILESEXTRAPATHS:prepend := "${ANDON_TREE}:"

SRC_URI = "file://overlays"

inherit devicetree

# They include nothing of the kernel's.
KERNEL_INCLUDE = ""
DT_FILES_PATH = "${UNPACKDIR}/overlays"

# Beside another provider of the board's own tree.
PROVIDES:remove = "virtual/dtb"

COMPATIBLE_MACHINE = "^(raspberrypi4-64|raspberrypi5|imx8mm-lpddr4-evk)$"

# Only the board's own, and not as .dtbo by another name: DT_FILES lists them.
ANDON_OVERLAY_BOARD:raspberrypi4-64 = "rpi4"
ANDON_OVERLAY_BOARD:raspberrypi5 = "rpi5"
ANDON_OVERLAY_BOARD:imx8mm-lpddr4-evk = "imx8mm-evk"
ANDON_OVERLAY_BOARD ??= "none"

do_configure:append() {
    # Other boards' overlays do no harm and are of no use here.
    find ${DT_FILES_PATH} -name '*.dtso' ! -name 'andon-${ANDON_OVERLAY_BOARD}-*.dtso' -delete
}
