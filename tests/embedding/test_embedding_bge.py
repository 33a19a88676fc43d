"""bge-small-en-v1.5: reading a quantised ONNX file, by one that is written here, and the model."""

import pickle

import numpy as np
import onnx
import pytest
from worlds import ODD_TEXTS

from graphmem.embedding import bge, load_embedder, weights
from graphmem.embedding.bge_vectors import known_bge_vector
from graphmem.embedding.onnx import OnnxEmbedder
from graphmem.embedding.quantised_onnx import read_onnx_tensors
from graphmem.embedding.reference_vector import KNOWN_TEXT
from graphmem.errors import ConfigError, ModelError

TABLE = "embeddings.word_embeddings.weight"
QUERY = "encoder.layer.0.attention.self.query"
NORM = "embeddings.LayerNorm.weight"


def write_file(path, scales=(0.25,), without=""):
    """A file as onnxruntime writes it; the tensors that it holds by BertModel's names."""
    rng = np.random.default_rng(7)
    table = rng.integers(0, 256, (13, 4), np.uint8)
    matrix = rng.integers(-128, 128, (4, 3), np.int8)
    zeros = np.arange(len(scales), dtype=np.int8) - 1
    norm = rng.standard_normal(4).astype(np.float32)
    stored = {
        f"{TABLE}_quantized": table,
        f"{TABLE}_scale": np.float32(0.5),
        f"{TABLE}_zero_point": np.uint8(70),
        "onnx::MatMul_1_quantized": matrix,
        "onnx::MatMul_1_scale": np.array(scales, np.float32),
        "onnx::MatMul_1_zero_point": zeros,
        NORM: norm,
    }
    product = onnx.helper.make_node(
        "MatMulInteger",
        ["x", "onnx::MatMul_1_quantized", "x_zero_point", "onnx::MatMul_1_zero_point"],
        ["y"],
        name=f"/{QUERY.replace('.self.', '/self/')}/MatMul_quant",
    )
    kept = [
        onnx.numpy_helper.from_array(np.asarray(array), name)
        for name, array in stored.items()
        if name != without
    ]
    graph = onnx.helper.make_graph([product], "bert", [], [], kept)
    onnx.save(onnx.helper.make_model(graph), path)
    return {
        TABLE: (table.astype(np.float32) - 70) * np.float32(0.5),
        f"{QUERY}.weight": ((matrix.astype(np.float32) - zeros) * np.float32(scales)).T,
        NORM: norm,
    }


@pytest.mark.parametrize("scales", [(0.25,), (0.25, 0.1, 3)])
def test_tensors_are_those_that_were_written(tmp_path, scales):
    expected = write_file(tmp_path / "model.onnx", scales)
    found = dict(read_onnx_tensors(tmp_path / "model.onnx"))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], tensor), name


@pytest.mark.parametrize("content", [b"no model", None])
def test_files_that_are_none_of_the_kind(tmp_path, content):
    if content is not None:
        (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="unreadable weights"):
        list(read_onnx_tensors(tmp_path / "model.onnx"))


def test_integers_without_a_scale(tmp_path):
    write_file(tmp_path / "model.onnx", without=f"{TABLE}_scale")
    with pytest.raises(ModelError, match=rf"no tensor '{TABLE}_scale'"):
        list(read_onnx_tensors(tmp_path / "model.onnx"))


def test_known_without_the_weights(cache, monkeypatch):
    monkeypatch.setattr(weights, "_command", lambda package, target: ["false", package.requirement])
    embedder = load_embedder("bge-small")
    assert embedder.fingerprint.startswith("bge-small-en-v1.5:fp32:512:cls:")
    assert len(pickle.dumps(embedder)) < 1000
    assert pickle.loads(pickle.dumps(embedder)).fingerprint == embedder.fingerprint
    for ask in (lambda: embedder.embed(["port"]), embedder.fetch):
        with pytest.raises(ModelError, match=r"could not .* models fetch --embedder bge-small'"):
            ask()


@pytest.fixture(scope="module")
def model():
    """The model, which is fetched if need be."""
    weights.fetch(weights.BGE_SMALL)
    return load_embedder("bge-small")


def test_the_known_vector(model):
    (found,) = model.embed([KNOWN_TEXT])
    assert np.abs(found - known_bge_vector()).max() < 1e-3


def test_a_vector_depends_on_its_own_text_only(model):
    texts = [*ODD_TEXTS, *(" ".join(["sea", "harbour", "tide"] * n) for n in range(1, 12))]
    together = model.embed(texts)
    assert together.tobytes() == np.concatenate([model.embed([t]) for t in texts]).tobytes()
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert together.dtype == np.float32
    assert not np.allclose(together[1], model.embed([texts[1]], "question")[0])
    short, long = model.count_tokens(["the sea", "the sea " * 600])
    assert short < 8 and long > model.max_tokens


def test_questions_find_passages_in_other_words(model):
    passages = model.embed(
        [
            "The fisherman sold his boat.",
            "A baker made bread at dawn.",
            "The doctor settled on the coast.",
        ]
    )
    questions = model.embed(
        ["Who gave up a ship?", "Who was at the oven early?", "Which physician moved house?"],
        "question",
    )
    assert (questions @ passages.T).argmax(axis=1).tolist() == [0, 1, 2]


def test_there_is_one_precision():
    with pytest.raises(ConfigError, match="comes in no precision 'int8'"):
        OnnxEmbedder(bge.BGE_SMALL, precision="int8")


def test_models_are_pickled_by_name():
    assert pickle.loads(pickle.dumps(bge.BGE_SMALL)) is bge.BGE_SMALL
