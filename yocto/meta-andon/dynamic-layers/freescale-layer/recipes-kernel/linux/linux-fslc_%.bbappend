require recipes-kernel/linux/andon-kernel.inc
