SUMMARY = "Signed update of the Andon appliance"
DESCRIPTION = "The system of andon-image as a RAUC bundle, for boxes with two slots."
LICENSE = "MIT"

# Nothing is fetched: the bundle is made of what other recipes deployed.
SRC_URI = ""

inherit bundle features_check

REQUIRED_DISTRO_FEATURES = "andon rauc"
COMPATIBLE_MACHINE = "^(raspberrypi4-64|raspberrypi5|imx8mm-lpddr4-evk)$"

ANDON_KEYS ??= "${TOPDIR}/../andon-keys"
ANDON_IMAGE_VERSION ??= "${PV}"

RAUC_BUNDLE_COMPATIBLE = "andon-${MACHINE}"
RAUC_BUNDLE_VERSION = "${ANDON_IMAGE_VERSION}"
RAUC_BUNDLE_DESCRIPTION = "Andon ${ANDON_IMAGE_VERSION} for ${MACHINE}"
RAUC_BUNDLE_FORMAT = "verity"

RAUC_BUNDLE_SLOTS = "rootfs"
RAUC_SLOT_rootfs = "andon-image"
RAUC_SLOT_rootfs[fstype] = "ext4"

# On a Raspberry Pi the kernel is beside the firmware, on a boot partition of its own slot.
RAUC_BUNDLE_SLOTS:append:rpi = " bootfs"
RAUC_SLOT_bootfs = "andon-bootfs"
RAUC_SLOT_bootfs[type] = "file"
RAUC_SLOT_bootfs[file] = "andon-bootfs-${MACHINE}.tar.gz"

# yocto/tools/make-keys.sh makes them; they are not in the repository.
RAUC_KEY_FILE = "${ANDON_KEYS}/update-signing.key.pem"
RAUC_CERT_FILE = "${ANDON_KEYS}/update-signing.cert.pem"
RAUC_KEYRING_FILE = "${ANDON_KEYS}/update-ca.cert.pem"
