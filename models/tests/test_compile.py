import argparse
import contextlib
import json
import os
import stat
import sys
import textwrap
from pathlib import Path

import made_models
import numpy as np
import pytest

from andon_models import compile_models, compiler_log, tflite_file
from andon_models.errors import UserError

LOGS = Path(__file__).parent / "logs"
MODELS = Path(__file__).parent.parent


def test_the_log_of_a_pair_is_read():
    log = compiler_log.parse((LOGS / "pair.txt").read_text())
    assert (log.version, log.milliseconds) == ("16.0.384591198", 3714)
    detector, classifier = log.models
    assert detector.source == "ssdlite_mobiledet_coco_qat_postprocess.tflite"
    assert detector.on_chip == round(4.89 * 2**20)
    assert detector.on_chip_left == classifier.on_chip == round(2.74 * 2**20)
    assert (detector.streamed, classifier.streamed) == (0, round(584.06 * 1024))
    assert [(one.count, one.name) for one in detector.on_cpu] == [(1, "CUSTOM")]
    assert classifier.on_cpu == []
    for model in log.models:
        assert sum(one.count for one in model.operators) == model.operations


def test_an_old_log_of_one_model_is_read():
    (model,) = compiler_log.parse((LOGS / "one_old.txt").read_text()).models
    assert model.on_chip_left == round(1.73 * 2**20)
    assert [one.name for one in model.on_cpu] == ["DEQUANTIZE", "QUANTIZE"]
    assert model.on_cpu[1].status.startswith("Operation is otherwise supported")


def test_an_operation_log_knows_operators_and_nothing_of_memory():
    log = compiler_log.parse((LOGS / "operations.txt").read_text())
    (model,) = log.models
    assert (log.version, model.source, model.output) == ("15.0.340273435", "filter.tflite", "filter_edgetpu.tflite")
    assert (model.operations, model.memory_known) == (4, False)
    assert [one.name for one in model.on_cpu] == ["CUSTOM"]


def test_a_log_from_elsewhere_is_shown_as_a_table(tmp_path, capsys):
    logs = [LOGS / "pair.txt", LOGS / "operations.txt"]
    compile_models.run(arguments(tmp_path, [], log=logs))
    said = capsys.readouterr().out
    assert "4.89 MiB" in said
    assert "on the Edge TPU: 3 operators" in said
    assert "on the CPU: 1 CUSTOM" in said
    tables = json.loads((tmp_path / "table.json").read_text())
    assert [model["token"] for table in tables for model in table["models"]] == [None] * 3
    with pytest.raises(UserError, match="cannot read the log"):
        compile_models.run(arguments(tmp_path, [], log=[tmp_path / "nothing.log"]))
    with pytest.raises(UserError, match="needs MODELs"):
        compile_models.run(arguments(tmp_path, []))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ((LOGS / "failed.txt").read_text(), "Internal compiler error"),
        ("", "said nothing"),
        ("Edge TPU Compiler version 16.0\nInput model: a.tflite\nInput size: 3 apples", "'3 apples'"),
        ("Input model: a.tflite\nNumber of Edge TPU subgraphs: many", "no number"),
    ],
)
def test_a_log_that_says_nothing_good_is_an_error(text, said):
    with pytest.raises(UserError, match=said):
        compiler_log.parse(text)


def test_the_shipped_models_are_read_as_models_toml_lists_them():
    classifier = tflite_file.read(MODELS / "classifier_apple_224_int8.tflite")
    assert [one.shape for one in classifier.inputs + classifier.outputs] == [(1, 224, 224, 3), (1, 2)]
    assert classifier.inputs[0].scale == 0.007843137718737125
    assert (classifier.outputs[0].element, classifier.outputs[0].scale) == ("uint8", 1 / 256)
    detector = tflite_file.read(MODELS / "detector_coco_ssd_300_int8.tflite")
    assert detector.operators[-1] == "TFLite_Detection_PostProcess"
    assert len(detector.outputs) == 4
    assert detector.packages == classifier.packages == []


def test_the_weights_of_a_quantised_model_are_read_back():
    found = tflite_file.layers(MODELS / "classifier_apple_224_int8.tflite")
    kinds = [layer.kind for layer in found]
    # The stem, block 0 without its expansion, 13 blocks of three, and the dense layer.
    assert kinds == [
        "convolution",
        "depthwise",
        "convolution",
        *["convolution", "depthwise", "convolution"] * 13,
        "dense",
    ]
    stem, dense = found[0], found[-1]
    assert stem.kernel.shape == (3, 3, 3, 32)
    assert dense.kernel.shape == (160, 2)
    assert found[1].kernel.shape == (3, 3, 32, 1)
    # int8, one scale for each channel: each channel's largest weight is 127 steps.
    steps = np.abs(stem.kernel).max(axis=(0, 1, 2)) / 127
    whole = stem.kernel / steps
    assert np.abs(whole - whole.round()).max() < 1e-3


def test_a_package_is_read():
    model = tflite_file.parse(made_models.compiled(0xE2C366FD5D62FA6B, 566_912, 1_000), "made")
    assert model.packages == [tflite_file.Package(0xE2C366FD5D62FA6B, 566_912, 1_000)]


def test_a_package_with_two_tokens_is_refused():
    content = made_models.model([made_models.package(1, 10, 10, second_token=2)])
    with pytest.raises(UserError, match="2 parameter caching tokens"):
        tflite_file.parse(content, "made")


def test_no_damage_is_a_traceback():
    content = made_models.compiled(77, 64, 64)
    for cut in range(8, len(content), 7):
        try:
            tflite_file.parse(content[:cut], "cut")
        except UserError as error:
            assert "cut" in str(error) or "package" in str(error)
    for at in range(8, len(content), 3):
        broken = bytearray(content)
        broken[at] ^= 0xFF
        with contextlib.suppress(UserError):
            tflite_file.parse(bytes(broken), "broken")


def real(name: str) -> Path:
    """A compiled model of Coral's, which is not in this repository."""
    folder = os.environ.get("ANDON_EDGETPU_MODELS") or MODELS.parent.parent / "shared" / "edgetpu" / "models"
    path = Path(folder) / name
    if not path.exists():
        pytest.skip(f"{name} is not in {folder} ($ANDON_EDGETPU_MODELS): no part of the repository")
    return path


def test_real_packages_are_read():
    pair = [
        real(f"mobilenet_v1_{one}_quant_cocompiled_with_mobilenet_v1_{other}_quant_edgetpu.tflite")
        for one, other in (("0.25_128", "0.5_160"), ("0.5_160", "0.25_128"))
    ]
    packages = [tflite_file.read(path).packages[0] for path in pair]
    assert {package.token for package in packages} == {0xE2C366FD5D62FA6B}
    assert [package.on_chip_bytes for package in packages] == [566_912, 1_473_280]
    alone = tflite_file.read(real("classifier_edgetpu.tflite")).packages[0]
    assert alone == tflite_file.Package(0x36E1AEE91DA80A82, 2_496_832, 598_080)


FAKE_COMPILER = '''
#!{python}
"""Stands in for edgetpu_compiler: 1000 bytes of room, the first model first."""
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import made_models
arguments = sys.argv[1:]
out = Path(arguments[arguments.index("-o") + 1])
models = [Path(one) for one in arguments if one.endswith(".tflite")]
print("Edge TPU Compiler version 16.0.384591198\\n\\nModels compiled successfully in 12 ms.\\n")
left, needs = 1000, {needs!r}
for number, model in enumerate(models):
    cached = min(left, needs[model.name]) if {cuts} or needs[model.name] <= left else 0
    left -= cached
    token = 7 if {same_token} else 7 + number
    content = made_models.compiled(token, cached, needs[model.name] - cached)
    (out / (model.stem + "_edgetpu.tflite")).write_bytes(content)
    print(f"Input model: {{model}}\\nOutput model: {{model.stem}}_edgetpu.tflite")
    print(f"On-chip memory used for caching model parameters: {{cached}}.00B")
    print(f"On-chip memory remaining for caching model parameters: {{left}}.00B")
    print(f"Off-chip memory used for streaming uncached model parameters: {{needs[model.name] - cached}}.00B")
    print("Number of Edge TPU subgraphs: 1\\nTotal number of operations: 5\\n")
    (out / (model.stem + "_edgetpu.log")).write_text(
        "Operator                       Count      Status\\n\\nCONV_2D   4   Mapped to Edge TPU\\n"
        "CUSTOM    1   Operation is working on an unsupported data type\\n")
'''


def compiler(tmp_path, same_token=True, cuts=False) -> Path:
    needs = {"big.tflite": 700, "small.tflite": 400}
    script = (
        textwrap.dedent(FAKE_COMPILER)
        .strip()
        .format(python=sys.executable, tests=str(Path(__file__).parent), needs=needs, same_token=same_token, cuts=cuts)
    )
    path = tmp_path / "edgetpu_compiler"
    path.write_text(script + "\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def arguments(tmp_path, models, **more) -> argparse.Namespace:
    options = {
        "out": tmp_path / "out",
        "keep_order": False,
        "check": False,
        "json": tmp_path / "table.json",
        "log": [],
        "compiler": str(tmp_path / "edgetpu_compiler"),
    }
    return argparse.Namespace(models=models, **{**options, **more})


@pytest.fixture
def models(tmp_path) -> list[Path]:
    paths = [tmp_path / "small.tflite", tmp_path / "big.tflite"]
    for path in paths:
        path.write_bytes(made_models.model([b"nothing"], code="some-op"))
    return paths


def test_the_order_that_streams_least_is_kept(tmp_path, models, capsys):
    compiler(tmp_path)
    compile_models.run(arguments(tmp_path, models))
    said = capsys.readouterr().out
    table = json.loads((tmp_path / "table.json").read_text())
    assert [Path(model["source"]).name for model in table["models"]] == ["big.tflite", "small.tflite"]
    assert [model["streamed"] for model in table["models"]] == [0, 400]
    assert {model["token"] for model in table["models"]} == {"0x0000000000000007"}
    assert "1 CUSTOM: Operation is working on an unsupported data type" in said
    assert (tmp_path / "out" / "big_edgetpu.tflite").is_file()
    assert tflite_file.read(tmp_path / "out" / "small_edgetpu.tflite").packages[0].streamed_bytes == 400


def test_a_given_order_is_kept_where_asked(tmp_path, models):
    compiler(tmp_path)
    compile_models.run(arguments(tmp_path, models, keep_order=True))
    table = json.loads((tmp_path / "table.json").read_text())
    assert [Path(model["source"]).name for model in table["models"]] == ["small.tflite", "big.tflite"]


def test_equal_orders_leave_the_one_asked_for(tmp_path, models):
    compiler(tmp_path, cuts=True)
    compile_models.run(arguments(tmp_path, models))
    table = json.loads((tmp_path / "table.json").read_text())
    assert [Path(model["source"]).name for model in table["models"]] == ["small.tflite", "big.tflite"]


def test_pairs_whose_tokens_differ_are_refused(tmp_path, models):
    compiler(tmp_path, same_token=False)
    with pytest.raises(UserError, match="not compiled together: .*0x7.*0x8"):
        compile_models.run(arguments(tmp_path, models))
    assert not (tmp_path / "out").exists()


def test_compiled_files_are_checked_without_the_compiler(tmp_path):
    files = [tmp_path / f"{name}_edgetpu.tflite" for name in ("a", "b", "c")]
    for path, token in zip(files, (5, 5, 6), strict=True):
        path.write_bytes(made_models.compiled(token, 2**20, 0))
    assert "they belong together" in compile_models.together(files[:2])
    with pytest.raises(UserError, match="not compiled together"):
        compile_models.together(files)
    plain = tmp_path / "plain.tflite"
    plain.write_bytes(made_models.model([b"nothing"], code="some-op"))
    with pytest.raises(UserError, match="it is not compiled"):
        compile_models.together([plain])
    with pytest.raises(UserError, match="named twice"):
        compile_models.together([files[0], files[0]])
    with pytest.raises(UserError, match="compiled already"):
        compile_models.run(arguments(tmp_path, files[:1]))


def test_the_log_beside_a_compiled_file_says_what_the_cpu_runs(tmp_path):
    file = tmp_path / "filter_edgetpu.tflite"
    file.write_bytes(made_models.compiled(5, 2**20, 0))
    assert "on the CPU" not in compile_models.together([file])
    operations = (LOGS / "operations.txt").read_text()
    assert "on the CPU: 1 CUSTOM" in compile_models.together([file], [compiler_log.parse(operations)])
    file.with_suffix(".log").write_text(operations)
    assert "by its log 3 operators on the Edge TPU" in compile_models.together([file])


def test_without_the_compiler_it_is_said_how_to_get_it(tmp_path, models):
    with pytest.raises(UserError) as error:
        compile_models.run(arguments(tmp_path, models, compiler="no-such-compiler"))
    for part in ("x86-64", "compiler.Containerfile", "small_edgetpu.tflite, big_edgetpu.tflite", "token"):
        assert part in str(error.value)
