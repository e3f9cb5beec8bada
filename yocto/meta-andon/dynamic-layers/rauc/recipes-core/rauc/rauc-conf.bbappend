# The appliance's slots, and the certificate that update bundles must be signed under.
FILESEXTRAPATHS:prepend:andonbox := "${THISDIR}/files:"

RAUC_KEYRING_FILE:andonbox = "update-ca.cert.pem"
RAUC_KEYRING_URI:andonbox = "file://${ANDON_KEYS}/update-ca.cert.pem"

# system.conf is the board's.
PACKAGE_ARCH:andonbox = "${MACHINE_ARCH}"

do_install:append:andonbox() {
    sed -i 's/@MACHINE@/${MACHINE}/' ${D}${nonarch_libdir}/rauc/system.conf
}
