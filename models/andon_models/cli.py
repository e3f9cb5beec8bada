"""`andon-models COMMAND`: the command line."""

import argparse
import logging
import os
import sys
from types import ModuleType

from .errors import UserError

COMMANDS = ("train-classifier", "card", "evaluate", "build-detector", "compile", "table")


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; the exit code.

    The outside world fails with an `OSError`: a folder that cannot be written, a full disk. One line says what; with
    `ANDON_MODELS_TRACEBACK` set, where.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="andon-models", description="Makes and measures the models of Andon.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:
        module = _module(name)
        summary = (module.__doc__ or "").splitlines()[0]
        one = commands.add_parser(
            name, help=summary, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.add_arguments(one)
        one.set_defaults(run=module.run)
    parsed = parser.parse_args(arguments)
    try:
        return parsed.run(parsed) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if os.environ.get("ANDON_MODELS_TRACEBACK"):
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _module(command: str) -> ModuleType:
    from . import build_detector, choosing_table, compile_models, evaluate, measure_classifier, train_classifier

    return {
        "train-classifier": train_classifier,
        "card": measure_classifier,
        "evaluate": evaluate,
        "build-detector": build_detector,
        "compile": compile_models,
        "table": choosing_table,
    }[command]
