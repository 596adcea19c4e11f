"""What the storm's law says (tests/oracle/storm.py), on every run of the tests with another seed."""

import pytest

from fuzz.conversation import report
from tests.oracle.official import NEWEST, OLDER, Oracle
from tests.oracle.storm import storms


@pytest.mark.slow
def test_five_thousand_messages_in_bad_weather_keep_the_law(oracle: Oracle, older_oracle: Oracle, seed: int) -> None:
    outcome = storms({NEWEST: oracle, OLDER: older_oracle}, seed, messages=5_000, conversations=8)
    print(report(outcome))
    counts = outcome.counts
    assert counts["messages"] >= 5_000
    assert counts["conversations settled"] == 8
    assert counts["opened"] >= 0.6 * counts["messages"]
    for happened in (
        "lost",
        "restarts",
        "re-registered",
        "sessions lost",
        "prekeys rotated and forgotten",
        "asked again",
    ):
        assert counts[happened] > 0
    for kind in ("refused: ", "damaged, refused: ", "repeated, refused: "):
        assert [what for what in counts if what.startswith(kind) and "official" not in what]
        assert [what for what in counts if what.startswith(f"{kind}official")]
    assert min(outcome.epochs) >= 10
