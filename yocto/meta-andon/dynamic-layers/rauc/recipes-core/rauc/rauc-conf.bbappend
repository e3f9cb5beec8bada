# The appliance's slots, and the certificate that update bundles must be signed under. Nothing changes without the distro
# feature `andon`.
FILESEXTRAPATHS:prepend := "${@bb.utils.contains('DISTRO_FEATURES', 'andon', '${THISDIR}/files:', '', d)}"

ANDON_KEYS ??= "${TOPDIR}/../andon-keys"
ANDON_KEYRING = "file://${ANDON_KEYS}/update-ca.cert.pem"

RAUC_KEYRING_FILE = "${@bb.utils.contains('DISTRO_FEATURES', 'andon', 'update-ca.cert.pem', 'ca.cert.pem', d)}"
RAUC_KEYRING_URI = "${@bb.utils.contains('DISTRO_FEATURES', 'andon', d.getVar('ANDON_KEYRING'), 'file://ca.cert.pem', d)}"

# system.conf is the board's.
PACKAGE_ARCH = "${@bb.utils.contains('DISTRO_FEATURES', 'andon', '${MACHINE_ARCH}', '${TUNE_PKGARCH}', d)}"

do_install:append() {
    if ${@bb.utils.contains('DISTRO_FEATURES', 'andon', 'true', 'false', d)}; then
        sed -i 's/@MACHINE@/${MACHINE}/' ${D}${nonarch_libdir}/rauc/system.conf
    fi
}
