SUMMARY = "Kernel driver of Coral's PCIe and M.2 Edge TPUs"
DESCRIPTION = "Makes /dev/apex_0 and so on for devices 1ac1:089a. Google's last release, with what current kernels ask for."
HOMEPAGE = "https://github.com/google/gasket-driver"
SECTION = "kernel"
LICENSE = "GPL-2.0-only"
LIC_FILES_CHKSUM = "file://LICENSE;md5=b234ee4d69f5fce4486a80fdaf4a4263"

SRC_URI = "\
    git://github.com/google/gasket-driver.git;protocol=https;branch=main \
    file://0001-gasket-do-not-name-no_llseek.patch \
    file://0002-gasket-import-DMA_BUF-as-a-string.patch \
    file://0003-gasket-zap_vma_ptes-has-another-name-from-Linux-7.1.patch \
"
SRCREV = "5815ee3908a46a415aac616ac7b9aedcb98a504c"

inherit module

# The makefile is made for the machine that it runs on; the kernel's own way to build a module needs only the folder.
EXTRA_OEMAKE = "-C ${STAGING_KERNEL_BUILDDIR} M=${S}/src"
MAKE_TARGETS = "modules"
B = "${S}/src"

RPROVIDES:${PN} += "kernel-module-gasket kernel-module-apex"
KERNEL_MODULE_AUTOLOAD += "apex"

# There is no PCIe slot for one on the virtual machine, but the module is small and the check that it builds is worth it.
COMPATIBLE_HOST = "(aarch64|x86_64).*-linux"
