"""An encoder on onnxruntime: its tokenizer, its graph, built once and kept in the cache.

Embedders and rerankers share it. Every text runs alone, without padding, so that a result cannot
depend on its neighbours; `graphmem.embedding.onnx` has the measurements that show what it costs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graphmem.embedding import weights
from graphmem.embedding.bert import GRAPH_VERSION, BertShape, Precision, build_graph
from graphmem.embedding.folder import ModelSettings
from graphmem.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHUNK = 512
"""Texts tokenised at a time, which bounds memory."""

DEFAULT = ModelSettings(
    weights.DEFAULT_MODEL,
    BertShape(layers=6, hidden=384, heads=12, epsilon=1e-12, positions=512),
    max_tokens=256,
)
"""The default model: its package carries its configuration too, but only the two files that are
pinned by hash are taken from it."""


class Encoder:
    """A BERT-like encoder; nothing is loaded before the first call that needs it.

    Args:
        path: A model folder; None is the default model, fetched when missing.
        settings: Of that folder.
        precision: Of the graph that is built.
        threads: Threads for one text; None is all cores.
        check: Called with a session of a graph just built, before it is kept.
    """

    def __init__(
        self,
        path: Path | None,
        settings: ModelSettings,
        *,
        precision: Precision = "fp32",
        threads: int | None = None,
        check: Callable[[Any], None] | None = None,
    ) -> None:
        """Touch nothing yet."""
        self._path = path
        self._settings = settings
        self._precision: Precision = precision
        self._threads = threads
        self._check = check

    @cached_property
    def key(self) -> str:
        """Hash of everything that decides what comes out, hexadecimal."""
        settings = self._settings
        parts = [*self._hashes, settings.shape.as_dict(), settings.max_tokens, settings.prompts]
        parts += [self._precision]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @cached_property
    def counter(self) -> Tokenizer:
        """The tokenizer without truncation."""
        return read_tokenizer(self._folder)[0]

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that cuts a text where the model stops reading."""
        tokenizer, _ = read_tokenizer(self._folder)
        tokenizer.enable_truncation(self._settings.max_tokens)
        return tokenizer

    @cached_property
    def session(self) -> Any:
        """The graph, opened; built first where it is not in the cache.

        Raises:
            ModelError: It cannot be built or opened.
        """
        built = weights.cache_folder() / "models" / f"{self._settings.name}-{self._precision}"
        built = built.with_name(f"{built.name}-v{GRAPH_VERSION}-{self.key[:12]}")
        if not _is_whole(built):
            self._build(built)
        return open_session(built / "model.onnx", self._threads)

    @cached_property
    def _folder(self) -> Path:
        """Where weights and tokenizer are; the default model is fetched if its tokenizer is not."""
        if self._path is not None:
            return self._path
        folder = weights.default_folder()
        name = "tokenizer.json"
        if (folder / name).is_file() and weights.sha256(folder / name) == weights.FILES[name]:
            return folder
        return weights.fetch_default_model()

    @cached_property
    def _hashes(self) -> tuple[str, str]:
        """SHA-256 of weights and tokenizer: known, or found and remembered."""
        if self._path is None:
            return weights.FILES["model.safetensors"], weights.FILES["tokenizer.json"]
        hashed = weights.remembered_sha256(self._path / "model.safetensors")
        return hashed, weights.sha256(self._path / "tokenizer.json")

    def _build(self, target: Path) -> None:
        """Build the graph beside `target`, check it, and put the whole folder there at once."""
        # The default weights are hashed here, and fetched again when they are damaged.
        folder = self._path or weights.fetch_default_model()
        with weights.locked(target):
            if _is_whole(target):  # another process was faster
                return
            import onnx

            model = build_graph(folder / "model.safetensors", self._settings.shape, self._precision)
            part = target.with_name(f"{target.name}.part-{os.getpid()}")
            shutil.rmtree(part, ignore_errors=True)
            try:
                part.mkdir()
                # Weights in a file of their own are mapped, not read: opening takes 0.05 s, not
                # 0.12 s, and processes share them.
                onnx.save(
                    model,
                    part / "model.onnx",
                    save_as_external_data=True,
                    location="weights.bin",
                    size_threshold=4096,
                )
                (part / "weights.bin").chmod((part / "model.onnx").stat().st_mode)
                if self._check:
                    self._check(open_session(part / "model.onnx", self._threads))
                sizes = {path.name: path.stat().st_size for path in sorted(part.iterdir())}
                (part / "sizes.json").write_text(json.dumps(sizes), encoding="utf-8")
                shutil.rmtree(target, ignore_errors=True)  # a damaged one
                part.rename(target)
            finally:
                shutil.rmtree(part, ignore_errors=True)


def read_tokenizer(folder: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer of a model folder without padding and truncation; how it would truncate.

    Raises:
        ModelError: It cannot be read.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    try:
        tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - tokenizers raises nothing narrower
        raise ModelError(f"{path}: unreadable tokenizer ({error})") from error
    own = tokenizer.truncation or {}
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, own


def clean(text: str) -> str:
    """The text without lone surrogates, which no tokenizer takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def open_session(path: Path, threads: int | None, *, optimise: bool = False) -> Any:
    """A graph on the processor.

    Args:
        path: The file.
        threads: For one text; None is all cores.
        optimise: Not for graphs built here of fused operators, where nothing is left to do.

    Raises:
        ModelError: onnxruntime cannot open it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no base
        raise ModelError(f"{path}: onnxruntime cannot open it ({error})") from error


def run(session: Any, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """The first output for one text, without the axis of the batch.

    Raises:
        ModelError: onnxruntime failed.
    """
    try:
        output: NDArray[np.float32] = session.run(None, dict(feeds))[0][0]
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no base
        raise ModelError(f"onnxruntime failed ({error})") from error
    return output


def _is_whole(folder: Path) -> bool:
    """Whether the files of a built graph have the sizes noted when it was built."""
    try:
        sizes = json.loads((folder / "sizes.json").read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False
