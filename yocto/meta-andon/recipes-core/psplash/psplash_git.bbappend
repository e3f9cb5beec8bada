# The appliance's picture while the system starts, in the place of the default one.
FILESEXTRAPATHS:prepend:andonbox := "${THISDIR}/files:"

SPLASH_IMAGES:andonbox = "file://psplash-andon-img.png;outsuffix=default"
