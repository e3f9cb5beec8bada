require ${ANDON_LAYERDIR}/recipes-kernel/linux/andon-kernel.inc

ANDON_KERNEL_FRAGMENTS:append:qemuall = " file://andon-qemu.cfg"
