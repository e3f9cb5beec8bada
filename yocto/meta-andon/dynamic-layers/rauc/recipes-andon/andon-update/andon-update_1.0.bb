SUMMARY = "Updates of the Andon appliance: install, try, keep or go back"
DESCRIPTION = "Takes signed bundles from a stick, tries them once, and keeps a new system only when Andon has decided \
frames in it."
SECTION = "base"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

SRC_URI = "\
    file://andon-mark-good \
    file://andon-mark-good.service \
    file://andon-slot.service \
    file://andon-update \
    file://andon-update@.service \
    file://fw_env.config \
    file://rauc-tryboot \
"

S = "${UNPACKDIR}"

inherit features_check systemd

REQUIRED_DISTRO_FEATURES = "rauc systemd usrmerge"

PACKAGE_ARCH = "${MACHINE_ARCH}"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -d ${D}${libexecdir}/andon ${D}${systemd_system_unitdir}
    install -m 0755 ${S}/andon-mark-good ${S}/andon-update ${D}${libexecdir}/andon/
    install -m 0644 ${S}/andon-mark-good.service ${S}/andon-slot.service ${S}/andon-update@.service \
        ${D}${systemd_system_unitdir}/
}

do_install:append:rpi() {
    install -m 0755 ${S}/rauc-tryboot ${D}${libexecdir}/andon/
}

do_install:append:imx8mm-lpddr4-evk() {
    install -D -m 0644 ${S}/fw_env.config ${D}${sysconfdir}/fw_env.config
}

SYSTEMD_SERVICE:${PN} = "andon-mark-good.service andon-slot.service"

FILES:${PN} += "${libexecdir}/andon ${systemd_system_unitdir}"

RDEPENDS:${PN} = "andon rauc rauc-service"
RDEPENDS:${PN}:append:imx8mm-lpddr4-evk = " libubootenv-bin"
# RAUC's own service marks a system good as soon as it has started; ours waits for a decided frame.
RCONFLICTS:${PN} = "rauc-mark-good"
