"""The vector of a known sentence by bge-small-en-v1.5.

It is as the model's formulas, written out in numpy in float64, make it of the same weights. See
`graphmem.embedding.bge`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graphmem.embedding.reference_vector import from_halves

_KNOWN = (
    "a54sqO+lYp83K36tQxs2LHEiealen7spsCWYqG4kOaLEKY4p0qq0mfAlEiIWpXOu76tZLW+rQ6xVJH+unqVZJ0AeGik7"
    "pQArdqwVjcCldKm8JpUkVa3QKa+o7qCSp6oroqqvrUStSqruJmKt0ihdJbUoZiTMpWklECUsJBquV6QXKyOrMCBDpSAt"
    "fSj0LpifoScnlAYqDaX6qWSqhKviLFsiJJ5FJzmmkyYtK2esS6l9Kt0rPigvqC6pTST1KAOhCKLcJxwn4jOeqySeEy1D"
    "q/SowKQdriGoDSWjrN6b6KGxpssqHiQ9Jk+dlRhjp88shiiMKneoBaMnKg8s3prkLmMoeytnK+IpEh4AqxqqPpvyoGwl"
    "qyN9KyytfyWzlsCna6dUKSYqMiZ0GEMXBKMbqDqiIKwNJQUt0SbULdGciitOqFoomZ94K3+lMqnpLCsqYSgaIHainiTH"
    "pWIoJC0NKSKp4iXxKU0rJC06J++WwivOoJqlciYdpnqkyqCZInctwBfRJuSoTa08o1sY2qewqOSoFBR2GF8suSnlIEmn"
    "sCbzpCUsuah9pvYqLqUOoOktv6gpHYAqDx7BqjCvCydutMSdWCnmG1EeRZlvpVisFKjkoeecEKcvJIyqWCm7oCajDizi"
    "rLMsbKaGnVGgCK1aq/un4DBbqkCo1awdqFKo66ldGisqxxhwK5Il5yeSKw0hHyjWJ22tcqTGqqur6a5epxWpWp11Jvsq"
    "FSo9IIaltiAAKMqkZaKuKXSQaiI1JU4iEiOcJVylzR+wq8ypCydMJBmwMiPgKAEl0JwMHIAoGy+PpMOlpSUZkKgmTKUE"
    "qmYlraorptUkT6gMKwYpFpzptFMlWCV9liqqnag3LLgiLSWtI4kizKqhp6+pgCm5LHsqQ60VKfuaRp2nKdUxLCUMJpmm"
    "2iVyrAklr6kcKNYo+Csnrewo3qk6oxcneCYjohojOp5Rrl4htim8oggifCwKqS2l0JH8KkCoiCGFppilR6zdKhoaq6KZ"
    "qAWpgpMmLEyp"
)


def known_bge_vector() -> NDArray[np.float32]:
    """The unit vector of `reference_vector.KNOWN_TEXT` without a prompt, float32 [384].

    >>> vector = known_bge_vector()
    >>> vector.shape, bool(abs(vector @ vector - 1) < 1e-3)
    ((384,), True)
    """
    return from_halves(_KNOWN)
