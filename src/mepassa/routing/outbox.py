"""The envelopes that wait for one device, in order; only the first few are moved at once."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from mepassa.model.ids import EnvelopeId
from mepassa.routing.actions import Waiting
from mepassa.routing.events import EnvelopeKind
from mepassa.routing.times import ACTIVE_WINDOW


@dataclass(slots=True)
class Item:
    envelope: EnvelopeId
    kind: EnvelopeKind
    since: float
    by_server: bool = False
    in_flight: dict[int, float] = field(default_factory=dict)
    """Path -> until when its acknowledgement is awaited."""
    lapsed: dict[int, float] = field(default_factory=dict)
    """Path that did not acknowledge -> when the same path may be tried again."""
    lapses: int = 0
    """How often a path did not acknowledge it."""
    depositing: bool = False
    deposit_after: float = 0.0
    deposit_failures: int = 0
    refusal: Waiting | None = None
    """Why the last deposit did not work."""
    reported: Waiting | None = None

    def is_awaited(self, now: float) -> bool:
        """A path has it and still has time to acknowledge it."""
        return any(until > now for until in self.in_flight.values())

    @property
    def is_stored_only(self) -> bool:
        return self.by_server or self.kind is EnvelopeKind.REQUEST

    @property
    def is_written(self) -> bool:
        """A person wrote it and nobody has sent it to the server by hand: it may start an attempt."""
        return self.kind is EnvelopeKind.PERSON and not self.by_server


class Outbox:
    def __init__(self) -> None:
        self._items: dict[EnvelopeId, Item] = {}

    def __len__(self) -> int:
        return len(self._items)

    def get(self, envelope: EnvelopeId) -> Item | None:
        return self._items.get(envelope)

    def add(self, item: Item) -> None:
        self._items.setdefault(item.envelope, item)

    def remove(self, envelope: EnvelopeId) -> Item | None:
        return self._items.pop(envelope, None)

    def put_first(self, item: Item) -> None:
        """The person waits for this one: it need not stand in the queue."""
        self._items = {item.envelope: item} | self._items

    def __iter__(self) -> Iterator[Item]:
        """Those that are moved now."""
        return iter(list(islice(self._items.values(), ACTIVE_WINDOW)))
