"""The overlays: compiled, applied to trees, and asked what came of it."""

import re
import shutil
import tomllib
from pathlib import Path

from common import HERE, TREE, Skip, cache, good, needs

OVERLAYS = TREE / "overlays"

# Functions that every board has an overlay for; the relay board comes first, because it names the lines.
FUNCTIONS = ("relay-board", "reset-button", "edm", "mute-sensor", "heartbeat", "stack-light")

# Which lines a function has, and whether they are pulled up or down while nobody drives them.
LINES = {
    "relay-board": (("andon-run-permission", "andon-reject"), "down"),
    "reset-button": (("andon-reset",), "up"),
    "edm": (("andon-edm",), "up"),
    "mute-sensor": (("andon-mute",), "up"),
    "heartbeat": (("andon-heartbeat",), "down"),
    "stack-light": (("andon-warning", "andon-fault"), "down"),
}

# The node that asks for a function's pulls, where its name is not the function's.
SUPPLIES = {
    "relay-board": "andon-relay-supply",
    "reset-button": "andon-reset-supply",
    "mute-sensor": "andon-mute-supply",
}

# By board: the chips with Andon's lines and the pin controller, each by its label in the tree; the tree that Linux has for
# the board; and the machine whose factory configuration it is.
CONTROLLERS = {
    "rpi4": {"pinctrl-bcm2711": "gpio"},
    "rpi5": {"pinctrl-rp1": "rp1_gpio"},
    "imx8mm-evk": {"30220000.gpio": "gpio3", "30240000.gpio": "gpio5"},
}
PINCTRL = {"rpi4": "gpio", "rpi5": "rp1_gpio", "imx8mm-evk": "iomuxc"}
DEBIAN_TREES = {
    "rpi4": "broadcom/bcm2711-rpi-4-b.dtb",
    "rpi5": "broadcom/bcm2712-rpi-5-b.dtb",
    "imx8mm-evk": "freescale/imx8mm-evk.dtb",
}
MACHINES = {"rpi4": "raspberrypi4-64", "rpi5": "raspberrypi5", "imx8mm-evk": "imx8mm-lpddr4-evk"}

# The i.MX's lines by pad: mux register, and which bit of which bank it is (i.MX 8M Mini reference manual, chapter 8).
IMX_PADS = {0x204: (5, 10), 0x208: (5, 11), 0x20C: (5, 12), 0x210: (5, 13)} | {
    0x140 + 4 * n: (3, 19 + n) for n in range(7)
}
# The pad register lies so far behind the mux register.
IMX_PAD_OFFSET = 0x268
PULL_ENABLED, PULL_UP = 1 << 8, 1 << 6


def compile_to(source: Path, target: Path) -> Path:
    """dtc -@; a warning is a failure."""
    out = good("dtc", "-@", "-I", "dts", "-O", "dtb", "-W", "no-unit_address_vs_reg", "-o", target, source)
    assert not out.strip(), out
    return target


def applied(folder: Path, board: str, functions=FUNCTIONS, base: Path | None = None) -> Path:
    """The fixture's tree, or another, with these overlays."""
    base = base or compile_to(HERE / f"fixtures/{board}.dts", folder / "base.dtb")
    compiled = [
        compile_to(OVERLAYS / f"andon-{board}-{function}.dtso", folder / f"{function}.dtbo") for function in functions
    ]
    result = folder / "result.dtb"
    good("fdtoverlay", "-i", base, "-o", result, *compiled)
    return result


def cells(tree: Path, node: str, name: str) -> list[int]:
    return [int(cell, 16) for cell in good("fdtget", "-t", "x", tree, node, name).split()]


def strings(tree: Path, node: str, name: str) -> list[str]:
    """A property of strings, empty ones too, which `fdtget -t s` would swallow."""
    raw = bytes(int(byte, 16) for byte in good("fdtget", "-t", "bx", tree, node, name).split())
    return raw.rstrip(b"\0").decode().split("\0") if raw.strip(b"\0") else []


def labelled(tree: Path, label: str) -> str:
    """The node with a label."""
    return good("fdtget", tree, "/__symbols__", label).strip()


def lines(tree: Path, board: str) -> dict[str, tuple[str, int]]:
    """Where each of Andon's lines is: label of the chip, offset."""
    found = {}
    for chip, label in CONTROLLERS[board].items():
        for offset, name in enumerate(strings(tree, labelled(tree, label), "gpio-line-names")):
            if name.startswith("andon-"):
                assert name not in found, f"{name} is there twice"
                found[name] = (chip, offset)
    return found


def every_overlay_compiles(folder: Path) -> None:
    needs("dtc")
    sources = sorted(OVERLAYS.glob("*.dtso"))
    expected = {f"andon-{board}-{function}.dtso" for board in CONTROLLERS for function in FUNCTIONS}
    expected |= {"andon-rpi5-tpu-m2.dtso", "andon-rpi5-tpu-32bit-dma.dtso"}
    assert {path.name for path in sources} == expected, f"{sorted(expected ^ {path.name for path in sources})}"
    for source in sources:
        compile_to(source, folder / f"{source.stem}.dtbo")
        assert source.read_text().startswith("// SPDX-License-Identifier: "), f"{source.name}: no licence"


def pins_of(tree: Path, board: str, group: str) -> tuple[list[tuple[int, int]], str]:
    """A pin group: bank and offset of each pin, and the pull."""
    node = f"{labelled(tree, PINCTRL[board])}/{group}"
    if board == "rpi4":
        pulls = set(cells(tree, node, "brcm,pull"))
        assert pulls in ({1}, {2}), f"{node}: pulls {pulls}"
        return [(0, pin) for pin in cells(tree, node, "brcm,pins")], "down" if pulls == {1} else "up"
    if board == "rpi5":
        pins = [(0, int(name.removeprefix("gpio"))) for name in strings(tree, node, "pins")]
        properties = good("fdtget", "-p", tree, node).split()
        pulls = [name for name in properties if name.startswith("bias-")]
        assert len(pulls) == 1, f"{node}: {pulls}"
        return pins, pulls[0].removeprefix("bias-pull-")
    entries = cells(tree, node, "fsl,pins")
    assert len(entries) % 6 == 0, f"{node}: {len(entries)} cells"
    pins, pulls = [], set()
    for mux, pad, select, mode, _value, config in (entries[i : i + 6] for i in range(0, len(entries), 6)):
        assert (pad, select, mode) == (mux + IMX_PAD_OFFSET, 0, 5), f"{node}: {mux:#x} is no GPIO"
        assert config & PULL_ENABLED, f"{node}: {mux:#x} has no pull"
        pins.append(IMX_PADS[mux])
        pulls.add("up" if config & PULL_UP else "down")
    assert len(pulls) == 1
    return pins, pulls.pop()


def check_functions(tree: Path, board: str) -> None:
    """Every function's pins are those that the names say, pulled so that relays are OFF."""
    banks = {"30220000.gpio": 3, "30240000.gpio": 5}
    controller = labelled(tree, PINCTRL[board])
    groups = {
        cells(tree, f"{controller}/{group}", "phandle")[0]: group
        for group in good("fdtget", "-l", tree, controller).split()
        if "andon" in group
    }
    named = lines(tree, board)
    assert set(named) == {name for names, _ in LINES.values() for name in names}, f"{board}: {sorted(named)}"
    for function, (names, pull) in LINES.items():
        supply = SUPPLIES.get(function, f"andon-{function}-supply")
        assert strings(tree, f"/{supply}", "compatible") == ["regulator-fixed"]
        pins, pulled = pins_of(tree, board, groups[cells(tree, f"/{supply}", "pinctrl-0")[0]])
        assert pulled == pull, f"{board} {function}: pulled {pulled}"
        expected = [(banks.get(named[name][0], 0), named[name][1]) for name in names]
        assert pins == expected, f"{board} {function}: pins {pins}, names say {expected}"


def functions_have_their_lines(folder: Path) -> None:
    """In any order of application."""
    needs("dtc", "fdtoverlay", "fdtget")
    for board in CONTROLLERS:
        for order in (FUNCTIONS, FUNCTIONS[::-1]):
            (work := folder / f"{board}-{order[0]}").mkdir()
            check_functions(applied(work, board, order), board)


def debian_trees(folder: Path) -> dict[str, Path]:
    """The boards' own trees, of the kernel that the virtual machine of the tests starts."""
    packages = sorted((cache() / "downloads").glob("linux-base-*-arm64_*.deb"))
    if not packages or not shutil.which("dpkg-deb"):
        raise Skip("tests/vm has not fetched Debian's kernel (make test-vm)")
    good("dpkg-deb", "-x", packages[-1], folder / "linux")
    found = {board: sorted((folder / "linux").rglob(name)) for board, name in DEBIAN_TREES.items()}
    assert all(found.values()), f"{packages[-1].name} has no tree for a board: {found}"
    return {board: trees[0] for board, trees in found.items()}


def properties(tree: Path) -> dict[str, dict[str, str]]:
    """Every node's properties, as dtc writes them."""
    nodes, path = {}, []
    for line in good("dtc", "-q", "-I", "dtb", "-O", "dts", tree).splitlines():
        line = line.strip()
        if line.endswith("{"):
            path.append(line.removesuffix("{").strip())
            nodes["/".join(path)] = {}
        elif line == "};":
            path.pop()
        elif path and " = " in line:
            name, value = line.split(" = ", 1)
            nodes["/".join(path)][name] = value.strip("<>;")
    return nodes


def imx_pads_have_one_user(tree: Path) -> None:
    """No node but ours that is not disabled asks for a pad of ours."""
    nodes = properties(tree)
    pads = {
        node["phandle"]: set(node["fsl,pins"].split()[::6])
        for node in nodes.values()
        if "fsl,pins" in node and "phandle" in node
    }
    wanted: dict[str, set[str]] = {}
    for path, node in nodes.items():
        if node.get("status") != '"disabled"':
            groups = " ".join(value for name, value in node.items() if re.fullmatch(r"pinctrl-\d+", name)).split()
            wanted[path] = set().union(*(pads.get(group, set()) for group in groups))
    ours = {path for path in wanted if re.search(r"/andon-[\w-]+-supply$", path)}
    assert len(ours) == len(FUNCTIONS), sorted(ours)
    used = set().union(*(wanted[path] for path in ours))
    others = [path for path in wanted.keys() - ours if wanted[path] & used]
    assert len(used) == 8 and not others, f"{sorted(used)} are asked for by {others}, too"


def real_trees_take_them(folder: Path) -> None:
    """The boards' own trees have every node that the overlays name, and nothing else there uses the i.MX's pads."""
    needs("dtc", "fdtoverlay", "fdtget")
    for board, base in debian_trees(folder).items():
        (work := folder / board).mkdir()
        more = ("tpu-m2", "tpu-32bit-dma") if board == "rpi5" else ()
        tree = applied(work, board, (*FUNCTIONS, *more), base)
        check_functions(tree, board)
        if board == "rpi5":
            check_m2_slot(tree)
        if board == "imx8mm-evk":
            imx_pads_have_one_user(tree)


def one_function_alone_applies(folder: Path) -> None:
    """Each overlay needs nothing of another."""
    needs("dtc", "fdtoverlay", "fdtget")
    for board in CONTROLLERS:
        for function in FUNCTIONS:
            (work := folder / f"{board}-{function}").mkdir()
            tree = applied(work, board, (function,))
            supplies = [node for node in good("fdtget", "-l", tree, "/").split() if node.endswith("-supply")]
            assert len(supplies) == 1, f"{board} {function}: {supplies}"


def outputs_of_a_pi_come_up_low(folder: Path) -> None:
    """Outputs are on pins that the SoC itself pulls down at reset, GPIO9 to GPIO27, and config.txt says so once more."""
    needs("dtc", "fdtoverlay", "fdtget")
    text = (
        TREE / "yocto/meta-andon/dynamic-layers/raspberrypi/recipes-bsp/bootfiles/rpi-config_git.bbappend"
    ).read_text()
    down = {int(pin) for pin in re.search(r"gpio=([\d,]+)=ip,pd", text)[1].split(",")}
    up = {int(pin) for pin in re.search(r"gpio=([\d,]+)=ip,pu", text)[1].split(",")}
    for board in ("rpi4", "rpi5"):
        (work := folder / board).mkdir()
        named = lines(applied(work, board), board)
        outputs = {named[name][1] for names, pull in LINES.values() if pull == "down" for name in names}
        inputs = {named[name][1] for names, pull in LINES.values() if pull == "up" for name in names}
        assert all(9 <= pin <= 27 for pin in outputs), f"{board}: {sorted(outputs)}"
        assert (outputs, inputs) == (down, up), f"{board}: {sorted(outputs)}, {sorted(inputs)}; config.txt {down}, {up}"


def factory_configurations_use_the_names(folder: Path) -> None:
    """Chip and line of every output and input of a factory configuration are in the board's tree."""
    needs("dtc", "fdtoverlay", "fdtget")
    for board, machine in MACHINES.items():
        (work := folder / board).mkdir()
        named = lines(applied(work, board), board)
        text = (TREE / f"config/factory/output-{machine}.toml").read_text()
        output = tomllib.loads(text.replace("# mute = ", "mute = "))["output"]
        used = {**output["lines"], **output["inputs"]}
        names = {entry["line"] for entry in used.values()}
        assert names == set(named), f"{machine}: {sorted(names ^ set(named))}"
        for key, entry in used.items():
            assert named[entry["line"]][0] == entry["chip"], f"{machine}: {key} is on {named[entry['line']][0]}"
        for key, entry in output["inputs"].items():
            assert entry.get("active_low"), f"{machine}: {key} is pulled up and closes to ground, so low is active"
        for key, entry in output["lines"].items():
            assert not entry.get("active_low"), f"{machine}: {key} is pulled down, so high must be active"


def check_m2_slot(tree: Path) -> None:
    node = labelled(tree, "pcie1")
    assert strings(tree, node, "status") == ["okay"]
    assert cells(tree, node, "msi-parent") == cells(tree, node, "phandle"), "the bridge is not its own MSI parent"
    # 32-bit memory space, from 0 to 0, 4 GiB.
    assert cells(tree, node, "dma-ranges") == [0x02000000, 0, 0, 0, 0, 1, 0], cells(tree, node, "dma-ranges")


def the_m2_slot_is_set_up(folder: Path) -> None:
    needs("dtc", "fdtoverlay", "fdtget")
    check_m2_slot(applied(folder, "rpi5", (*FUNCTIONS, "tpu-m2", "tpu-32bit-dma")))


def the_imx_gives_its_pads_up(folder: Path) -> None:
    needs("dtc", "fdtoverlay", "fdtget")
    tree = applied(folder, "imx8mm-evk", ("relay-board",))
    assert strings(tree, "/soc/audio-controller@30080000", "status") == ["disabled"]


CHECKS = [
    ("every overlay compiles with dtc -@", every_overlay_compiles),
    (
        "applied overlays: names, pins and pulls of every function on every board, in any order",
        functions_have_their_lines,
    ),
    ("applied to Debian's trees of the boards: the same, and nobody else uses the pads", real_trees_take_them),
    ("each overlay applies alone", one_function_alone_applies),
    ("a Pi's outputs come up low, in SoC, config.txt and overlay", outputs_of_a_pi_come_up_low),
    ("factory configurations use the overlays' chips and names", factory_configurations_use_the_names),
    ("the Pi 5's M.2 slot: on, MSI and 32-bit DMA", the_m2_slot_is_set_up),
    ("the i.MX's microphones give up the pads", the_imx_gives_its_pads_up),
]
