"""Two vectors of multilingual-e5-small: of a known sentence, and the centre of its vectors.

The first is as the model's formulas, written out in numpy in float64, make it of the same weights
(the package's own engine, which rounds activations to 8 bits, gives it to a cosine of 0.9999). The
second lies halfway between the mean vectors of 1,200 passages (900 of Wikipedia, 300 turns of
conversations) and of 600 questions, English ones all. See `graphmem.embedding.e5`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graphmem.embedding.reference_vector import from_halves

_KNOWN = (
    "cyyqqaumyquMLfeoaifUJJMrtCYeKkApiioonZ2njSpIKZoVN6QtrOaeLaLyq5go4iivLgSo7qgiJGysZKpFrVopjqoN"
    "LU0nJKwIqbUoTqzRo1omJyWSKIEqRiq/q70r3alvq4+iPSqqEKUoKypgqc2s3aw9qhosTSpxoOsaoirRLZUr/SIALMyu"
    "8Kkmr2Ys5R1krMEIyRl5Le2sQymepsuaQKHeqDMlYKssI0AkVKxILIer0Cd2I5mr96lQsHKrRKo/J3sseaRIJVGoPSqR"
    "qpWjbSVcKrutCiwQra0gOiy+LQkl1KwErA6o4KomJMWg7y2RqiGu/qxVrM6nwSqFLTwlHyxPLBYsviQaKlYqXi6UpJGo"
    "+yKUp5Ws/SiCqFIooizDHBgu6KlsKBMhPSzonwYrZS2qLCqo863Sq04mWSyCrbys96gVqzWtQal4J9QqLprMoYKpbiJ9"
    "p16gLaQdJgupzaR4K+opd6QPqmGoCKxYq0usyaouIm2ii6FApfknhalspkiniywppwUoZixsIBud96V2I8Yp+6ByJG2t"
    "RCw2Ip8pWyzvrsyrRyzgpuSpXqFFK5SolyrjKXOqzyj2rS2t4CW8LKmoOqk3LjeoTKCRrZusPabtGmiqKyfmJgCuCqlo"
    "rrWQFKwtLYUhtKv0JS6lYyqpJRGjvqCQoo4iciWwIwwuH6bGKB2ejKkVLlom9is6KeOqKquArPuixqh5K+Al+iFVpb2s"
    "YyipLYOkBKdeLJgotCvOoNsnyqYFrCUmfaBcrIGmnaxkJb6bnS0eJdag8iyuqR0s4iMcqTwqsicCq5EkySSrJA0oOaim"
    "Ki8qzaTmqOYptCyuKh0kgqsWrUKfIqwZGTaqbygwKXCs5KmlKFeZUxZXqSqoWR92qjqqDKPiKgGonqzhIRMrH6xuLKql"
    "eqwOLBqpAKpFIEctvq7DKVQqVKuLK02fYqtYKxIqLqSUqQQpmSb+KnMpDaZcJ6EozKs1LQws76fhIXUepqlkpdssAac7"
    "raopFi0gLXMt"
)
_CENTRE = (
    "hylqp9armqk4KtCpvSgnKRYpshlCK7Yf1iifqriooCioK9SmzqhIrNQmbSHcqsQpJimdKgOpaB5eKlKr66pxqe8puat8"
    "KwcrlKrRqHwq56VIpPUmmCkAKn8rjSuZp5MpcqhlpLSqNSu4Ju8qxCqSrOWs4qq2qUwqlCqAqMUiYCR2Ks4ocygzKTSs"
    "CqXuqlIrYgwEqGUc4icfJreq4yUgqnWpZqh7qH4pRKsPLAsrkKrYKy2ndyq0KYCr6qpdrBWqVKgxKegrZqoOLOGq4SnF"
    "pU2pfyVpKHKqMyshqimo4SlsK24s1quVqB6mYKjcJpOosSpBqZ+rk6oTqjuociVrKcUrCCXDKbUkfiePKHApICqErEWj"
    "Sp/JpZKpsSh4qbIpIyt0KVktQaf4K2eo1yjVqOgqXihcKteluKrFqpUn4ShfqZmqfal1p0+q0aVUK5kqNKhyqaepWSjN"
    "rMIoMqBLK0WqmClfLGsopqlNo4CrCKzTqAqsV6sFJ+MmSqjioHApxKaaq4ypgikGqwwpTSuvKU6myaZFJnUkUyrWJCGr"
    "Dya5qZcokSu/rCWs0Co2qqSk9h+BKuqnvilwKrukRimarU2rMSgrKe2knqVFKhGoxqnsqmOseqgUqDaozyhpKoSrtakN"
    "qb8pWKxXKe+plqcyKJ6kmiQ4Ks6rGacurOip4SkjKFYrbaqjJzMkjqSCLEUqcSrbKaioiaafqgql0qvoJQgp46YFqYWn"
    "/Sa8LOKkfKeDK6oqLypnLVYmpqYWqZUrKatKp66O3qkZLM6iVCp+JnsXmyqIqOIpaKdaqT4pvClwqlMlORwUKLkluSbr"
    "KksoC6fdpwUqVCqVpkciu6nGqsGqN6oQpxerFidJJ/6rbapyKBGYbySWqo6qZizuq7Gmh6iqKg6oP6tAJIcoo6pkKS2g"
    "aapjKfmoP6sjKDgqh61vJ7spKKj9JZmlUKg3KE0oGqwCqLwpUCjTKGArUaS6Eacnz6nRKf4pMKpGJPSlcalSqeQqnakS"
    "q+YphixDKBwp"
)


def known_e5_vector() -> NDArray[np.float32]:
    """The unit vector of `reference_vector.KNOWN_TEXT` without a prompt, float32 [384].

    >>> vector = known_e5_vector()
    >>> vector.shape, bool(abs(vector @ vector - 1) < 1e-3)
    ((384,), True)
    """
    return from_halves(_KNOWN)


def e5_centre() -> NDArray[np.float32]:
    """What unit vectors have in common, float32 [384]: their cosines are 0.7 and more.

    >>> bool(0.7 < e5_centre() @ e5_centre() < 0.8)
    True
    """
    return from_halves(_CENTRE)
