"""Random models in the layouts of published ones, small enough to write out in numpy."""

import json

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import erf
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = [
    "ada",
    "byron",
    "wrote",
    "the",
    "first",
    "query",
    "passage",
    ":",
    "ship",
    "sails",
    "to",
    "port",
]

HEADS = {
    "bert": ("bert.pooler.dense", "classifier"),
    "roberta": ("classifier.dense", "classifier.out_proj"),
}


def make_tiny_model(folder, *, pooling="cls", prompts=True, hidden=32, head=None, **changes):
    """A random two-layer BERT in the layout of sentence-transformers.

    With `head` "bert" or "roberta" it is a cross-encoder with one label of that family; with
    "words" it has BERT's head for masked words, tied to the words' rows, in TensorFlow's names.
    """
    rng = np.random.default_rng(7)
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    sizes = {"hidden_size": hidden, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = {"model_type": "bert", "intermediate_size": 64, "max_position_embeddings": 40}
    config |= {"layer_norm_eps": 1e-12, "hidden_act": "gelu", **sizes, **changes}

    def draw(*shape):
        return (rng.standard_normal(shape) * 0.3).astype(np.float32)

    tensors = {
        "embeddings.word_embeddings.weight": draw(len(vocabulary), hidden),
        "embeddings.position_embeddings.weight": draw(40, hidden),
        "embeddings.token_type_embeddings.weight": draw(2, hidden),
        "embeddings.LayerNorm.weight": 1 + draw(hidden),
        "embeddings.LayerNorm.bias": draw(hidden),
        "embeddings.position_ids": np.arange(40)[None],
    }
    for i in range(2):
        layer = f"encoder.layer.{i}"
        for part in ("query", "key", "value"):
            tensors[f"{layer}.attention.self.{part}.weight"] = draw(hidden, hidden)
            tensors[f"{layer}.attention.self.{part}.bias"] = draw(hidden)
        for part, rows, columns in (
            ("attention.output", hidden, hidden),
            ("intermediate", 64, hidden),
            ("output", hidden, 64),
        ):
            tensors[f"{layer}.{part}.dense.weight"] = draw(rows, columns)
            tensors[f"{layer}.{part}.dense.bias"] = draw(rows)
            tensors[f"{layer}.{part}.LayerNorm.weight"] = 1 + draw(rows)
            tensors[f"{layer}.{part}.LayerNorm.bias"] = draw(rows)
    tensors = {f"bert.{name}": value for name, value in tensors.items()}
    if head == "words":
        tensors = in_older_names(tensors | words_head(draw, hidden, len(vocabulary)))
        config |= {"architectures": ["BertForMaskedLM"]}
    elif head:
        inner, outer = HEADS[head]
        tensors |= {f"{inner}.weight": draw(hidden, hidden), f"{inner}.bias": draw(hidden)}
        tensors |= {f"{outer}.weight": draw(1, hidden), f"{outer}.bias": draw(1)}
        config |= {"id2label": {"0": "LABEL_0"}}
        config |= {"architectures": [f"{head.title()}ForSequenceClassification"]}
        if head == "roberta":
            config |= {"model_type": "roberta", "pad_token_id": 1}
            name = "bert.embeddings.token_type_embeddings.weight"
            tensors[name] = tensors[name][:1]
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] [SEP] $B [SEP]"
        if head == "roberta"
        else "[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.enable_padding(length=40)  # as published models do; it must not matter
    tokenizer.save(str(folder / "tokenizer.json"))
    write(folder / "config.json", config)
    if head:
        write(folder / "tokenizer_config.json", {"model_max_length": 30})
        return folder
    modules = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling"), ("2", "2_N", "Normalize")]
    write(
        folder / "modules.json",
        [
            {"name": n, "path": p, "type": f"sentence_transformers.models.{t}"}
            for n, p, t in modules
        ],
    )
    write(
        folder / "1_Pooling" / "config.json",
        {"pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean"},
    )
    write(folder / "sentence_bert_config.json", {"max_seq_length": 30})
    if prompts:
        given = {"query": "query: ", "passage": "passage: "}
        write(folder / "config_sentence_transformers.json", {"prompts": given})
    return folder


def words_head(draw, hidden, words):
    """BERT's head for masked words."""
    head = "cls.predictions"
    return {
        f"{head}.transform.dense.weight": draw(hidden, hidden),
        f"{head}.transform.dense.bias": draw(hidden),
        f"{head}.transform.LayerNorm.weight": 1 + draw(hidden),
        f"{head}.transform.LayerNorm.bias": draw(hidden),
        f"{head}.bias": draw(words),
    }


OLDER = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


def in_older_names(tensors):
    """Tensors by the names that TensorFlow's checkpoints gave them."""
    for new, old in OLDER.items():
        tensors = {name.replace(new, old): value for name, value in tensors.items()}
    return tensors


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def forward(folder, text, pooling, first=0):
    """BERT written out in numpy, float64: the oracle for folders."""
    x = hidden_states(read_weights(folder), encode(folder, text).ids, first=first)
    x = x[0] if pooling == "cls" else x.mean(0) if pooling == "mean" else x
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def cross_score(folder, question, text, head="bert"):
    """A cross-encoder written out likewise."""
    w = read_weights(folder)
    pair = encode(folder, question, text)
    first = 2 if head == "roberta" else 0
    x = hidden_states(w, pair.ids, None if head == "roberta" else pair.type_ids, first)
    inner, outer = (name.removeprefix("bert.") for name in HEADS[head])
    x = np.tanh(x[0] @ w[f"{inner}.weight"].T + w[f"{inner}.bias"])
    return float((x @ w[f"{outer}.weight"].T + w[f"{outer}.bias"])[0])


def weights_of_words(folder, text):
    """SPLADE written out likewise, float64 [V]: the greatest log(1 + relu(logit)) of each word."""
    w = read_weights(folder)
    x = hidden_states(w, encode(folder, text).ids)
    head = "cls.predictions.transform"
    x = x @ w[f"{head}.dense.weight"].T + w[f"{head}.dense.bias"]
    x = x * 0.5 * (1 + erf(x / np.sqrt(2)))
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12)
    x = x * w[f"{head}.LayerNorm.weight"] + w[f"{head}.LayerNorm.bias"]
    rows = w.get("cls.predictions.decoder.weight", w["embeddings.word_embeddings.weight"])
    return np.log1p(np.maximum(x @ rows.T + w["cls.predictions.bias"], 0)).max(axis=0)


def read_weights(folder):
    tensors = load_file(folder / "model.safetensors")
    found = {name.removeprefix("bert."): value.astype(float) for name, value in tensors.items()}
    for new, old in OLDER.items():
        found = {name.replace(old, new): value for name, value in found.items()}
    return found


def encode(folder, *texts):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(30)
    return tokenizer.encode(*texts)


def hidden_states(w, ids, types=None, first=0):
    """The last hidden states, [n, d]."""

    def normalise(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12)
        return x * w[f"{name}.LayerNorm.weight"] + w[f"{name}.LayerNorm.bias"]

    def dense(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    x = (
        w["embeddings.word_embeddings.weight"][ids]
        + w["embeddings.token_type_embeddings.weight"][types or [0] * len(ids)]
    )
    x = normalise(
        x + w["embeddings.position_embeddings.weight"][first : first + len(ids)], "embeddings"
    )
    for i in range(2):
        layer = f"encoder.layer.{i}"
        q, k, v = (
            dense(x, f"{layer}.attention.self.{part}").reshape(len(ids), 4, 8).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = np.exp(q @ k.transpose(0, 2, 1) / np.sqrt(8))
        seen = (scores / scores.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(x.shape)
        x = normalise(
            dense(seen, f"{layer}.attention.output.dense") + x, f"{layer}.attention.output"
        )
        inner = dense(x, f"{layer}.intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
        x = normalise(dense(inner, f"{layer}.output.dense") + x, f"{layer}.output")
    return x
