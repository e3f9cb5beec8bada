# The appliance's kernel command line. Nothing changes without the distro feature `andon`.

# The root's partition is that of files/wic/andon-ab-rpi.wks.in and andon-single-rpi.wks.in.
ANDON_CMDLINE ??= ""
ANDON_SLOTS = "${@bb.utils.contains('DISTRO_FEATURES', 'andon rauc', '1', '0', d)}"

# Pins that the program lets go of become inputs again, so that the overlays' pulls hold the relays OFF.
ANDON_CMDLINE_PI = "ro ${ANDON_CMDLINE} pinctrl_bcm2835.persist_gpio_outputs=n ${@'pcie_aspm=off' if d.getVar('ANDON_TPU_M2') == '1' else ''}"
CMDLINE:append = "${@bb.utils.contains('DISTRO_FEATURES', 'andon', ' ' + d.getVar('ANDON_CMDLINE_PI'), '', d)}"

do_compile:append() {
    if [ "${ANDON_SLOTS}" = "1" ]; then
        sed 's,root=[^ ]*,root=/dev/mmcblk0p5 rauc.slot=A,' "${WORKDIR}/cmdline.txt" > "${WORKDIR}/cmdline-a.txt"
        sed 's,root=[^ ]*,root=/dev/mmcblk0p6 rauc.slot=B,' "${WORKDIR}/cmdline.txt" > "${WORKDIR}/cmdline-b.txt"
    fi
}

do_deploy:append() {
    if [ "${ANDON_SLOTS}" = "1" ]; then
        install -m 0644 "${WORKDIR}/cmdline-a.txt" "${WORKDIR}/cmdline-b.txt" "${DEPLOYDIR}/${BOOTFILES_DIR_NAME}"
    fi
}
