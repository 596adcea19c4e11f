"""A secret is a type that will not print itself."""

from hmac import compare_digest


def silent(value: object) -> str:
    """The `__repr__` of what holds a secret as plain bytes, because it is written on a wire: its class and no more."""
    return f"<{type(value).__name__}>"


class HandedOver:
    """A secret that is taken once: whoever keeps the holder, a configuration or a caller's frame, keeps nothing."""

    __slots__ = ("_secret",)

    def __init__(self, secret: "SecretBytes | None" = None) -> None:
        self._secret = secret

    def take(self) -> "SecretBytes | None":
        """The secret the first time, None ever after."""
        secret, self._secret = self._secret, None
        return secret


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
