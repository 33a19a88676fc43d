"""Reading a sentence-transformers folder: which encoder, pooling, length and prompts it has."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphmem.embedding.bert_graph import BertShape, Pooling
from graphmem.errors import ConfigError
from graphmem.protocols import TextKind

_KINDS = ("bert", "roberta", "xlm-roberta", "camembert")
_PROMPTS: dict[TextKind, tuple[str, ...]] = {
    "question": ("query", "question"),
    "passage": ("passage", "document", "corpus"),
}


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Everything that decides the vectors, beside the weights and the tokenizer.

    Attributes:
        name: What the model is called.
        shape: Its encoder.
        max_tokens: How many tokens of a text it reads, special ones included.
        prompts: What is put before a text, by kind.
    """

    name: str
    shape: BertShape
    max_tokens: int
    prompts: dict[TextKind, str] = field(default_factory=dict)


def read_settings(folder: Path, pooling: Pooling | None = None) -> ModelSettings:
    """Read the settings of a sentence-transformers folder with a BERT or RoBERTa encoder.

    Args:
        folder: Where it is.
        pooling: How its rows are used; None is as the folder says.

    Raises:
        ConfigError: Something is missing, or the model needs what graphmem cannot do.
    """
    config = read_config(folder, "model.safetensors")
    kind = config.get("model_type", "bert")
    _require(kind in _KINDS, folder, f"model type '{kind}'", "BERT or RoBERTa")
    activation = config.get("hidden_act", "gelu")
    _require(activation == "gelu", folder, f"activation '{activation}'", "gelu")
    positions = config.get("position_embedding_type", "absolute")
    _require(positions == "absolute", folder, f"{positions} positions", "absolute ones")
    first = first_position(config, folder)
    shape = BertShape(
        layers=_integer(config, "num_hidden_layers", folder),
        hidden=_integer(config, "hidden_size", folder),
        heads=_integer(config, "num_attention_heads", folder),
        epsilon=float(config.get("layer_norm_eps", 1e-12)),
        positions=_integer(config, "max_position_embeddings", folder),
        first_position=first,
        pooling=pooling or _read_pooling(folder),
    )
    max_tokens = read_max_tokens(folder, shape.positions - first)
    prompts = {} if pooling in ("classifier", "words") else _read_prompts(folder)
    return ModelSettings(folder.resolve().name, shape, max_tokens, prompts)


def first_position(config: dict[str, Any], folder: Path) -> int:
    """The position of the first token: RoBERTa counts from the one behind its padding token.

    Raises:
        ConfigError: The padding token is no number.
    """
    kind = config.get("model_type", "bert")
    behind_padding = kind in _KINDS and kind != "bert"
    return _integer(config, "pad_token_id", folder, 1) + 1 if behind_padding else 0


def read_config(folder: Path, *weights: str) -> dict[str, Any]:
    """The configuration of a folder that has a tokenizer and one of the files with weights.

    Raises:
        ConfigError: One of them is missing.
    """
    for name in ("config.json", "tokenizer.json"):
        if not (folder / name).is_file():
            raise ConfigError(f"{folder}: no {name}; expected a sentence-transformers folder")
    if not any((folder / name).is_file() for name in weights):
        wanted = " or ".join(weights)
        raise ConfigError(f"{folder}: no {wanted}; expected a sentence-transformers folder")
    config = _read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise ConfigError(f"{folder / 'config.json'}: expected a JSON object")
    return config


def read_max_tokens(folder: Path, room: int) -> int:
    """How many tokens a model reads: what its folder says, at most as many as it has room for."""
    length = _read_json(folder / "sentence_bert_config.json").get("max_seq_length")
    if length is None:
        length = _read_json(folder / "tokenizer_config.json").get("model_max_length")
    return min(int(length or room), room)


def _read_json(path: Path) -> Any:
    """The JSON of a file, {} where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not readable as JSON ({error})") from error


def _require(good: bool, folder: Path, found: str, supported: str) -> None:
    if not good:
        raise ConfigError(f"{folder}: {found} is not supported, only {supported}")


def _integer(config: dict[str, Any], name: str, folder: Path, default: int | None = None) -> int:
    value = config.get(name, default)
    if not isinstance(value, int):
        raise ConfigError(f"{folder / 'config.json'}: '{name}' must be an integer, not {value!r}")
    return value


def _read_pooling(folder: Path) -> Pooling:
    """The pooling that modules.json leads to; the mean where there is no modules.json."""
    place = "1_Pooling"
    for module in _read_json(folder / "modules.json") or []:
        kind = str(module.get("type", "")).rpartition(".")[2]
        known = kind in ("Transformer", "Pooling", "Normalize")
        _require(known, folder, f"module '{kind}'", "Transformer, Pooling and Normalize")
        if kind == "Pooling":
            place = str(module.get("path", place))
    config = _read_json(folder / place / "config.json")
    prompt = config.get("include_prompt", True)
    _require(bool(prompt), folder, "pooling without the prompt", "pooling that includes it")
    modes = [name for name, on in config.items() if name.startswith("pooling_mode_") and on is True]
    modes = modes or [str(config.get("pooling_mode", "mean"))]
    names = {mode.removeprefix("pooling_mode_").removesuffix("_tokens") for mode in modes}
    if names == {"cls_token"} or names == {"cls"}:
        return "cls"
    _require(names == {"mean"}, folder, f"pooling {' + '.join(sorted(names))}", "mean or cls")
    return "mean"


def _read_prompts(folder: Path) -> dict[TextKind, str]:
    """What the model's authors put before questions and passages; only what is not empty."""
    config = _read_json(folder / "config_sentence_transformers.json")
    prompts = config.get("prompts") or {}
    fallback = prompts.get(config.get("default_prompt_name")) or ""
    found: dict[TextKind, str] = {}
    for kind, names in _PROMPTS.items():
        prompt = next((prompts[name] for name in names if prompts.get(name)), fallback)
        if prompt:
            found[kind] = str(prompt)
    return found
