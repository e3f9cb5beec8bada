SUMMARY = "The Andon appliance: boots into the kiosk, and into nothing else"
DESCRIPTION = "Read-only root, configuration and events on partitions of their own, no login, no network service."
LICENSE = "MIT"

inherit core-image features_check

# seccomp: without it systemd leaves the services' system-call filters out, and says so only in its journal.
REQUIRED_DISTRO_FEATURES = "andon opengl seccomp systemd usrmerge"
# Each of them would be one more thing that listens.
CONFLICT_DISTRO_FEATURES = "sysvinit x11"

IMAGE_FEATURES += "read-only-rootfs splash"
IMAGE_FEATURES += "${@'allow-empty-password allow-root-login empty-root-password serial-autologin-root' if d.getVar('ANDON_DEBUG') == '1' else ''}"

IMAGE_INSTALL = "\
    packagegroup-core-boot \
    packagegroup-andon \
    ${CORE_IMAGE_EXTRA_INSTALL} \
"

IMAGE_LINGUAS = ""

# Time zones: zones may have hours.
IMAGE_INSTALL += "tzdata-core"

# Whether a login is possible is decided here and nowhere else: a key, a password or a shell that some package brought
# fails the build.
ROOTFS_POSTPROCESS_COMMAND += "andon_check_lockdown"

andon_check_lockdown() {
    if [ "${ANDON_DEBUG}" = "1" ]; then
        bbwarn "andon-image: a DEBUG image, root logs in without a password"
        return
    fi
    if cut -d: -f2 ${IMAGE_ROOTFS}${sysconfdir}/shadow | grep -q -v '^[!*]'; then
        bbfatal "andon-image: somebody in the shadow file has a password, or none is needed"
    fi
    for unit in getty@ serial-getty@; do
        if [ "$(readlink ${IMAGE_ROOTFS}${sysconfdir}/systemd/system/$unit.service)" != /dev/null ]; then
            bbfatal "andon-image: $unit.service is not masked"
        fi
    done
    if [ -e ${IMAGE_ROOTFS}${sbindir}/sshd ] || [ -e ${IMAGE_ROOTFS}${sbindir}/dropbear ]; then
        bbfatal "andon-image: an SSH server is installed"
    fi
    if find ${IMAGE_ROOTFS} -xdev -name '*.key.pem' | grep -q .; then
        bbfatal "andon-image: a private key is in the image"
    fi
}

IMAGE_ROOTFS_EXTRA_SPACE = "16384"
