# The boot script with slots and overlays, and where U-Boot keeps its variables. For the EVK of the appliance alone.
FILESEXTRAPATHS:prepend := "${THISDIR}/files:"

SRC_URI:append:imx8mm-lpddr4-evk = "${@bb.utils.contains('DISTRO_FEATURES', 'andon', ' file://boot.cmd file://andon-env.cfg', '', d)}"
