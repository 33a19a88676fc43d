"""Questions with judged passages: reading, checking, writing them."""
