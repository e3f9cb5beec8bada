#!/usr/bin/env bash
# Writes packages.txt anew: asks apt, in a folder of its own, which packages the guest and QEMU need today.
#
#     tests/vm/pin.sh >tests/vm/packages.txt
#     tests/vm/pin.sh update >tests/vm/update-packages.txt      what the box with two slots has besides those
#
# For whoever moves the rig to newer versions; running the rig needs only the list. The package lists are checked with
# Debian's keys as always. Kernel and Mesa are named with their versions: other ones have to be tried first (README.md).

set -euo pipefail

kernel=7.3.4+deb13-arm64
mesa=26.1.6-1~bpo13+1

guest=(
	"linux-binary-$kernel" "linux-modules-$kernel"
	systemd udev kmod dash coreutils util-linux mount grep sed procps libc-bin busybox-static tzdata
	libegl1 libgles2 "libgbm1=$mesa" "libegl-mesa0=$mesa" "libgl1-mesa-dri=$mesa" "mesa-libgallium=$mesa"
	v4l-utils gpiod libdrm-tests strace bash
)
host=(qemu-system-arm)
update_guest=(systemd rauc rauc-service libubootenv-tool dbus)
update_host=(rauc squashfs-tools)
# RAUC 1.13 does not know how newer kernels spell dm-verity's state; the layer's boards have this one.
update_kernel=6.12.117+deb13-arm64
# The version of the layer's boot loader (meta-freescale's u-boot-fslc).
uboot=pool/main/u/u-boot/u-boot_2025.01.orig.tar.bz2

list=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/packages.txt

# shellcheck disable=SC2016 # $(...) is apt's format, not the shell's
mirror=${ANDON_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
	awk '$1 == "Debian" && $2 == "Debian" { sub("/$", "", $3); print $3; exit }')}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# solve FOR ARCH RELEASE PACKAGE...: a line for each package that an empty system of ARCH needs.
solve() {
	local name=$1 arch=$2 release=$3 root=$work/$1
	shift 3
	mkdir -p "$root"/{etc/preferences.d,lists/partial,cache/archives/partial,state}
	: >"$root/state/status"
	cat >"$root/apt.conf" <<-CONF
		Dir::Etc "$root/etc/"; Dir::Etc::sourcelist "$root/etc/sources.list"; Dir::Etc::sourceparts "-";
		Dir::State "$root/state/"; Dir::State::status "$root/state/status"; Dir::State::lists "$root/lists/";
		Dir::Cache "$root/cache/"; APT::Architecture "$arch"; APT::Architectures { "$arch"; };
		APT::Sandbox::User "root"; APT::Install-Recommends "false"; Acquire::Languages "none";
		Acquire::Check-Valid-Until "false"; Debug::NoLocking "1";
	CONF
	local key=/usr/share/keyrings/debian-archive-keyring.gpg suite
	for suite in trixie trixie-backports; do echo "deb [signed-by=$key] $mirror $suite main"; done >"$root/etc/sources.list"
	APT_CONFIG=$root/apt.conf apt-get -qq update >&2
	APT_CONFIG=$root/apt.conf apt-get -qq install --target-release "$release" --print-uris --yes "$@" |
		awk '{ print $2 }' | sed 's/_[^_]*$//; s/%3a/:/; s/_/=/' | sort |
		while read -r package; do line "$name" "$package"; done
}

# line FOR PACKAGE: the line of a package alone, after `solve FOR ...`.
line() {
	APT_CONFIG=$work/$1/apt.conf apt-cache show "$2" |
		awk -v name="$1" '/^Filename:/ { path = $2 } /^SHA256:/ { sum = $2 } END { print name, sum, path }'
}

# besides: of these lines those whose package packages.txt has not, for guest or host.
besides() {
	awk '
		{ name = $3; sub(".*/", "", name); sub("_.*", "", name); name = $1 " " name }
		FNR == NR { known[name] = 1; next }
		!(name in known)
	' "$list" -
}

# sources PATH: a line for a file of Debian's sources, whose sum its description (.dsc) knows.
sources() {
	local index=$work/sources
	/usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "$mirror/dists/trixie/main/source/Sources.xz" "$index.xz" >&2
	xz -dc "$index.xz" | awk -v file="${1##*/}" '$3 == file && length($1) == 64 { print $1; exit }' |
		sed "s|^|source |; s|\$| $1|"
}

if [ "${1:-}" = update ]; then
	cat <<-'HEAD'
		# What a virtual box with two slots is made of besides packages.txt: RAUC and what belongs to it, and U-Boot's sources.
		# `pin.sh update` wrote this list. Its lines are those of packages.txt, and `source`: an archive of sources.

	HEAD
	{
		solve guest arm64 trixie "${update_guest[@]}"
		solve host amd64 trixie "${update_host[@]}"
	} | besides
	line guest "linux-image-$update_kernel"
	sources "$uboot"
	exit
fi

cat <<'HEAD'
# What the virtual machine is made of: Debian packages, unpacked and never installed. pin.sh wrote this list.
#
# Each line: `guest` (arm64, for the machine's disk) or `host` (amd64, QEMU), SHA-256, path below the root of any Debian
# mirror. A file whose sum differs is not used.

HEAD
solve guest arm64 trixie "${guest[@]}"
solve host amd64 trixie-backports "${host[@]}"
