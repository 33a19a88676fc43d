"""A chat model that stands before another one."""

from __future__ import annotations

from graphmem.protocols import ChatModel


class ChatWrapper:
    """Goes by name and fingerprint of the model behind; how it answers is for subclasses."""

    def __init__(self, chat: ChatModel) -> None:
        """Stand before `chat`."""
        self._chat = chat

    @property
    def model(self) -> str:
        """The model's name."""
        return self._chat.model

    @property
    def fingerprint(self) -> str:
        """That of the model behind."""
        return self._chat.fingerprint
