"""Updates: partitions and slots agree, and the scripts do what the boot loader and RAUC expect."""

import os
import re
from pathlib import Path

from common import LAYER, TREE, good, run

FILES = LAYER / "dynamic-layers/rauc/recipes-andon/andon-update/files"
PI = LAYER / "dynamic-layers/raspberrypi/recipes-bsp/bootfiles"
RAUC = LAYER / "dynamic-layers/rauc/recipes-core/rauc/files"
STORAGE = LAYER / "recipes-andon/andon-storage/files"
UBOOT = LAYER / "dynamic-layers/freescale-layer/recipes-bsp/u-boot/files"


def partitions(name: str) -> dict[str, int]:
    """Label and number of each partition of a wic file; with an MBR the fourth is the extended one."""
    text = (LAYER / f"files/wic/{name}").read_text()
    labels = [
        re.search(r"--label (\S+)", line)[1]
        for line in text.splitlines()
        if line.startswith("part ") and "--no-table" not in line
    ]
    skip = "--ptable msdos" in text and len(labels) > 4
    return {label: number + (1 if skip and number > 3 else 0) for number, label in enumerate(labels, 1)}


def slots(board: str) -> dict[str, str]:
    """Device of each slot of a system.conf."""
    text = (RAUC / board / "system.conf").read_text()
    return dict(re.findall(r"^\[slot\.(\S+)\]\ndevice=(\S+)$", text, re.M))


def a_pis_partitions_agree() -> None:
    table = partitions("andon-ab-rpi.wks.in")
    assert table == {
        "select": 1, "boot-a": 2, "boot-b": 3, "root-a": 5, "root-b": 6, "andon-config": 7, "andon-data": 8
    }, table  # fmt: skip
    device = "/dev/mmcblk0p{}".format
    assert slots("rpi") == {
        "rootfs.0": device(table["root-a"]),
        "rootfs.1": device(table["root-b"]),
        "bootfs.0": device(table["boot-a"]),
        "bootfs.1": device(table["boot-b"]),
    }
    config, cmdline = (PI / "rpi-config_git.bbappend").read_text(), (PI / "rpi-cmdline.bbappend").read_text()
    for slot, letter in (("a", "A"), ("b", "B")):
        assert f"root={device(table[f'root-{slot}'])} rauc.slot={letter}" in cmdline
        boot = table[f"boot-{slot}"]
        assert re.search(rf"\[boot_partition={boot}\]\"\n +echo \"cmdline=cmdline-{slot}\.txt", config), slot
    assert rf"boot_partition={table['boot-a']}\n[tryboot]\nboot_partition={table['boot-b']}" in config
    tryboot = (FILES / "rauc-tryboot").read_text()
    assert f"A) echo {table['boot-a']} ;; B) echo {table['boot-b']} ;;" in tryboot
    assert device(table["select"]) in tryboot


def the_imxs_partitions_agree() -> None:
    table = partitions("andon-ab-imx.wks.in")
    assert table == {"boot": 1, "root-a": 2, "root-b": 3, "andon-config": 4, "andon-data": 5}, table
    assert slots("imx8mm-lpddr4-evk") == {
        "rootfs.0": f"/dev/mmcblk1p{table['root-a']}",
        "rootfs.1": f"/dev/mmcblk1p{table['root-b']}",
    }
    script = (UBOOT / "boot.cmd").read_text()
    for slot in ("a", "b"):
        assert re.search(rf"setenv slot {slot.upper()}\n +setenv part {table[f'root-{slot}']}\n", script), slot
    # U-Boot's variables lie where Linux looks for them, and before the first partition, which wic aligns to 8 MiB.
    config = (UBOOT / "andon-env.cfg").read_text()

    def at(name: str) -> int:
        return int(re.search(rf"^CONFIG_{name}=(\w+)$", config, re.M)[1], 0)

    found = re.findall(r"^/dev/\S+ +(\w+) +(\w+)$", (FILES / "fw_env.config").read_text(), re.M)
    linux = [[int(offset, 16), int(size, 16)] for offset, size in found]
    assert linux == [[at("ENV_OFFSET"), at("ENV_SIZE")], [at("ENV_OFFSET_REDUND"), at("ENV_SIZE")]], linux
    assert at("ENV_OFFSET_REDUND") + at("ENV_SIZE") <= 8 * 1024 * 1024
    assert at("ENV_OFFSET") + at("ENV_SIZE") <= at("ENV_OFFSET_REDUND")


def the_boot_script_asks_for_nothing_that_is_not_there() -> None:
    script = (UBOOT / "boot.cmd").read_text()
    lines = [line for line in script.splitlines() if not line.startswith("#")]
    used = set(re.findall(r"\$\{(\w+)\}", "\n".join(lines)))
    own = set(re.findall(r"\b(?:setenv|setexpr|for) (\w+)", script))
    # The default variables of U-Boot 2025.01 for the EVK (include/configs/imx8mm_evk.h), as far as they are wanted here.
    assert used - own == {"console", "kernel_addr_r"}, used - own


def every_image_has_the_mounted_partitions() -> None:
    """By labels that count on the box's own disk alone, whatever is on a stick."""
    rules = (STORAGE / "71-andon-storage.rules").read_text()
    links = {}
    for line in rules.splitlines():
        if line and not line.startswith("#"):
            assert 'KERNEL=="mmcblk[0-9]*p[0-9]*|vd[a-z][0-9]*"' in line, f"a stick's partition, too: {line}"
            links["/dev/" + re.search(r'SYMLINK\+="(.*?)"', line)[1]] = re.search(r'ID_FS_LABEL}=="(.*?)"', line)[1]
    mounts = {re.search(r"^What=(\S+)$", path.read_text(), re.M)[1] for path in STORAGE.glob("*.mount")}
    assert mounts == set(links), f"{sorted(mounts)} are mounted, {sorted(links)} are made"
    for path in (LAYER / "files/wic").iterdir():
        table = partitions(path.name)
        assert set(links.values()) <= set(table), f"{path.name}: {sorted(table)}"
        for label in table:
            assert len(label) <= 16, f"{path.name}: ext4 knows labels of 16 characters, {label} has {len(label)}"


def wic_writes_no_fstab() -> None:
    """A partition with a mount point other than / gets a line in the image's /etc/fstab, which no update has: the boot
    partition of slot A would be mounted, writable, in both slots, and could not be written by an update."""
    for path in (LAYER / "files/wic").iterdir():
        places = re.findall(r"^part (\S+)", path.read_text(), re.M)
        assert not [place for place in places if place.startswith("/") and place != "/"], f"{path.name}: {places}"


def mounts_are_checked_and_in_order() -> None:
    mounts = sorted(STORAGE.glob("*.mount"))
    assert len(mounts) == 2
    for path in mounts:
        text = path.read_text()
        place, device = (re.search(rf"^{key}=/(\S+)$", text, re.M)[1] for key in ("Where", "What"))
        assert path.stem == place.replace("/", "-"), f"{path.name} is for /{place}"
        check = f"systemd-fsck@{device.replace('/', '-')}.service"
        assert f"Wants={check}\nAfter={check}\n" in text, f"{path.name}: not checked before"
        # A read-only root's volatile-binds mounts these late, over everything that is below.
        for volatile in ("lib", "cache", "spool"):
            if place.startswith(f"var/{volatile}/"):
                assert f"After=var-volatile-{volatile}.service\n" in text, f"{path.name}: /var/{volatile} may cover it"


def a_pis_config_has_short_lines() -> None:
    """The firmware reads 80 characters of a line of config.txt."""
    config = (PI / "rpi-config_git.bbappend").read_text()
    lines = re.findall(r'^ +echo "(.*)"$', config, re.M)
    assert len(lines) >= 10 and not [line for line in lines if len(line) > 80], lines


def sticks_have_names_that_fat_has_room_for() -> None:
    text = (TREE / "config/70-andon.rules").read_text()
    labels = re.findall(r'ENV\{ID_FS_LABEL\}=="([^"]+)"', text)
    assert len(labels) == 2 and all(len(label) <= 11 for label in labels), labels
    guide = (TREE / "docs/appliance.md").read_text()
    assert all(f"`{label}`" in guide for label in labels), labels


class Pi:
    """A Raspberry Pi as the scripts see it: the select partition, the state folder, and a firmware that boots by them."""

    def __init__(self, folder: Path) -> None:
        self.select, self.state, self.cmdline = folder / "select", folder / "state", folder / "cmdline"
        self.select.mkdir()
        (self.select / "autoboot.txt").write_text(
            "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n"
        )
        self.boot()

    def boot(self, tryboot: bool = False) -> str:
        """What the firmware does: the partition of [all], or of [tryboot] once."""
        text = (self.select / "autoboot.txt").read_text()
        assert "tryboot_a_b=1" in text
        section = "tryboot" if tryboot else "all"
        number = re.search(rf"\[{section}\][^[]*boot_partition=(\d)", text)[1]
        slot = {"2": "A", "3": "B"}[number]
        self.cmdline.write_text(f"quiet root=/dev/x rauc.slot={slot} ro\n")
        return slot

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "ANDON_SELECT_DIR": str(self.select),
            "ANDON_STATE_DIR": str(self.state),
            "ANDON_CMDLINE": str(self.cmdline),
        }

    def rauc(self, *words: str) -> str:
        return good("sh", FILES / "rauc-tryboot", *words, env=self.environment()).strip()


def tryboot_keeps_a_good_update(folder: Path) -> None:
    pi = Pi(folder)
    assert (pi.rauc("get-primary"), pi.rauc("get-current"), pi.rauc("get-state", "B")) == ("A", "A", "good")
    # What `rauc install` does: the target is bad while it is written.
    pi.rauc("set-state", "B", "bad")
    assert pi.rauc("get-state", "B") == "bad"
    pi.rauc("set-state", "B", "good")
    assert pi.boot() == "A", "calling a slot good that does not run committed it"
    pi.rauc("set-primary", "B")
    assert pi.rauc("get-primary") == "B"
    assert pi.boot() == "A", "the firmware boots the candidate without a trial"
    assert pi.boot(tryboot=True) == "B"
    assert pi.rauc("get-current") == "B"
    pi.rauc("set-state", "B", "good")
    assert pi.boot() == "B", "a slot that proved itself is not kept"
    assert pi.rauc("get-primary") == "B"
    assert pi.boot(tryboot=True) == "A", "the next trial would go to the slot that runs"


def tryboot_goes_back_from_a_bad_update(folder: Path) -> None:
    pi = Pi(folder)
    pi.rauc("set-primary", "B")
    assert pi.boot(tryboot=True) == "B"
    # It hangs; the watchdog restarts, and nobody asked for a trial again.
    assert pi.boot() == "A"
    pi.rauc("set-state", "B", "bad")
    pi.rauc("set-primary", "A")
    assert (pi.rauc("get-primary"), pi.rauc("get-state", "B"), pi.boot()) == ("A", "bad", "A")
    for words in (("set-state", "B", "fine"), ("set-primary", "C"), ("get-state", "2"), ("boot",)):
        assert run("sh", FILES / "rauc-tryboot", *words, env=pi.environment()).returncode != 0, words


class Box:
    """A box for andon-mark-good and andon-update: programs in the PATH that note what was asked of them."""

    def __init__(self, folder: Path, slot: str) -> None:
        self.folder, self.state = folder, folder / "state"
        self.state.mkdir()
        (folder / "cmdline").write_text(f"root=/dev/x rauc.slot={slot} ro\n")
        (folder / "lives").write_text("")
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        # `systemctl show` answers with the next line of `lives`, in its own order; the last one is repeated.
        self.program(
            "systemctl",
            'case $1 in show) read -r state restarts process <lives; '
            'printf "NRestarts=%s\\nExecMainPID=%s\\nActiveState=%s\\n" "$restarts" "$process" "$state"; '
            '[ "$(wc -l <lives)" -le 1 ] || sed -i 1d lives ;; *) echo "systemctl $*" >>log ;; esac',
        )
        self.program(
            "rauc",
            'case $1 in info) [ ! -e "$3.signed" ] || echo "RAUC_MF_VERSION=\'$(cat "$3.signed")\'" ;; *) echo "rauc $*" >>log ;; esac',
        )
        self.program("sleep", ":")
        self.program("sync", ":")

    def program(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f'#!/bin/sh\ncd "{self.folder}"\n{text}\n')
        path.chmod(0o755)

    def run(self, script: str, *words, **settings):
        environment = {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "ANDON_STATE_DIR": str(self.state),
            "ANDON_CMDLINE": str(self.folder / "cmdline"),
            **{key: str(value) for key, value in settings.items()},
        }
        return run("sh", FILES / script, *words, env=environment)

    def log(self) -> list[str]:
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    def mark_good(self, *lives: str):
        (self.folder / "lives").write_text("".join(f"{life}\n" for life in lives))
        return self.run("andon-mark-good", ANDON_PROOF_S=20, ANDON_DEADLINE_S=100, ANDON_PAUSE_S=5)


def box(folder: Path, name: str, slot: str, trial: str = "") -> Box:
    (folder / name).mkdir()
    made = Box(folder / name, slot)
    if trial:
        (made.state / "trial").write_text(trial)
    return made


def only_a_decided_frame_makes_a_system_good(folder: Path) -> None:
    good_one = box(folder, "good", "B", trial="B")
    done = good_one.mark_good("activating 0 0", "activating 0 0", "active 0 71")
    assert done.returncode == 0, done.stderr
    assert good_one.log() == ["rauc status mark-good"], good_one.log()
    assert not (good_one.state / "trial").exists()
    assert (good_one.state / "good").read_text() == "B\n"

    silent = box(folder, "silent", "B", trial="B")
    assert silent.mark_good("activating 0 0").returncode == 0
    assert silent.log() == ["rauc status mark-bad booted", "systemctl reboot"], silent.log()

    # It starts, decides a frame, and dies, again and again: each life has another process.
    dying = box(folder, "dying", "B", trial="B")
    dying.mark_good(*(f"active {n} {100 + n}" for n in range(40)))
    assert dying.log() == ["rauc status mark-bad booted", "systemctl reboot"], dying.log()

    # The only system there is does not restart for ever: it stays, OFF.
    alone = box(folder, "alone", "A")
    assert alone.mark_good("failed 5 0").returncode == 1
    assert alone.log() == [], alone.log()


def a_proven_system_keeps_its_starts(folder: Path) -> None:
    # Proven before, and no camera now: its starts are given back, although it does not get good again.
    proven = box(folder, "proven", "B")
    (proven.state / "good").write_text("B\n")
    assert proven.mark_good("activating 0 0").returncode == 1
    assert proven.log() == ["rauc status mark-good"], proven.log()
    # Proven was the other one.
    other = box(folder, "other", "A")
    (other.state / "good").write_text("B\n")
    assert other.mark_good("activating 0 0").returncode == 1
    assert other.log() == [], other.log()


def a_power_cut_at_the_end_of_a_trial(folder: Path) -> None:
    # `good` was written and the trial not ended: it is over, whatever Andon does now.
    cut = box(folder, "cut", "B", trial="B")
    (cut.state / "good").write_text("B\n")
    assert cut.mark_good("activating 0 0").returncode == 1
    assert cut.log() == ["rauc status mark-good"] * 2, cut.log()
    assert not (cut.state / "trial").exists()
    # The other one runs: what was proved is not what the box has.
    back = box(folder, "cut-back", "A", trial="B")
    (back.state / "good").write_text("B\n")
    back.mark_good("activating 0 0")
    assert "rauc status mark-bad other" in back.log(), back.log()
    assert not (back.state / "good").exists() and not (back.state / "trial").exists()


def a_trial_on_the_imx_is_told_to_u_boot(folder: Path) -> None:
    def imx(name: str, slot: str, trial: str = "") -> Box:
        made = box(folder, name, slot, trial)
        made.program("fw_setenv", 'echo "fw_setenv $*" >>log')
        return made

    stick = folder / "trial-stick"
    stick.mkdir()
    (stick / "andon.raucb").write_text("x")
    (stick / "andon.raucb.signed").write_text("2")
    begun = imx("begun", "A")
    (begun.state / "good").write_text("B\n")
    assert begun.run("andon-update", "--device", "/dev/sda1", ANDON_STICK_DIR=stick).returncode == 0
    assert begun.log()[0] == "fw_setenv andon_trial B", begun.log()
    assert not (begun.state / "good").exists(), "what slot B proved is not true of what it has now"

    kept = imx("kept", "B", trial="B")
    kept.mark_good("active 0 71")
    assert kept.log() == ["rauc status mark-good", "fw_setenv andon_trial"], kept.log()
    lost = imx("lost", "B")
    lost.program("fw_printenv", "echo B")
    lost.mark_good("activating 0 0")
    assert lost.log() == ["fw_setenv andon_trial"], lost.log()
    back = imx("gone-back", "A", trial="B")
    back.mark_good("active 0 71")
    assert "fw_setenv andon_trial" in back.log(), back.log()


def a_trial_is_given_up_before_the_watchdog_bites() -> None:
    deadline = int(re.search(r"ANDON_DEADLINE_S:-(\d+)", (FILES / "andon-mark-good").read_text())[1])
    imx = int(re.search(r"setenv andon_open_timeout (\d+)", (UBOOT / "boot.cmd").read_text())[1])
    pi = int(re.search(r'^ANDON_WATCHDOG_S \?= "(\d+)"', (LAYER / "conf/include/andon-appliance.inc").read_text(), re.M)[1])
    assert deadline + 60 <= imx == pi and pi % 16 > 8, (deadline, imx, pi)


def a_failed_trial_is_noticed(folder: Path) -> None:
    back = box(folder, "back", "A", trial="B")
    done = back.mark_good("active 0 71")
    assert done.returncode == 0 and "slot B did not prove itself" in done.stderr, done.stderr
    assert back.log() == ["rauc status mark-bad other", "rauc status mark-active booted", "rauc status mark-good"], (
        back.log()
    )
    assert not (back.state / "trial").exists()


def updates_are_installed_once_and_tried(folder: Path) -> None:
    stick = folder / "stick"
    stick.mkdir()
    device = box(folder, "device", "A")

    def update():
        return device.run("andon-update", "--device", "/dev/sda1", ANDON_STICK_DIR=stick)

    assert update().returncode != 0, "an empty stick"
    bundle = stick / "andon.raucb"
    bundle.write_text("x")
    refused = update()
    assert refused.returncode != 0 and "not signed" in refused.stderr, refused.stderr
    assert device.log() == [], "something was installed from an unsigned bundle"

    (stick / "andon.raucb.signed").write_text("1.2.3")
    done = update()
    assert done.returncode == 0, done.stderr
    assert device.log() == [f"rauc install {bundle}", "systemctl reboot --reboot-argument=0 tryboot"], device.log()
    assert (device.state / "trial").read_text().strip() == "B"

    # The stick is still plugged in after the restart.
    again = update()
    assert again.returncode == 0 and "installed before" in again.stdout, again.stdout
    assert len(device.log()) == 2, device.log()


def the_factory_reset_asks_and_spares_raucs_record(folder: Path) -> None:
    config, data, bin_folder = folder / "config", folder / "data", folder / "bin"
    for path in (config / "rauc", data / "events", bin_folder):
        path.mkdir(parents=True)
    (config / "keepout.toml").write_text("x")
    (config / "rauc/state-A").write_text("good")
    (data / "events/events.jsonl").write_text("{}")
    for name in ("systemctl", "sync"):
        (bin_folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"{folder}/log"\n')
        (bin_folder / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "ANDON_CONFIG_DIR": str(config),
        "ANDON_DATA_DIR": str(data),
    }
    script = LAYER / "recipes-andon/andon-storage/files/andon-factory-reset"
    assert run("sh", script, env=environment).returncode == 2
    assert (config / "keepout.toml").exists(), "it deleted without being told to"
    good("sh", script, "--yes", env=environment)
    assert [path.name for path in config.iterdir()] == ["rauc"] and not any(data.iterdir())
    assert (folder / "log").read_text().splitlines()[0] == "systemctl stop andon.service"
    assert (folder / "log").read_text().splitlines()[-1] == "systemctl reboot"


CHECKS = [
    ("Raspberry Pi: partitions, slots, command lines and boot selection agree", a_pis_partitions_agree),
    ("i.MX: partitions, slots, boot script and U-Boot's variables agree", the_imxs_partitions_agree),
    ("every image has the partitions that are mounted, and no stick's is", every_image_has_the_mounted_partitions),
    ("wic adds nothing to the image's fstab", wic_writes_no_fstab),
    ("the mounts are checked, and nothing is mounted over them", mounts_are_checked_and_in_order),
    ("a Pi's config.txt has no line of more than 80 characters", a_pis_config_has_short_lines),
    ("i.MX: the boot script asks for no variable that is not there", the_boot_script_asks_for_nothing_that_is_not_there),
    ("sticks: FAT has room for their names, and the guide names them", sticks_have_names_that_fat_has_room_for),
    ("tryboot: a candidate is tried once, and kept when it is good", tryboot_keeps_a_good_update),
    ("tryboot: a bad candidate is left by itself", tryboot_goes_back_from_a_bad_update),
    ("mark-good: only after READY and a time of decided frames", only_a_decided_frame_makes_a_system_good),
    ("mark-good: what proved itself keeps its starts", a_proven_system_keeps_its_starts),
    ("mark-good: a trial that the boot loader gave up is noticed", a_failed_trial_is_noticed),
    ("mark-good: a power cut at the end of a trial", a_power_cut_at_the_end_of_a_trial),
    ("i.MX: U-Boot knows of a trial while it lasts", a_trial_on_the_imx_is_told_to_u_boot),
    ("a trial is given up before the watchdog bites", a_trial_is_given_up_before_the_watchdog_bites),
    ("andon-update: signed bundles, once, then a trial", updates_are_installed_once_and_tried),
    ("factory reset: asks, deletes, spares RAUC's record", the_factory_reset_asks_and_spares_raucs_record),
]
