"""What the default models make of one sentence, against which a built graph is checked.

The embedder's vector is as PyTorch makes it, from the same weights with transformers' BertModel
(torch 2.13.0); tests/embedding holds more of them. The learned words are as their formula, written
out in numpy, makes them of the same weights. See `graphmem.embedding.encoder`.
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

_WORDS = (
    "1012:507 1998:510 2003:307 2005:168 2015:788 2048:109 2074:679 2278:1408 2482:122 2675:513 "
    "2764:247 2929:554 2965:397 3029:200 3194:1850 3392:637 3727:1356 3765:435 3787:632 4045:846 "
    "4103:1554 4106:127 4127:623 4870:1404 5072:114 5209:1470 5358:434 5418:1566 5957:800 "
    "5976:682 6169:596 6388:175 6546:1188 7053:265 7060:1648 7585:133 7594:448 7925:207 7956:869 "
    "8183:1158 8313:427 8370:742 8785:421 8840:1865 9529:384 9546:156 10629:190 11208:693 "
    "11308:843 11658:510 11689:717 12046:191 12226:1117 14077:906 14855:2275 14980:483 15122:653 "
    "15216:300 15360:226 16211:1896 16246:796 16733:483 17256:736 17290:264 17390:1763 "
    "17826:2075 17928:497 18647:616 18960:233 19262:238 21776:499 22017:604 23693:628 24854:426 "
    "25308:2310 29167:423"
)
"""Number of each learned word of KNOWN_TEXT, and a thousand times its weight."""


def known_vector() -> NDArray[np.float32]:
    """The unit vector of KNOWN_TEXT, float32 [384], to 3 digits.

    >>> vector = known_vector()
    >>> vector.shape, bool(abs(vector @ vector - 1) < 1e-3)
    ((384,), True)
    """
    return from_halves(_FLOAT16)


def from_halves(text: str) -> NDArray[np.float32]:
    """Numbers of half precision in base 64, as float32."""
    return np.frombuffer(base64.b64decode(text), "<f2").astype(np.float32)


def known_words() -> dict[int, float]:
    """The learned words of KNOWN_TEXT with their weights, to 3 digits.

    >>> known_words()[3194]
    1.85
    """
    pairs = (pair.split(":") for pair in _WORDS.split())
    return {int(word): int(weight) / 1000 for word, weight in pairs}
