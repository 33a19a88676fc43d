"""Every option of every preset has a range, which is checked and documented."""

from dataclasses import fields, replace

import pytest

from graphmem.config import (
    FusionConfig,
    HippoRag2Config,
    HippoRagConfig,
    LinearRagConfig,
    Range,
    RetrievalConfig,
)
from graphmem.errors import ConfigError
from graphmem.evaluation.runs.specification import override

CONFIGS = [RetrievalConfig, HippoRag2Config, HippoRagConfig, LinearRagConfig, FusionConfig]
OPTIONS = [(config, option) for config in CONFIGS for option in fields(config)]
NUMBERS = [(c, o) for c, o in OPTIONS if isinstance(o.metadata["range"], Range)]
NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize("wrong", [NAN, INFINITE, -INFINITE, 1e300, -1e300, 10**400, "1", None])
@pytest.mark.parametrize(("config", "option"), OPTIONS, ids=lambda x: getattr(x, "name", ""))
def test_nonsense_is_refused_with_option_value_and_range(config, option, wrong):
    with pytest.raises(ConfigError) as caught:
        config(**{option.name: wrong})
    message = str(caught.value)
    assert message.startswith(f"{option.name} must be ")
    assert message.endswith(f"not {wrong!r}")
    if isinstance(option.metadata["range"], Range):
        assert str(option.metadata["range"]) in message


@pytest.mark.parametrize(("config", "option"), NUMBERS, ids=lambda x: getattr(x, "name", ""))
def test_both_ends_of_a_range_are_allowed_and_nothing_beyond(config, option):
    range_ = option.metadata["range"]
    for end in (range_.low, range_.high):
        assert getattr(config(**{option.name: end}), option.name) == end
    for beyond in (range_.low - 1, range_.high + 1, True):
        with pytest.raises(ConfigError, match=f"{option.name} must be"):
            config(**{option.name: beyond})


@pytest.mark.parametrize(("config", "option"), NUMBERS, ids=lambda x: getattr(x, "name", ""))
def test_the_docstring_says_the_range(config, option):
    _, _, said = config.__doc__.partition(f" {option.name}: ")
    paragraph = " ".join(said.split("\n        ")[0:1] + said.split("\n            ")[1:3])
    assert str(option.metadata["range"]) in " ".join(paragraph.split())


def test_an_option_with_choices_lists_them():
    with pytest.raises(ConfigError, match="route must be one of graph, dense, lexical, not 'x'"):
        RetrievalConfig(route="x")


def test_old_names_of_options_work_and_warn():
    with pytest.warns(DeprecationWarning, match="pull is called preference now"):
        config = RetrievalConfig(pull=2, damping=0.6)
    assert config == RetrievalConfig(preference=2, damping=0.6)
    with pytest.warns(DeprecationWarning, match="word_preference"):
        changed = replace(config, word_pull=1)
    assert changed == replace(config, word_preference=1)
    with pytest.warns(DeprecationWarning), pytest.raises(ConfigError, match="preference must be"):
        RetrievalConfig(pull=-1)
    with pytest.warns(DeprecationWarning):
        assert override("default", {"pull": 2.0}).preference == 2.0
    with pytest.raises(TypeError):
        RetrievalConfig(push=1)
