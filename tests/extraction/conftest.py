"""The chat tests' server, for extraction over HTTP."""

import pytest


@pytest.fixture
def server(monkeypatch):
    """A misbehaving server to which the environment points; it extracts well by default."""
    from chat_helpers import KEY, extract_reply, running_chat_server

    with running_chat_server(extract_reply) as found:
        monkeypatch.setenv("OPENAI_BASE_URL", found.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield found
