"""The ONNX embedder: parity with PyTorch, its cache, and the folders it takes or refuses."""

import base64
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_models import forward, make_tiny_model, write

from graphmem.embedding import encoder, reference_vector, weights
from graphmem.embedding.onnx import OnnxEmbedder
from graphmem.errors import ConfigError, ModelError

TEXTS = ["ada wrote the first query", "", "port", "the ship sails to the port " * 20]


@pytest.fixture(scope="module")
def reference():
    """Texts and their vectors by transformers' BertModel in PyTorch, float32."""
    path = Path(__file__).with_name("reference_vectors.json")
    rows = json.loads(path.read_text(encoding="utf-8"))["vectors"]
    vectors = [np.frombuffer(base64.b64decode(row["vector"]), "<f4") for row in rows]
    return [row["text"] for row in rows], np.stack(vectors)


def test_equals_pytorch(reference):
    texts, vectors = reference
    found = OnnxEmbedder.default().embed(texts)
    assert np.abs(found - vectors).max() < 1e-5


def test_int8_is_near_pytorch(reference):
    texts, vectors = reference
    found = OnnxEmbedder.default(precision="int8").embed(texts)
    assert (found * vectors).sum(axis=1).min() > 0.97


def test_threads_do_not_change_a_bit(reference):
    texts, _ = reference
    one, two, three = (OnnxEmbedder.default(threads=n).embed(texts).tobytes() for n in (1, 2, 3))
    assert one == two == three


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_texts_of_one_length_run_together_and_stay_the_same_bit_by_bit(precision):
    words = ["who", "wrote", "the", "film", "made", "by", "her", "father", "in", "old", "spain"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, rng.integers(1, 40))) for _ in range(80)]
    texts += [" ".join(rng.choice(words, 12)) for _ in range(40)]
    embedder = OnnxEmbedder.default(precision=precision)
    alone = np.concatenate([embedder.embed([text], "question") for text in texts])
    for threads in (1, 3):
        many = OnnxEmbedder.default(precision=precision, threads=threads)
        assert many.embed(texts, "question").tobytes() == alone.tobytes()


def test_many_threads_may_share_it(tiny_model):
    embedder = OnnxEmbedder(tiny_model)
    expected = OnnxEmbedder(tiny_model).embed(TEXTS).tobytes()
    with ThreadPoolExecutor(8) as pool:
        assert {v.tobytes() for v in pool.map(embedder.embed, [TEXTS] * 40)} == {expected}


def test_reads_256_tokens_of_the_default_model():
    embedder = OnnxEmbedder.default()
    text = "word " * 254  # and two special tokens
    assert embedder.max_tokens == 256
    assert embedder.count_tokens([text, text + "ship"]) == [256, 257]
    vectors = embedder.embed([text, text + "ship", text[:-5] + "ship"])
    assert vectors[0].tobytes() == vectors[1].tobytes() != vectors[2].tobytes()


def test_a_folder_with_cls_pooling_and_prompts(tiny_model):
    embedder = OnnxEmbedder(tiny_model)
    assert embedder.max_tokens == 30
    for kind, prompt in (("question", "query: "), ("passage", "passage: ")):
        expected = [forward(tiny_model, prompt + text, "cls") for text in TEXTS]
        np.testing.assert_allclose(embedder.embed(TEXTS, kind), expected, atol=1e-5)


def test_a_folder_with_mean_pooling_without_prompts(tmp_path):
    folder = make_tiny_model(tmp_path / "mean", pooling="mean", prompts=False)
    expected = [forward(folder, text, "mean") for text in TEXTS]
    np.testing.assert_allclose(OnnxEmbedder(folder).embed(TEXTS), expected, atol=1e-5)


def test_roberta_counts_positions_from_two(tmp_path):
    folder = make_tiny_model(tmp_path / "r", prompts=False, model_type="roberta", pad_token_id=1)
    expected = [forward(folder, text, "cls", first=2) for text in TEXTS]
    np.testing.assert_allclose(OnnxEmbedder(folder).embed(TEXTS), expected, atol=1e-5)


def test_half_precision_weights(tiny_model, tmp_path):
    folder = tmp_path / "half"
    shutil.copytree(tiny_model, folder)
    tensors = load_file(folder / "model.safetensors")
    half = {name: value.astype(np.float16) for name, value in tensors.items()}
    save_file(half, folder / "model.safetensors")
    full, short = (OnnxEmbedder(path).embed(TEXTS) for path in (tiny_model, folder))
    assert 0 < np.abs(full - short).max() < 0.01


@pytest.mark.parametrize(
    ("file", "value", "message"),
    [
        ("config.json", {"model_type": "mpnet"}, "model type 'mpnet' is not supported"),
        ("config.json", {"hidden_act": "relu"}, "activation 'relu'"),
        ("config.json", {"position_embedding_type": "relative_key"}, "relative_key positions"),
        ("config.json", {"num_hidden_layers": "2"}, "'num_hidden_layers' must be an integer"),
        ("modules.json", [{"type": "sentence_transformers.models.Dense"}], "module 'Dense'"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pooling max"),
        ("1_Pooling/config.json", {"include_prompt": False}, "pooling without the prompt"),
    ],
)
def test_folders_that_are_refused(tmp_path, file, value, message):
    folder = make_tiny_model(tmp_path / "odd", pooling="mean")
    path = folder / file
    write(path, json.loads(path.read_text()) | value if isinstance(value, dict) else value)
    if "max_tokens" in str(value):
        write(path, value)
    with pytest.raises(ConfigError, match=message):
        OnnxEmbedder(folder)


def test_folders_that_are_damaged(tmp_path):
    with pytest.raises(ConfigError, match=r"no config.json"):
        OnnxEmbedder(tmp_path)
    folder = make_tiny_model(tmp_path / "broken")
    (folder / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="not readable as JSON"):
        OnnxEmbedder(folder)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.safetensors", b"\x00" * 100, "unreadable weights"),
        ("tokenizer.json", b"{}", "unreadable tokenizer"),
    ],
)
def test_weights_and_tokenizers_that_are_damaged(tmp_path, file, content, message):
    folder = make_tiny_model(tmp_path / "broken")
    (folder / file).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        OnnxEmbedder(folder).embed(["port"])


def test_weights_of_another_kind(tmp_path):
    folder = make_tiny_model(tmp_path / "broken")
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("bert.encoder.layer.1.output.dense.bias")
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"no tensor 'encoder.layer.1.output.dense.bias'"):
        OnnxEmbedder(folder).embed(["port"])
    save_file({"x": np.zeros(1, np.float32)}, folder / "model.safetensors")
    with pytest.raises(ModelError, match="not a BERT encoder"):
        OnnxEmbedder(folder).embed(["port"])


def test_the_fingerprint_follows_weights_tokenizer_prompts_and_precision(tmp_path):
    folder = make_tiny_model(tmp_path / "model")
    seen = {OnnxEmbedder(folder).fingerprint, OnnxEmbedder(folder, precision="int8").fingerprint}
    moved = tmp_path / "elsewhere" / "model"
    shutil.copytree(folder, moved)
    assert OnnxEmbedder(moved).fingerprint in seen
    write(folder / "config_sentence_transformers.json", {"prompts": {"query": "ask: "}})
    seen.add(OnnxEmbedder(folder).fingerprint)
    tensors = load_file(folder / "model.safetensors")
    tensors["bert.embeddings.LayerNorm.bias"][0] += 1
    save_file(tensors, folder / "model.safetensors")
    seen.add(OnnxEmbedder(folder).fingerprint)
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + "\n")
    seen.add(OnnxEmbedder(folder).fingerprint)
    assert len(seen) == 5
    assert OnnxEmbedder(folder, threads=1).fingerprint in seen


def built_graphs(cache):
    return [path for path in (cache / "models").iterdir() if (path / "sizes.json").exists()]


def test_a_built_graph_is_kept_and_mended(tiny_model, cache, monkeypatch):
    expected = OnnxEmbedder(tiny_model).embed(TEXTS).tobytes()
    (built,) = built_graphs(cache)
    with monkeypatch.context() as patch:
        patch.setattr(encoder, "build_graph", None)  # not called
        assert OnnxEmbedder(tiny_model).embed(TEXTS).tobytes() == expected
    for name in ("weights.bin", "model.onnx", "sizes.json"):
        (built / name).write_bytes((built / name).read_bytes()[:-5])
        assert OnnxEmbedder(tiny_model).embed(TEXTS).tobytes() == expected
    (built / "model.onnx").unlink()
    assert OnnxEmbedder(tiny_model).embed(TEXTS).tobytes() == expected
    assert [path for path in (cache / "models").iterdir() if ".part" in path.name] == []


def test_a_build_that_gives_wrong_vectors_is_an_error(cache_with_weights, monkeypatch):
    wrong = np.roll(reference_vector.known_vector(), 1)
    monkeypatch.setattr(reference_vector, "from_halves", lambda text: wrong)
    with pytest.raises(ModelError, match="gives wrong vectors"):
        OnnxEmbedder.default().embed(["port"])
    assert built_graphs(cache_with_weights) == []


def test_a_damaged_default_model_is_fetched_again(cache_with_weights, monkeypatch):
    folder = weights.MINILM.folder
    for name in ("tokenizer.json", "model.safetensors"):
        (folder / name).unlink()
        (folder / name).write_bytes(b"cut short")
    asked = []

    def stop(package, target, report):
        asked.append(package.damaged_files())
        raise ModelError("no network")

    monkeypatch.setattr(weights, "_download", stop)
    with pytest.raises(ModelError, match="no network"):
        OnnxEmbedder.default().embed(["port"])
    assert asked == [["model.safetensors", "tokenizer.json"]]


def test_processes_may_build_at_once(tiny_model, cache):
    code = (
        "import sys, hashlib; from graphmem.embedding import load_embedder;"
        "print(hashlib.sha256(load_embedder(sys.argv[1]).embed(['the port'])).hexdigest())"
    )
    command = [sys.executable, "-c", code, str(tiny_model)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    answers = {process.communicate(timeout=60)[0] for process in started}
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(answers) == 1
    assert len(built_graphs(cache)) == 1


def test_importing_and_making_one_is_light():
    code = (
        "import sys; from graphmem.embedding import load_embedder;"
        "load_embedder('default').fingerprint; load_embedder('openai:x').fingerprint;"
        "print([m for m in ('onnx', 'onnxruntime', 'openai', 'tokenizers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_options_are_checked():
    with pytest.raises(ConfigError, match="fp32 or int8"):
        OnnxEmbedder(precision="int4")
    with pytest.raises(ConfigError, match="threads"):
        OnnxEmbedder(threads=0)
