# Boot script of the Andon appliance on the i.MX 8M Mini EVK. Partitions: files/wic/andon-ab-imx.wks.in.
#
# BOOT_ORDER, BOOT_A_LEFT and BOOT_B_LEFT are RAUC's: the first slot of the order with starts left is taken, and a start is
# used up each time. A slot that proves itself gets its starts back (andon-mark-good).

# The SD card: mmc 1 here and /dev/mmcblk1 in Linux. The EVK's U-Boot sets neither this nor a place for overlays, and its place
# for the tree leaves a kernel 42 MiB only.
setenv mmcdev 1
setenv fdt_addr_r 0x48000000
setenv fdtoverlay_addr_r 0x48100000

test -n "${BOOT_ORDER}" || setenv BOOT_ORDER "A B"
test -n "${BOOT_A_LEFT}" || setenv BOOT_A_LEFT 3
test -n "${BOOT_B_LEFT}" || setenv BOOT_B_LEFT 3

setenv slot
for candidate in "${BOOT_ORDER}"; do
  if test "x${slot}" != "x"; then
    echo "slot ${slot}"
  elif test "x${candidate}" = "xA"; then
    if test ${BOOT_A_LEFT} -gt 0; then
      setexpr BOOT_A_LEFT ${BOOT_A_LEFT} - 1
      setenv slot A
      setenv part 2
    fi
  elif test "x${candidate}" = "xB"; then
    if test ${BOOT_B_LEFT} -gt 0; then
      setexpr BOOT_B_LEFT ${BOOT_B_LEFT} - 1
      setenv slot B
      setenv part 3
    fi
  fi
done

if test "x${slot}" = "x"; then
  echo "no slot has starts left: both get three"
  setenv BOOT_A_LEFT 3
  setenv BOOT_B_LEFT 3
  saveenv
  reset
fi
saveenv

# What is set from here on is not saved. A slot on trial (andon-update) has to open its watchdog within so many seconds, more
# than andon-mark-good takes to give it up by itself; then the kernel feeds it no more.
test -n "${andon_overlays}" || setenv andon_overlays "relay-board reset-button edm mute-sensor heartbeat stack-light"
test -n "${andon_open_timeout}" || setenv andon_open_timeout 732
test -n "${andon_trial}" || setenv andon_trial none
setenv limit
if test "x${andon_trial}" = "x${slot}"; then
  setenv limit "watchdog.open_timeout=${andon_open_timeout}"
fi

setenv bootargs "console=${console} root=/dev/mmcblk${mmcdev}p${part} rootfstype=ext4 rootwait ro rauc.slot=${slot} quiet loglevel=3 vt.global_cursor_default=0 panic=5 oops=panic ${limit}"

# Only what was read whole is started: in the memory may be the other slot's kernel, from the start before.
if load mmc ${mmcdev}:${part} ${fdt_addr_r} /boot/imx8mm-evk.dtb; then
  fdt addr ${fdt_addr_r}
  fdt resize 0x10000
  for overlay in ${andon_overlays}; do
    if load mmc ${mmcdev}:${part} ${fdtoverlay_addr_r} /boot/devicetree/andon-imx8mm-evk-${overlay}.dtbo; then
      fdt apply ${fdtoverlay_addr_r}
    fi
  done
  if load mmc ${mmcdev}:${part} ${kernel_addr_r} /boot/Image; then
    booti ${kernel_addr_r} - ${fdt_addr_r}
  fi
fi

# Kernel or tree could not be read: the next start tries again, or the other slot.
reset
