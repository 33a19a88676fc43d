"""Cross-encoders and late interaction: against numpy, and the folders they take or refuse."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save_file
from tiny_models import cross_score, encode, forward, make_tiny_model, write
from tokenizers import Tokenizer

from graphmem.errors import ConfigError, ModelError
from graphmem.reranking.cross_encoder import CrossEncoder
from graphmem.reranking.maxsim import MaxSimReranker

QUESTION = "who wrote the first query"
TEXTS = ["ada byron wrote the first query", "", "port", "the ship sails to the port " * 20]


@pytest.mark.parametrize("head", ["bert", "roberta"])
def test_a_cross_encoder_written_out_in_numpy(tiny_folders, head):
    folder = tiny_folders[head]
    for question in (QUESTION, "port " * 40):
        expected = [cross_score(folder, question, text, head) for text in TEXTS]
        np.testing.assert_allclose(CrossEncoder(folder).score(question, TEXTS), expected, atol=1e-5)
    assert np.ptp(expected) > 0.1  # else the comparison shows nothing


def test_equals_pytorch(tiny_folders):
    """Scores by transformers' models in PyTorch, with the same random weights and tokenizers."""
    path = Path(__file__).with_name("reference_scores.json")
    rows = json.loads(path.read_text(encoding="utf-8"))["scores"]
    for row in rows:
        (found,) = CrossEncoder(tiny_folders[row["model"]]).score(row["question"], [row["text"]])
        assert abs(found - row["score"]) < 1e-5, row
    assert {row["model"] for row in rows} == {"bert", "roberta"}
    assert {row["tokens"] for row in rows} >= {8, 30}  # also one that is cut


def test_question_and_text_are_told_apart(tiny_folders):
    scored = CrossEncoder(tiny_folders["bert"])
    one, other = scored.score("ada wrote", ["the ship"]), scored.score("the ship", ["ada wrote"])
    assert abs(one - other).max() > 1e-3


def test_maxsim_written_out_in_numpy(tiny_folders):
    folder = tiny_folders["embedder"]
    asked = forward(folder, f"query: {QUESTION}", "tokens")
    read = [forward(folder, f"passage: {text}", "tokens") for text in TEXTS]
    expected = [(asked @ words.T).max(axis=1).mean() for words in read]
    np.testing.assert_allclose(MaxSimReranker(folder).score(QUESTION, TEXTS), expected, atol=1e-5)


def test_an_embedder_of_the_same_folder_shares_its_graph(tiny_folders, tmp_path, monkeypatch):
    from graphmem.embedding import encoder, load_embedder

    folder = tiny_folders["embedder"]
    monkeypatch.setenv("GRAPHMEM_CACHE", str(tmp_path))
    MaxSimReranker(folder).score(QUESTION, TEXTS)
    monkeypatch.setattr(encoder, "build_graph", None)  # not called
    expected = [forward(folder, f"passage: {text}", "cls") for text in TEXTS]
    np.testing.assert_allclose(load_embedder(str(folder)).embed(TEXTS), expected, atol=1e-5)


def test_pairs_are_cut_as_the_tokenizer_says(tmp_path):
    folder = make_tiny_model(tmp_path / "second", head="bert")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(9, strategy="only_second", direction="left")  # not its length
    tokenizer.save(str(folder / "tokenizer.json"))
    asked, text = "ada byron wrote", "port " * 20 + "ship sails to the " * 6
    assert len(encode(folder, asked, text).ids) == 30
    whole, last, first = CrossEncoder(folder).score(
        asked, [text, " ".join(text.split()[-24:]), " ".join(text.split()[:24])]
    )
    assert whole == last != first
    with pytest.raises(ModelError, match="cannot cut the pair"):
        CrossEncoder(folder).score("port " * 50, ["ship"])


def test_many_threads_may_share_it(tiny_folders):
    expected = CrossEncoder(tiny_folders["bert"]).score(QUESTION, TEXTS).tobytes()
    shared = CrossEncoder(tiny_folders["bert"])
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda _: shared.score(QUESTION, TEXTS).tobytes(), range(20))
        assert set(found) == {expected}


def export(folder, labels=1, extra=None):
    """A folder with no weights but an exported graph: the mean of word values, times 1 + type."""
    folder = make_tiny_model(folder, head="bert", model_type="deberta-v2")
    (folder / "model.safetensors").unlink()
    values = np.random.default_rng(3).standard_normal((16, labels)).astype(np.float32)
    kind, shape = TensorProto.INT64, ["batch", "sequence"]
    nodes = [
        helper.make_node("Gather", ["values", "input_ids"], ["words"]),
        helper.make_node("Cast", ["token_type_ids"], ["types"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["types", "mask"], ["factor"]),
        helper.make_node("Unsqueeze", ["factor", "last"], ["column"]),
        helper.make_node("Mul", ["words", "column"], ["product"]),
        helper.make_node("ReduceMean", ["product"], ["logits"], axes=[1], keepdims=0),
    ]
    names = ["input_ids", "attention_mask", "token_type_ids", *([extra] if extra else [])]
    graph = helper.make_graph(
        nodes,
        "export",
        [helper.make_tensor_value_info(name, kind, shape) for name in names],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", labels])],
        [
            numpy_helper.from_array(values, "values"),
            numpy_helper.from_array(np.array([2]), "last"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "onnx").mkdir()
    onnx.save(model, folder / "onnx" / "model.onnx")
    return folder, values


def test_an_exported_graph_of_another_kind(tmp_path):
    folder, values = export(tmp_path / "export")
    pairs = [encode(folder, QUESTION, text) for text in TEXTS]
    expected = [(values[p.ids, 0] * (1 + np.array(p.type_ids))).mean() for p in pairs]
    scored = CrossEncoder(folder)
    np.testing.assert_allclose(scored.score(QUESTION, TEXTS), expected, atol=1e-6)
    before = scored.fingerprint
    assert before.startswith("cross-encoder:export:30:")
    path = folder / "onnx" / "model.onnx"
    graph = onnx.load(path)
    graph.doc_string = "another"
    onnx.save(graph, path)
    assert CrossEncoder(folder).fingerprint != before


def test_an_export_of_a_roberta_has_two_positions_less(tmp_path):
    folder, _ = export(tmp_path / "export")
    config = json.loads((folder / "config.json").read_text())
    lengths = {}
    for kind in ("bert", "xlm-roberta"):
        changed = {**config, "model_type": kind, "max_position_embeddings": 20, "pad_token_id": 1}
        (folder / "config.json").write_text(json.dumps(changed))
        lengths[kind] = CrossEncoder(folder).fingerprint.split(":")[2]
    assert lengths == {"bert": "20", "xlm-roberta": "18"}


def test_exports_that_are_no_reranker(tmp_path):
    folder, _ = export(tmp_path / "two", labels=2)
    with pytest.raises(ModelError, match="expected one number for a pair"):
        CrossEncoder(folder).score(QUESTION, TEXTS)
    folder, _ = export(tmp_path / "inputs", extra="pixel_values")
    with pytest.raises(ModelError, match="unknown input 'pixel_values'"):
        CrossEncoder(folder).score(QUESTION, TEXTS)
    (folder / "onnx" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="onnxruntime cannot open it"):
        CrossEncoder(folder).score(QUESTION, TEXTS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "electra"}, "model type 'electra' is not supported, only BERT or RoBERTa"),
        ({"hidden_act": "relu"}, "activation 'relu'"),
        ({"architectures": ["BertModel"]}, r"BertModel is no cross-encoder.*maxsim:FOLDER"),
        ({"id2label": {"0": "no", "1": "yes"}}, "2 labels; expected a cross-encoder with one"),
    ],
)
def test_folders_that_are_refused(tmp_path, changes, message):
    folder = make_tiny_model(tmp_path / "odd", head="bert")
    config = json.loads((folder / "config.json").read_text())
    write(folder / "config.json", config | changes)
    with pytest.raises(ConfigError, match=message):
        CrossEncoder(folder)


def test_folders_that_are_damaged(tmp_path):
    with pytest.raises(ConfigError, match=r"no config.json"):
        CrossEncoder(tmp_path)
    folder = make_tiny_model(tmp_path / "broken", head="bert")
    tensors = load_file(folder / "model.safetensors")
    save_file({n: v for n, v in tensors.items() if "pooler" not in n}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"no tensor 'pooler.dense.weight'"):
        CrossEncoder(folder).score(QUESTION, TEXTS)
    tensors["classifier.weight"] = np.concatenate([tensors["classifier.weight"]] * 3)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelError, match="3 labels"):
        CrossEncoder(folder).score(QUESTION, TEXTS)
    tensors["classifier.weight"] = np.full((1, 32), np.nan, np.float32)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelError, match="expected one number"):
        CrossEncoder(folder).score(QUESTION, TEXTS)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"no model.safetensors or onnx/model.onnx"):
        CrossEncoder(folder)


def test_the_fingerprint_follows_weights_tokenizer_and_length(tmp_path):
    folder = make_tiny_model(tmp_path / "model", head="bert")
    seen = {CrossEncoder(folder).fingerprint}
    shutil.copytree(folder, tmp_path / "elsewhere" / "model")
    assert CrossEncoder(tmp_path / "elsewhere" / "model").fingerprint in seen
    tensors = load_file(folder / "model.safetensors")
    tensors["classifier.bias"] += 1
    save_file(tensors, folder / "model.safetensors")
    seen.add(CrossEncoder(folder).fingerprint)
    write(folder / "tokenizer_config.json", {"model_max_length": 20})
    seen.add(CrossEncoder(folder).fingerprint)
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + "\n")
    seen.add(CrossEncoder(folder).fingerprint)
    assert len(seen) == 4


def test_making_one_is_light(tiny_folders):
    code = (
        "import sys; from graphmem.reranking import load_reranker;"
        "load_reranker(sys.argv[1]).fingerprint; load_reranker('maxsim').fingerprint;"
        "print([m for m in ('onnx', 'onnxruntime', 'tokenizers') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tiny_folders["bert"])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
