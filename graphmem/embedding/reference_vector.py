"""One vector of the default model as PyTorch makes it, against which a built graph is checked.

Made from the same weights with transformers' BertModel (torch 2.13.0); tests/embedding holds more
of them. See `graphmem.embedding.encoder`.
"""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

KNOWN_TEXT = (
    "The analytical engine weaves algebraic patterns just as the Jacquard loom weaves flowers and"
    " leaves."
)
_FLOAT16 = (
    "ja00m06r8CVMppwTgKoSp32bh6XrHvUp7CY0p2Oo3y1eqvoqz6YdrO2khKmOIcghAy1WH0WcBSndLoKr9yn1MQYm"
    "OqjoqjuN2hovI6gqJCy5pikor6m1IsWgCqggrQepyKItJmuvBKulrrWpQiqyKEmkiikkJw8pBiqoK4AgeSwdJxKq"
    "G6WXLSwpD6mDFWQcb6vcmeSkqCR4rTCoZal3oxmqJiwTlpMoLhagLOAmbp82JmkpzisnrRWpU6mIqSoimSntIM0o"
    "vyTaLOyj0C1GpWeoIK1SpsKk7SlfqI6pjaPXH4cgx6hkqDsn/SmwJEAqQi9Uofgo+CNqJHopba4AAAUmfSK+K9op"
    "lqfTr+moEKd6p/ouranwLZ+nLin/JS2s7qfRExyq4CvNpWmsQaUyo1cZ0iyzKxomhRppLPAsxSahrAEt0qdIHTen"
    "qK3EKaonaKxSoDEooyhDIEUigijHKc4sjiTprUsS0S9PpCwt6yv8obEniKvtLeYVICeZrC2mxyhNnOywuaG4onAu"
    "ZSbSJIQL36eJLq+rjB4ip0usdK3fq/Aj3aSPrZ+o4p7IKHwsZK4LpjskoKhMLHCrnaoAgEetm5YrrWwrD6hJJZUk"
    "qKi2qZEcE5xNLf6pqZgZJM6psCgtptCgJKgHnjEjAqJxsCimjylNKcGp/J1eLl2rzLATpcyekapylqwrcZ8fqjSo"
    "8KtgqAwpBSi8Js6l/a5gL+ssNxLYKjUoXCkepiisnCXbJIuoSqxHKTWq3iWHKBSpeqOEI3+eNSm6rAysLyg0KQuj"
    "G59gpMmpqxRNHhomgCVTIwUpLJzDqIMpFqutrFUlAy2FpYooDiwupKch1iUAgBWYI6uQJzaseS2xqUAm4yWnqvMo"
    "FSqWL2KozCxUL/2jQS/GJrqq/qIcKw2jwK4NoE6o1ahVrFOlrim5KkCjfSq6KUGkMK0rpXmtMxg9qVCaIo5epNgk"
    "7CNSLNUrOpndoU2nXC/Fod+mtCmIpn+m+aZsKL6sJikUoUmruyyjMGqm"
)


def known_vector() -> NDArray[np.float32]:
    """The unit vector of KNOWN_TEXT, float32 [384], to 3 digits.

    >>> vector = known_vector()
    >>> vector.shape, bool(abs(vector @ vector - 1) < 1e-3)
    ((384,), True)
    """
    return np.frombuffer(base64.b64decode(_FLOAT16), "<f2").astype(np.float32)
