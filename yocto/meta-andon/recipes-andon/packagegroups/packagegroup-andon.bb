SUMMARY = "Everything of the Andon appliance"
DESCRIPTION = "The program with its partitions and overlays, the lockdown, and what belongs to the machine."

inherit packagegroup

# The overlays and the update are the machine's.
PACKAGE_ARCH = "${MACHINE_ARCH}"

RDEPENDS:${PN} = "\
    andon \
    andon-storage \
    e2fsprogs-e2fsck \
    e2fsprogs-mke2fs \
    libgbm \
    mesa-megadriver \
"

RDEPENDS:${PN}:append = " \
    ${@'' if d.getVar('ANDON_DEBUG') == '1' else 'andon-lockdown'} \
    ${@bb.utils.contains('DISTRO_FEATURES', 'rauc', 'andon-update', '', d)} \
"

RDEPENDS:${PN}:append:imx8mm-lpddr4-evk = " andon-overlays kernel-devicetree kernel-image"

RRECOMMENDS:${PN} = "\
    edgetpu-firmware \
    gasket \
    kernel-modules \
"
