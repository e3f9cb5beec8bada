require ${ANDON_LAYERDIR}/recipes-kernel/linux/andon-kernel.inc

ANDON_KERNEL_FRAGMENTS:append:mx8mm-generic-bsp = " file://andon-imx.cfg"
