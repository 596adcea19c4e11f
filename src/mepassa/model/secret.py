"""A secret is a type that will not print itself."""

from hmac import compare_digest


class SecretBytes:
    """Private bytes: hidden in `repr`, compared in constant time, never a dictionary key.

    What Python cannot promise is that the memory is wiped; drop references as early as you can.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        self._raw = bytes(raw)

    def expose(self) -> bytes:
        """The bytes themselves: the one door, easy to search for."""
        return self._raw

    def __len__(self) -> int:
        return len(self._raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretBytes) and compare_digest(self._raw, other._raw)

    __hash__ = None  # type: ignore[assignment]  # secrets are not dictionary keys

    def __repr__(self) -> str:
        return f"<secret, {len(self._raw)} bytes>"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not pickled")
