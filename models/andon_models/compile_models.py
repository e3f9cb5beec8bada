"""Compiles models for the Edge TPU, several together so that they share its memory, and says what came of it.

    compile detector.tflite classifier.tflite --out DIR

Models that are compiled together get one parameter caching token: the chip then keeps all of them, and no inference
waits for parameters of the other to be sent. The model named first gets its place first; what no longer fits is
streamed at every inference. With two or three models every order is tried and the one that streams least is kept.

    compile --check a_edgetpu.tflite b_edgetpu.tflite     do files compiled elsewhere belong together?
    compile --log FILE                                    what a compiler's log says, as the table
"""

import argparse
import itertools
import json
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from . import compiler_log, tflite_file
from .compiler_log import CompiledModel
from .errors import UserError

COMPILER = "edgetpu_compiler"
COMPILE_SECONDS_MAX = 1800
ORDERS_TRIED_UP_TO = 3  # models; six orders

MISSING = """{compiler} is not here. It exists for x86-64 Linux only, as the Debian package edgetpu-compiler of Coral's
package archive (coral-edgetpu-stable). models/compiler.Containerfile has it in a container:

    podman build -t edgetpu-compiler -f models/compiler.Containerfile models
    mkdir -p OUT
    podman run --rm -v "$PWD:/work" edgetpu-compiler -s -o OUT {models}

Afterwards `andon-models compile --check OUT/*_edgetpu.tflite` says whether the files belong together. They should be
called {outputs}; each holds one operator `edgetpu-custom-op`, a detector behind it
TFLite_Detection_PostProcess, and all have the same parameter caching token, which is not 0."""


@dataclass(frozen=True)
class Result:
    """One order that was tried."""

    models: list[CompiledModel]
    tokens: list[int | None]  # none: only the log is here
    milliseconds: int
    version: str
    text: str

    @property
    def streamed(self) -> int:
        """Bytes streamed by one inference of each model."""
        return sum(model.streamed for model in self.models)

    @property
    def order(self) -> str:
        """The models' names in the order they were given."""
        return ", ".join(Path(model.source).stem for model in self.models)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL", help="int8 TFLite files")
    parser.add_argument("--out", type=Path, help="folder for the compiled files")
    parser.add_argument("--keep-order", action="store_true", help="do not try other orders")
    parser.add_argument("--check", action="store_true", help="MODELs are compiled: do they belong together?")
    parser.add_argument(
        "--log",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="what the compiler said elsewhere: alone as a table, with --check beside the files [NAME_edgetpu.log]",
    )
    parser.add_argument("--compiler", default=COMPILER, metavar="FILE", help=f"[{COMPILER}]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table here, too")


def run(arguments: argparse.Namespace) -> None:
    """Does it."""
    if bool(arguments.models) == (bool(arguments.log) and not arguments.check):
        raise UserError("compile needs MODELs, or the --log of a compiler alone")
    found = [(path, read_log(path)) for path in arguments.log]
    if not arguments.models:
        results = [Result(log.models, [None] * len(log.models), log.milliseconds, log.version, "") for _, log in found]
        print("\n\n".join(table(result) for result in results))
        if arguments.json:
            arguments.json.write_text(json.dumps([as_json(result) for result in results], indent=1) + "\n")
        return
    if arguments.check:
        print(together(arguments.models, [log for _, log in found]))
        return
    for model in arguments.models:
        if tflite_file.read(model).packages:
            raise UserError(f"{model} is compiled already; --check examines it")
    if arguments.out is None:
        raise UserError("--out DIR is needed")
    if len({model.name for model in arguments.models}) != len(arguments.models):
        raise UserError("two models have the same file name; the compiled ones would overwrite each other")
    compiler = shutil.which(arguments.compiler)
    if compiler is None:
        outputs = ", ".join(f"{model.stem}_edgetpu.tflite" for model in arguments.models)
        models = " ".join(str(model) for model in arguments.models)
        raise UserError(MISSING.format(compiler=arguments.compiler, models=models, outputs=outputs))
    best = best_of(compiler, arguments.models, arguments.out, arguments.keep_order)
    print(table(best))
    if arguments.json:
        arguments.json.write_text(json.dumps(as_json(best), indent=1) + "\n")


def best_of(compiler: str, models: list[Path], out: Path, keep_order: bool) -> Result:
    """Tries the orders, copies the files of the best one to `out`, and returns it."""
    one_order = keep_order or len(models) > ORDERS_TRIED_UP_TO
    orders = [tuple(models)] if one_order else list(itertools.permutations(models))
    tried: list[tuple[Result, Path]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, order in enumerate(orders):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            result = compile_once(compiler, list(order), folder)
            tried.append((result, folder))
            if len(orders) > 1:
                print(f"order {result.order}: {megabytes(result.streamed)} streamed per pass")
        # The first of equals: the order asked for.
        best, folder = min(tried, key=lambda one: one[0].streamed)
        out.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            shutil.copyfile(file, out / file.name)
        (out / "edgetpu_compiler.log").write_text(best.text)
    return best


def compile_once(compiler: str, models: list[Path], folder: Path) -> Result:
    """Compiles models in one order."""
    command = [compiler, "-s", "-o", str(folder), *(str(model.resolve()) for model in models)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS_MAX, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"cannot run {compiler}: {error}") from error
    text = done.stdout + done.stderr
    log = compiler_log.parse(text)
    if done.returncode != 0:
        raise UserError(f"{compiler} ended with exit code {done.returncode}: {text.strip().splitlines()[-1]}")
    by_name = {Path(model.source).name: model for model in log.models}
    found, tokens = [], []
    for model in models:
        said = by_name.get(model.name)
        output = folder / f"{model.stem}_edgetpu.tflite"
        if said is None or not output.is_file():
            raise UserError(f"{compiler} said nothing of {model.name}, or left no {output.name}")
        operations = output.with_suffix(".log")
        if not said.operators and operations.is_file():
            said.operators = compiler_log.parse_operators(operations.read_text())
        tokens.append(token_of(output))
        found.append(said)
    refuse_strangers(models, tokens)
    return Result(found, tokens, log.milliseconds, log.version, text)


def read_log(path: Path) -> compiler_log.Log:
    """The compiler's log in a file."""
    try:
        return compiler_log.parse(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the log {path}: {error}") from error


def operators_of(model: Path, logs: list[compiler_log.Log]) -> list[compiler_log.Operator]:
    """The operators of a compiled file by the logs given, or by the one beside it."""
    for log in logs:
        for one in log.models:
            if Path(one.output or one.source).name in (model.name, model.name.replace("_edgetpu", "")):
                return one.operators
    beside = model.with_suffix(".log")
    return compiler_log.parse_operators(beside.read_text()) if beside.is_file() else []


def together(models: list[Path], logs: list[compiler_log.Log] | None = None) -> str:
    """Checks that compiled models belong together, and says what each keeps on the chip and leaves to the CPU."""
    if len({model.resolve() for model in models}) != len(models):
        raise UserError("the same file is named twice")
    tokens = [token_of(model) for model in models]
    refuse_strangers(models, tokens)
    lines = []
    for model, token in zip(models, tokens, strict=True):
        (package,) = tflite_file.read(model).packages
        lines.append(
            f"{model.name}: token {token:#018x}, {megabytes(package.on_chip_bytes)} of parameters on the chip, "
            f"{megabytes(package.streamed_bytes)} streamed"
        )
        operators = operators_of(model, logs or [])
        if operators:
            lines.append(
                f"    by its log {sum(one.count for one in operators if one.on_tpu)} operators on the Edge TPU"
            )
        lines += [f"    on the CPU: {one.count} {one.name}: {one.status}" for one in operators if not one.on_tpu]
    return "\n".join([*lines, "they belong together" if len(models) > 1 else ""]).rstrip()


def token_of(compiled: Path) -> int:
    """The parameter caching token of a compiled file, as the program reads it."""
    packages = tflite_file.read(compiled).packages
    if len(packages) != 1:
        raise UserError(
            f"{compiled.name} holds {len(packages)} edgetpu-custom-op, not one: "
            + ("it is not compiled" if not packages else "parts of it run on the CPU in between")
        )
    return packages[0].token


def refuse_strangers(models: list[Path], tokens: list[int]) -> None:
    """Models that alternate must share a token: else each switch sends all parameters again."""
    if len(models) > 1 and (len(set(tokens)) > 1 or 0 in tokens):
        said = ", ".join(f"{model.name} {token:#x}" for model, token in zip(models, tokens, strict=True))
        raise UserError(
            f"these were not compiled together: {said}. The chip would forget one for the other at every "
            "switch; compile them in one call"
        )


def table(result: Result) -> str:
    """The log as a table."""
    lines = [
        f"edgetpu_compiler {result.version}, order {result.order}"
        + (f", {result.milliseconds} ms" if result.milliseconds else ""),
        "",
        f"{'model':42} {'on chip':>10} {'left':>10} {'streamed':>10} {'subgraphs':>9}  {'token':18}",
    ]
    for model, token in zip(result.models, result.tokens, strict=True):
        known = model.memory_known
        sizes = [megabytes(one) if known else "–" for one in (model.on_chip, model.on_chip_left, model.streamed)]
        lines.append(
            f"{Path(model.source).stem:42} {sizes[0]:>10} {sizes[1]:>10} {sizes[2]:>10} "
            f"{model.subgraphs if known else '–':>9}  {'–' if token is None else f'{token:#018x}'}"
        )
        if model.operators:
            lines.append(f"    on the Edge TPU: {sum(one.count for one in model.operators if one.on_tpu)} operators")
        lines += [f"    on the CPU: {one.count} {one.name}: {one.status}" for one in model.on_cpu]
    return "\n".join(lines)


def as_json(result: Result) -> dict:
    """The table for programs."""
    models = [
        {**asdict(model), "token": None if token is None else f"{token:#018x}"}
        for model, token in zip(result.models, result.tokens, strict=True)
    ]
    return {"compiler": result.version, "milliseconds": result.milliseconds, "models": models}


def megabytes(count: int) -> str:
    """Bytes as MiB."""
    return f"{count / 2**20:.2f} MiB"
