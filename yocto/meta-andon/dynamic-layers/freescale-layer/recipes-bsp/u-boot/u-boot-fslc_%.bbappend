# The boot script with slots and overlays, and where U-Boot keeps its variables. Which board has them:
# conf/include/andon-appliance.inc.
FILESEXTRAPATHS:prepend:andonbox := "${THISDIR}/files:"

SRC_URI:append:andonbox = " ${ANDON_UBOOT_FILES}"
