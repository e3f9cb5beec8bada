# The appliance's picture while the system starts, in the place of the default one. Nothing changes without the distro
# feature `andon`.
FILESEXTRAPATHS:prepend := "${THISDIR}/files:"

ANDON_SPLASH = "${@bb.utils.contains('DISTRO_FEATURES', 'andon', 'andon', 'poky', d)}"
SPLASH_IMAGES = "file://psplash-${ANDON_SPLASH}-img.png;outsuffix=default"
