SUMMARY = "Where the Andon appliance keeps its configuration and its events"
DESCRIPTION = "Mounts the partitions andon-config at /etc/andon and andon-data at /var/lib/andon; the root file system is \
read-only and the same on every box."
SECTION = "base"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

SRC_URI = "\
    file://71-andon-storage.rules \
    file://andon-factory-reset \
    file://etc-andon.mount \
    file://var-lib-andon.mount \
"

S = "${UNPACKDIR}"

inherit allarch features_check systemd

REQUIRED_DISTRO_FEATURES = "systemd usrmerge"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -d ${D}${systemd_system_unitdir} ${D}${sbindir} ${D}${sysconfdir}/andon ${D}${localstatedir}/lib/andon
    install -m 0644 ${S}/etc-andon.mount ${S}/var-lib-andon.mount ${D}${systemd_system_unitdir}/
    install -D -m 0644 ${S}/71-andon-storage.rules ${D}${nonarch_base_libdir}/udev/rules.d/71-andon-storage.rules
    install -m 0755 ${S}/andon-factory-reset ${D}${sbindir}/
}

SYSTEMD_SERVICE:${PN} = "etc-andon.mount var-lib-andon.mount"

# The mount points belong to the read-only root file system.
FILES:${PN} += "${sysconfdir}/andon ${localstatedir}/lib/andon ${nonarch_base_libdir}/udev/rules.d"
