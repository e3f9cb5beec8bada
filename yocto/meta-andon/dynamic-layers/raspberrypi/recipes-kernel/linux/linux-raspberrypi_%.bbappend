require ${ANDON_LAYERDIR}/recipes-kernel/linux/andon-kernel.inc

ANDON_KERNEL_FRAGMENTS:append:rpi = " file://andon-rpi.cfg"
ANDON_KERNEL_FRAGMENTS:append:raspberrypi5 = "${@' file://andon-tpu-4k-pages.cfg' if d.getVar('ANDON_TPU_M2') == '1' else ''}"
