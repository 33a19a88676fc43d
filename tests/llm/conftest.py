"""A chat server for every test that wants one."""

import pytest
from chat_helpers import KEY, running_chat_server


@pytest.fixture
def server(monkeypatch):
    """A misbehaving server to which the environment points."""
    with running_chat_server() as found:
        monkeypatch.setenv("OPENAI_BASE_URL", found.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield found
