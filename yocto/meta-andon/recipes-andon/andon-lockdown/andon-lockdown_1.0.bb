SUMMARY = "No login, no console, no network service: the Andon appliance's lockdown"
DESCRIPTION = "Masks every way to log in, keeps the journal in memory and tightens the kernel's settings. Images for \
development leave this package out."
SECTION = "base"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

SRC_URI = "\
    file://50-andon-journald.conf \
    file://50-andon-lockdown.conf \
    file://50-andon-sysctl.conf \
    file://50-andon-system.conf \
    file://80-andon-lockdown.preset \
"

S = "${UNPACKDIR}"

inherit allarch features_check

REQUIRED_DISTRO_FEATURES = "systemd usrmerge"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

# Units that ask for a login, or give a shell without asking.
ANDON_MASKED = "\
    autovt@.service \
    console-getty.service \
    container-getty@.service \
    ctrl-alt-del.target \
    debug-shell.service \
    emergency.service \
    getty@.service \
    rescue.service \
    serial-getty@.service \
"

do_install() {
    install -d ${D}${sysconfdir}/systemd/system
    for unit in ${ANDON_MASKED}; do
        ln -s /dev/null ${D}${sysconfdir}/systemd/system/$unit
    done
    install -D -m 0644 ${S}/50-andon-journald.conf ${D}${sysconfdir}/systemd/journald.conf.d/50-andon.conf
    install -D -m 0644 ${S}/50-andon-lockdown.conf ${D}${sysconfdir}/systemd/logind.conf.d/50-andon.conf
    install -D -m 0644 ${S}/50-andon-system.conf ${D}${sysconfdir}/systemd/system.conf.d/50-andon.conf
    install -D -m 0644 ${S}/50-andon-sysctl.conf ${D}${sysconfdir}/sysctl.d/50-andon.conf
    install -D -m 0644 ${S}/80-andon-lockdown.preset ${D}${systemd_unitdir}/system-preset/80-andon-lockdown.preset
}

FILES:${PN} += "${systemd_unitdir}/system-preset"
