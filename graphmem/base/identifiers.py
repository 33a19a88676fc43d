"""Identifiers: numbers of tickets, parts and errors, versions, addresses, paths, names in code."""

from __future__ import annotations

import regex

# One word without white space; what ends a sentence ends no identifier. All parts are bounded.
_IDENTIFIER = regex.compile(
    r"""(?<![\p{L}\p{N}_@])(?:
      (?:https?|ftp|s3|git|ssh)://[^\s<>"'`)\]}]{1,500}(?<![.,;:!?])             # addresses
    | www\.[^\s<>"'`)\]}]{3,500}(?<![.,;:!?])
    | [\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{2,63}){1,5}                             # e-mail
    | [0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}                        # UUID
    | (?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}                                     # MAC
    | \d{1,3}(?:\.\d{1,3}){3}(?:[:/]\d{1,5})?(?![.\d])                            # IPv4
    | (?:[0-9a-fA-F]{1,4}:{1,2}){3,7}[0-9a-fA-F]{1,4}                             # IPv6
    | 0[xX][0-9a-fA-F]{2,64}
    | (?=[0-9a-f]{0,63}?\d)(?=[0-9a-f]{0,63}?[a-f])[0-9a-f]{7,64}                 # hashes
    | v\d{1,5}(?:\.\d{1,5}){1,5}(?:[-+.]?(?:rc|alpha|beta|dev|post|[ab])\.?\d{0,5})?
    | \d{1,5}(?:\.\d{1,5}){2,5}(?:[-+.]?(?:rc|alpha|beta|dev|post|[ab])\.?\d{0,5})?
    | (?:~|\.{1,2})?(?:/[\w.+-]{1,100}){2,30}/?(?<![.])                           # paths
    | [A-Za-z]:\\[\w.+-]{1,100}(?:\\[\w.+-]{1,100}){0,30}(?<![.])
    | [\p{L}_][\p{L}\p{N}]{0,60}(?:_{1,2}[\p{L}\p{N}]{1,60}){1,12}(?:\.\w{1,60}){0,6}
    | \p{L}\w{1,60}(?:::\w{2,60}){1,8}
    | [\p{L}_]\w{2,60}(?:\.\p{L}\w{1,60}){0,4}(?=\(\))                              # read_all()
    | @[\p{Ll}\d-]{2,40}/[\p{Ll}\d][\p{Ll}\d._-]{1,40}(?<![._-])                    # @scope/package
    | \p{Ll}\w{1,60}(?:\.\p{L}\w{1,60}){2,8}                                      # os.path.join
    | \p{L}[\w-]{1,60}\.(?:py|js|ts|tsx|jsx|java|c|h|cc|cpp|hpp|rs|go|rb|php|cs|sh|sql|json
        |ya?ml|toml|ini|cfg|conf|xml|html?|css|md|rst|txt|csv|tsv|log|pdf|docx?|xlsx?|pptx?
        |png|jpe?g|svg|gif|zip|gz|tar|exe|dll|so|jar|bin|dat|db|ipynb)
    | \p{Ll}{2,40}(?:\p{Lu}\p{Ll}{1,40}){1,8}                                     # getUserName
    | (?!Mac|Mc|Fitz)\p{Lu}\p{Ll}{2,40}(?:\p{Lu}\p{Ll}{2,40}){1,8}                # ParserError
    | (?=[\p{Lu}\d/.-]{0,40}?\d)(?=[\d/.-]{0,40}?\p{Lu})                         # 9102-44-C
        [\p{Lu}\d]{1,20}(?:[-/.][\p{Lu}\d]{1,20}){1,6}
    | (?:\d{1,7}-){3,6}[\dX]{1,7}                                               # 978-3-16-148410-0
    | \p{Lu}{1,6}\d{2,12}\p{Lu}{0,4}
    | \d{1,12}\p{Lu}{1,3}\d{1,12}
    | \d{7,20}
    | \p{Ll}{2,40}(?:-[\p{Ll}\d]{1,40}){0,6}-(?!\d{1,4}(?:s|st|nd|rd|th)?(?!\w))  # rtx-4090ti
        (?=[\p{Ll}\d]{0,40}?\d)[\p{Ll}\d]{1,40}
    | (?<![&\#])\#(?P<ticket>\d{3,12})
    )(?![\p{L}\p{N}_])""",
    regex.VERBOSE,
)
# Numbers that only the word before them makes identifiers; years are none. Provisions of laws and
# contracts are identifiers with their word.
_NUMBERED = regex.compile(
    r"""(?i:\b(?:ticket|order|invoice|case|bug|issue|error|part|serial|item|article|incident
        |request|defect|job|build|shipment|customer|account|contract|batch|lot|model|code)
        (?:\ (?:no|nr|number|code|id|key))?\.?:?\ ?)
        (?P<number>(?!(?:1[5-9]|20)\d\d\b)\d{4,12})(?![\p{L}\p{N}]|[.,]\d)
    | (?P<provision>(?:Art(?:icle|\.)|Sec(?:tion|\.))\ ?\d{1,4}[a-z]?)(?![\p{L}\p{N}]|[.,]\d)
    | (?i:isbn(?:-1[03])?[:\ ]{0,2})
        (?P<isbn>97[89][-\ ]?(?:\d[-\ ]?){9}\d|(?:\d[-\ ]?){9}[\dX])(?!\d)""",
    regex.VERBOSE,
)
# All words but those of letters alone, with a capital at most in the first place.
_PERHAPS = regex.compile(r"(?<!\S)(?![(\"'“‘]?\p{L}\p{Ll}*+[.,;:!?)\"'’”]*+(?!\S))\S++")
_VALUE = regex.compile(
    r"(?<!\S)[\p{L}_][\w.-]{0,60}=(?:\"([^\"\n]{2,80})\"|'([^'\n]{2,80})'|(\p{Lu}[^\s\"'=,;]{1,80}))"
)
# What a line of a log begins with: the time, how grave it is, who speaks; these are no names.
_LEVEL = r"[\[<(]?(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL)[\])>]?:?"
LOG_HEAD = regex.compile(
    rf"^(?=[^\n]{{0,160}}?[ \t]{_LEVEL}[ \t])"
    rf"[\[<(]?(?:\p{{Lu}}\p{{Ll}}\p{{Ll}}[ ]+\d)?[\dT/. -]*\d:\d\d\S*"
    rf"(?:[ \t]+(?:{_LEVEL}|\[[^\]\n]{{0,80}}\]:?|[-–|:]|[\w$-]+(?:\.[\w$-]+)+:?)(?=[ \t]))++",
    regex.MULTILINE,
)
_QUOTED = regex.compile(r"(?<!`)`{1,2}([^`\s]{2,120})`{1,2}(?!`)")


def find_identifiers(text: str) -> list[tuple[int, int]]:
    """Where identifiers stand in a text: spans [start, end), in order, without overlap.

    Years, amounts, plain numbers of things and hyphenated words are none.

    >>> text = "Ticket #48213: PPR-7195 fails with 0x8007c540 in amber_inlet.py since v2.1, see"
    >>> [text[start:end] for start, end in find_identifiers(text)]
    ['48213', 'PPR-7195', '0x8007c540', 'amber_inlet.py', 'v2.1']
    >>> text = "Call flush() or Store.close() of @amber/inlet."
    >>> [text[start:end] for start, end in find_identifiers(text)]
    ['flush', 'Store.close', '@amber/inlet']
    >>> find_identifiers("In 1984 some 1,070 well-known men met McDonald and/or Bo, 1990-95.")
    []
    """
    found: list[tuple[int, int]] = []
    numbered = False
    for word in _PERHAPS.finditer(text):
        numbered = numbered or word[0][0].isdigit()
        for match in _IDENTIFIER.finditer(text, *word.span()):
            found.append(match.span("ticket") if match["ticket"] else match.span())
    if numbered:
        spans = (match.span(match.lastgroup or 0) for match in _NUMBERED.finditer(text))
        found += (s for s in spans if not any(s[0] < end and start < s[1] for start, end in found))
        found.sort()
    return found


def quoted_identifiers(text: str) -> list[tuple[int, int]]:
    """Where a text as written marks one word as code: spans [start, end) without the marks.

    >>> text = "run `scikit-learn` and `a b`"
    >>> [text[start:end] for start, end in quoted_identifiers(text)]
    ['scikit-learn']
    """
    return [match.span(1) for match in _QUOTED.finditer(text)] if "`" in text else []


def values(text: str) -> list[str]:
    """Values of pairs key=value that are written like names.

    >>> values("user='Ada Byron' town=London n=3 mode=off")
    ['Ada Byron', 'London']
    """
    found = _VALUE.finditer(text) if "=" in text else ()
    said = (match[1] or match[2] or match[3] for match in found)
    return [value for value in said if value != value.lower()]
