# The appliance's part of config.txt. ANDON_OVERLAYS and the other variables: conf/include/andon-appliance.inc.

do_deploy:append:andonbox() {
    {
        echo "# Andon: outputs are inputs, pulled down, before the kernel runs"
        echo "gpio=17,22,23,24,27=ip,pd"
        echo "gpio=5,6,13=ip,pu"
        for overlay in ${ANDON_OVERLAYS} ${ANDON_TPU_OVERLAYS}; do
            echo "dtoverlay=andon-${ANDON_OVERLAY_BOARD}-$overlay"
        done
        echo "dtparam=watchdog=on"
        echo "# A system on trial that does not come up is restarted"
        echo "[tryboot]"
        echo "kernel_watchdog_timeout=${ANDON_WATCHDOG_S}"
        echo "[all]"
        if ${@'true' if d.getVar('ANDON_TPU_M2') == '1' else 'false'}; then
            echo "# The M.2 slot"
            echo "dtparam=pciex1"
        fi
        if ${@bb.utils.contains('DISTRO_FEATURES', 'rauc', 'true', 'false', d)}; then
            echo "# Each slot has its command line; the firmware knows which it boots"
            echo "[boot_partition=2]"
            echo "cmdline=cmdline-a.txt"
            echo "[boot_partition=3]"
            echo "cmdline=cmdline-b.txt"
            echo "[all]"
        fi
    } >> ${DEPLOYDIR}/${BOOTFILES_DIR_NAME}/config.txt
    # Which boot partition is taken: for the first partition of an image with two slots.
    printf '[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n' > ${DEPLOYDIR}/andon-autoboot.txt
}
