"""The default embedder: a BERT encoder run by onnxruntime on the processor.

Texts run together only where they have the same number of tokens, without padding, and pooling is
outside the graph: a vector is the same bit by bit alone, in any batch and with any number of
threads (tests/embedding compares them). Short texts gain a third that way, as the weights are read
once for several; passages of 100 tokens gain nothing. One text uses all threads; several are
shared out among them, which saves waiting at every product.

With int8 every text runs alone: the scale of activations is measured over all that runs together.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graphmem.embedding import weights
from graphmem.embedding.bert import (
    GRAPH_VERSION,
    BertShape,
    Pooling,
    Precision,
    build_graph,
    pooled,
)
from graphmem.embedding.folder import ModelSettings, read_settings
from graphmem.embedding.known import KNOWN_TEXT, known_vector
from graphmem.errors import ConfigError, ModelError
from graphmem.protocols import Progress, TextKind

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# The package of the default model carries its configuration too, but only the two files that are
# pinned by hash are taken from it.
_DEFAULT = ModelSettings(
    weights.DEFAULT_MODEL,
    BertShape(layers=6, hidden=384, heads=12, epsilon=1e-12, positions=512),
    max_tokens=256,
)
_LEAST_COSINE: dict[Precision, float] = {"fp32": 0.9999, "int8": 0.98}
_CHUNK = 512  # texts tokenised at a time, which bounds memory
_TOGETHER = 512  # tokens that run together: more gain nothing


class OnnxEmbedder:
    """Embeds with a sentence-transformers model of the BERT family.

    Nothing is loaded before the first call that needs it; pickling keeps the settings only.

    Args:
        path: A sentence-transformers folder; None is the default model, fetched when missing.
        precision: "fp32", or "int8" for 8-bit dense layers: about twice as fast on processors
            with 8-bit instructions (VNNI), less exact (cosine 0.98 to 0.995 with fp32).
        threads: Threads for one text; None is all cores. The vectors do not depend on it.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        precision: Precision = "fp32",
        threads: int | None = None,
    ) -> None:
        """Read the folder's settings, not its weights.

        Raises:
            ConfigError: An option is out of range, or the folder holds no model that can be run.
        """
        if precision not in ("fp32", "int8"):
            raise ConfigError(f"precision must be fp32 or int8, not {precision!r}")
        if threads is not None and threads < 1:
            raise ConfigError(f"threads must be positive, not {threads}")
        self._path = None if path is None else Path(path)
        self._precision: Precision = precision
        self._threads = threads
        self._settings = _DEFAULT if self._path is None else read_settings(self._path)
        self._lock = threading.Lock()

    @classmethod
    def default(cls, *, precision: Precision = "fp32", threads: int | None = None) -> OnnxEmbedder:
        """The default model, all-MiniLM-L6-v2."""
        return cls(precision=precision, threads=threads)

    def with_threads(self, threads: int | None) -> OnnxEmbedder:
        """The same embedder with another number of threads, as worker processes want."""
        return OnnxEmbedder(self._path, precision=self._precision, threads=threads)

    def fetch(self, progress: Progress | None = None) -> None:
        """Fetch the default model's files where they are missing, telling bytes.

        Raises:
            ModelError: They cannot be fetched; says what to do.
        """
        folder = weights.default_folder()
        if self._path is None and not all((folder / name).is_file() for name in weights.FILES):
            weights.fetch_default_model(progress)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings only."""
        return _rebuild, (self._path, self._precision, self._threads)

    @property
    def fingerprint(self) -> str:
        """Name, precision, length, pooling, and a hash of these, weights and tokenizer."""
        settings = self._settings
        return (
            f"{settings.name}:{self._precision}:{settings.max_tokens}:{settings.shape.pooling}"
            f":{self._key[:12]}"
        )

    @property
    def max_tokens(self) -> int:
        """How many tokens of a text it reads, special ones and the prompt included."""
        return self._settings.max_tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Length of each text in this model's tokens, special ones included, not truncated."""
        return [
            len(entry.ids)
            for start in range(0, len(texts), _CHUNK)
            for entry in self._counter.encode_batch_fast(
                [_clean(text) for text in texts[start : start + _CHUNK]]
            )
        ]

    def embed(self, texts: Sequence[str], kind: TextKind = "passage") -> NDArray[np.float32]:
        """Unit vectors, float32 [len(texts), d]; each depends on its own text and kind only.

        Raises:
            ModelError: The model cannot be fetched, built or run.
        """
        vectors = np.empty((len(texts), self._settings.shape.hidden), np.float32)
        if not texts:
            return vectors
        with self._lock:  # one of several threads loads
            tokenizer = self._tokenizer
            session = self._session if len(texts) == 1 else self._shared_session
        prompt = self._settings.prompts.get(kind, "")
        pooling = self._settings.shape.pooling
        together = _TOGETHER if self._precision == "fp32" else 1

        def run(rows: list[int], ids: list[list[int]]) -> None:
            vectors[rows] = _run(session, ids, pooling)

        with ThreadPoolExecutor(self._threads or os.cpu_count() or 1) as pool:
            for start in range(0, len(texts), _CHUNK):
                chunk = [prompt + _clean(text) for text in texts[start : start + _CHUNK]]
                ids = [entry.ids for entry in tokenizer.encode_batch_fast(chunk)]
                groups = _groups(ids, together)
                parts = [[ids[i] for i in group] for group in groups]
                rows = [[start + i for i in group] for group in groups]
                # A single run stays in this thread: handing it over would cost a tenth of a search.
                deque((map if len(groups) == 1 else pool.map)(run, rows, parts), maxlen=0)
        return vectors

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

    @cached_property
    def _key(self) -> str:
        """Hash of everything that decides the vectors, hexadecimal."""
        settings = self._settings
        parts = [*self._hashes, settings.shape.as_dict(), settings.max_tokens, settings.prompts]
        parts += [self._precision]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _read_tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        path = self._folder / "tokenizer.json"
        try:
            tokenizer: Tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001 - tokenizers raises nothing narrower
            raise ModelError(f"{path}: unreadable tokenizer ({error})") from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    @cached_property
    def _counter(self) -> Tokenizer:
        return self._read_tokenizer()

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = self._read_tokenizer()
        tokenizer.enable_truncation(self.max_tokens)
        return tokenizer

    @cached_property
    def _session(self) -> Any:
        """Runs one text on all threads."""
        return _open_session(self._graph, self._threads)

    @cached_property
    def _shared_session(self) -> Any:
        """Runs in the thread that calls it."""
        return self._session if self._threads == 1 else _open_session(self._graph, 1)

    @cached_property
    def _graph(self) -> Path:
        """The file of the graph, built where it is missing."""
        built = weights.cache_folder() / "models" / f"{self._settings.name}-{self._precision}"
        built = built.with_name(f"{built.name}-v{GRAPH_VERSION}-{self._key[:12]}")
        if not _is_whole(built):
            self._build(built)
        return built / "model.onnx"

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
                self._check(part / "model.onnx")
                sizes = {path.name: path.stat().st_size for path in sorted(part.iterdir())}
                (part / "sizes.json").write_text(json.dumps(sizes), encoding="utf-8")
                shutil.rmtree(target, ignore_errors=True)  # a damaged one
                part.rename(target)
            finally:
                shutil.rmtree(part, ignore_errors=True)

    def _check(self, path: Path) -> None:
        """Compare the default model's vector of a known sentence with the genuine one."""
        if self._path is not None:
            return
        session = _open_session(path, self._threads)
        ids = [self._tokenizer.encode(KNOWN_TEXT).ids]
        (vector,) = _run(session, ids, self._settings.shape.pooling)
        cosine = float(vector @ known_vector())
        if not cosine > _LEAST_COSINE[self._precision]:
            raise ModelError(
                f"{self._settings.name}: the graph built for this onnxruntime gives wrong vectors"
                f" (cosine {cosine:.5f} with the known one): install another onnxruntime version,"
                " or use precision fp32 if this was int8"
            )


def _rebuild(path: Path | None, precision: Precision, threads: int | None) -> OnnxEmbedder:
    return OnnxEmbedder(path, precision=precision, threads=threads)


def _clean(text: str) -> str:
    """The text without lone surrogates, which no tokenizer takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _is_whole(folder: Path) -> bool:
    """Whether the files of a built graph have the sizes noted when it was built."""
    try:
        sizes = json.loads((folder / "sizes.json").read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def _open_session(path: Path, threads: int | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    # The graph is built of fused operators: there is nothing left to optimise.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no base
        raise ModelError(f"{path}: onnxruntime cannot open it ({error})") from error


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


def _run(session: Any, ids: Sequence[Sequence[int]], pooling: Pooling) -> NDArray[np.float32]:
    """The vectors of texts of one length, float32 [b, d]."""
    tokens = np.array(ids, np.int32)
    if not tokens.size:
        tokens = np.zeros((len(ids), 1), np.int32)
    try:
        (states,) = session.run(None, {"ids": tokens})
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no base
        raise ModelError(f"onnxruntime failed ({error})") from error
    return pooled(states, pooling)
