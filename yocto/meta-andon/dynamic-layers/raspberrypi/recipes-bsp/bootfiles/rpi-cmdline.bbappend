# The appliance's kernel command line; one for each slot where there are two. The root's partitions are those of
# files/wic/andon-ab-rpi.wks.in and andon-single-rpi.wks.in.

# Pins that the program lets go of become inputs again, so that the overlays' pulls hold the relays OFF.
CMDLINE:append:andonbox = " ro ${ANDON_CMDLINE} pinctrl_bcm2835.persist_gpio_outputs=n pinctrl_rp1.persist_gpio_outputs=n \
    ${@'pcie_aspm=off' if d.getVar('ANDON_TPU_M2') == '1' else ''} \
"

do_compile:append:andonbox() {
    sed 's,root=[^ ]*,root=/dev/mmcblk0p5 rauc.slot=A,' "${WORKDIR}/cmdline.txt" > "${WORKDIR}/cmdline-a.txt"
    sed 's,root=[^ ]*,root=/dev/mmcblk0p6 rauc.slot=B,' "${WORKDIR}/cmdline.txt" > "${WORKDIR}/cmdline-b.txt"
}

do_deploy:append:andonbox() {
    if ${@bb.utils.contains('DISTRO_FEATURES', 'rauc', 'true', 'false', d)}; then
        install -m 0644 "${WORKDIR}/cmdline-a.txt" "${WORKDIR}/cmdline-b.txt" "${DEPLOYDIR}/${BOOTFILES_DIR_NAME}"
    fi
}
