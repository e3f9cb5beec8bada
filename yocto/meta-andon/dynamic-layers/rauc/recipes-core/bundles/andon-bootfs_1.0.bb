SUMMARY = "Boot partition of the Andon appliance on a Raspberry Pi, as an archive"
DESCRIPTION = "The very files that wic puts on the boot partitions of an image (IMAGE_BOOT_FILES), for an update bundle."
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"

# Nothing is fetched: the archive is made of what other recipes deployed.
SRC_URI = ""

inherit deploy nopackages

COMPATIBLE_MACHINE = "^rpi$"
PACKAGE_ARCH = "${MACHINE_ARCH}"
INHIBIT_DEFAULT_DEPS = "1"

do_configure[noexec] = "1"
do_install[noexec] = "1"
deltask do_populate_sysroot

do_compile[depends] += "\
    andon-overlays:do_deploy \
    rpi-bootfiles:do_deploy \
    rpi-cmdline:do_deploy \
    rpi-config:do_deploy \
    virtual/kernel:do_deploy \
"
do_compile[cleandirs] = "${B}/bootfs"

python do_compile() {
    import glob
    import shutil

    deploy = d.getVar('DEPLOY_DIR_IMAGE')
    target = os.path.join(d.getVar('B'), 'bootfs')
    for entry in d.getVar('IMAGE_BOOT_FILES').split():
        # "source", "source;destination", or "pattern;folder/", as wic reads them.
        source, _, destination = entry.partition(';')
        found = sorted(glob.glob(os.path.join(deploy, source)))
        if not found:
            bb.fatal('IMAGE_BOOT_FILES: %s is not in %s' % (source, deploy))
        for path in found:
            if not destination:
                name = os.path.basename(path)
            elif destination.endswith('/'):
                name = os.path.join(destination, os.path.basename(path))
            else:
                name = destination
            bb.utils.mkdirhier(os.path.dirname(os.path.join(target, name)))
            if os.path.isdir(path):
                shutil.copytree(path, os.path.join(target, name), dirs_exist_ok=True)
            else:
                shutil.copyfile(path, os.path.join(target, name))
}
do_compile[vardeps] += "IMAGE_BOOT_FILES"

do_deploy() {
    tar --sort=name --mtime=@${SOURCE_DATE_EPOCH} --owner=0 --group=0 --numeric-owner \
        -C ${B}/bootfs -czf ${DEPLOYDIR}/andon-bootfs-${MACHINE}.tar.gz .
}
addtask deploy after do_compile before do_build
