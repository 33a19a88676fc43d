"""How many failures are too many."""

from __future__ import annotations

from graphmem.base.counts import counted
from graphmem.errors import TooManyFailures


def check_failures(failed: int, attempted: int, limit: float) -> None:
    """Stop when too many passages failed; call it after each.

    Args:
        failed: Passages that failed so far.
        attempted: Passages that were tried so far.
        limit: Below 1 a share, judged from the twentieth passage on; from 1 a number that may fail;
            0 lets none fail.

    Raises:
        TooManyFailures: There are more.

    >>> check_failures(1, 1, 0.1)
    """
    over = (
        failed > limit
        if limit >= 1 or not limit
        else attempted >= 20 and failed > limit * attempted
    )
    if over:
        allowed = f"{limit:.0%}" if limit < 1 else f"{limit:g}"
        raise TooManyFailures(
            f"{failed} of {counted(attempted, 'passage')} failed, more than the {allowed} allowed; "
            "what succeeded is kept: run the same command again to try the failed ones"
        )
