"""Keys: what a text is known by where comparing the text itself would cost too much."""

import hashlib


def key_of(text: str) -> int:
    """A stable 64-bit hash of a text, the same in every process and version."""
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "little")
