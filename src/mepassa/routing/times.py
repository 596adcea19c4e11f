"""Every time and bound of routing, with its reason. Seconds. `tests/routing/test_times.py` checks that they add up."""

SIGNAL_AFTER_S = 0.3
"""A dial to an address that still holds is through by then (three round trips of 80 ms); later, asking the home is quicker."""
HOLD_RELAY_S = 0.7
"""Relay pairs wait this long for a direct one: hole punching took 0.02-0.54 s wherever it worked at all."""
INSURANCE_S = 4.0
"""A message whose path is not there by now goes to the recipient's home as well: nobody waits for a network that fails."""
ATTEMPT_S = 10.0
"""A signal lives ten seconds at the home; an answer after that answers nobody."""
OFFLINE_MEMORY_S = 30.0
"""How long "no device connected" is believed: shorter than it takes a person to be missed, longer than a burst of typing."""

ACK_SRTTS = 4
ACK_MIN_S = 0.5
"""The recipient commits to disk before it acknowledges: a slow disk is no silent path."""
ACK_MAX_S = 3.0
UNKNOWN_SRTT_S = 0.25
"""A path that has not been measured yet: the slow end of a mobile network, so one second until it counts as silent."""
SILENT_PATH_CLOSE_S = 10.0
"""A path that owed an acknowledgement and gave no sign of life this long is closed."""

GATHER_BUDGET_S = 0.2
"""What gathering takes before an offer leaves: one round trip to a STUN server, two to a relay. Where UDP is blocked it is
longer (`transports.ice.gathering`), which the goals still bear: `tests/routing/test_times.py` adds it up."""

BACKOFF_BASE_S = 2.0
BACKOFF_CAP_S = 300.0
BACKOFF_MIN_S = 0.25
"""Full jitter may say zero; nothing is tried again in the same instant."""
RECHECK_S = 60.0
"""What waits for something that only a person can change is looked at again this often."""
MAILBOX_FULL_S = 60.0
"""A full mailbox empties when its owner comes back, not within seconds."""

DIAL_FAILURES = 3
DIAL_WINDOW_S = 60.0
"""Failed dial attempts a minute and contact: addresses that come from others must not make us a scanner."""
MAX_ADDRESSES = 16
"""Addresses remembered or taken from one signal or record."""

OFFERS_ANSWERED = 2
OFFERS_WINDOW_S = 3600.0
"""Offers an hour that are answered though no envelope follows: each tells the other side where we are."""

PRESENCE_EVERY_S = 600.0
"""DHT look-ups when a chat opens: they cost others work and tell a stranger that somebody asked."""
PRESENCE_HOME_AWAY_S = 20.0
"""The same while the recipient's home is away and something waits: the DHT is then the only way left, and who comes back
is to be found before the sender gives up looking at the clock."""

UPGRADE_AFTER_S = 3.0
"""A relayed path is tried to be bettered once the first messages are through."""
UPGRADE_CAP_S = 600.0
ACTIVE_S = 600.0
"""A chat without a message for this long is not worth bettering a path for."""
LINGER_S = 10.0
"""A relayed path is kept beside the direct one that replaces it: the other side may still be sending on it."""
IDLE_S = 30.0
"""Under `data_saver` a path that the other side opened is closed after this silence."""

SEND_WINDOW = 16
"""Envelopes unacknowledged on one path: enough to fill 36 KiB × 16 ≈ 0.6 MB of pipe, few enough to move elsewhere."""
DEPOSIT_WINDOW = 32
ACTIVE_WINDOW = 64
"""Envelopes that are being moved at once; the others wait in order, however many there are."""


def acknowledge_within_s(srtt_s: float | None) -> float:
    """How long a path may take to acknowledge before the same envelope goes another way."""
    return min(max(ACK_SRTTS * (UNKNOWN_SRTT_S if srtt_s is None else srtt_s), ACK_MIN_S), ACK_MAX_S)


def backoff_s(failures: int, dice: float, *, base_s: float = BACKOFF_BASE_S, cap_s: float = BACKOFF_CAP_S) -> float:
    """Full jitter before try number `failures` + 1; `dice` in [0, 1)."""
    return max(BACKOFF_MIN_S, dice * min(cap_s, base_s * 2.0 ** min(failures, 30)))
