"""Adapters that carry bytes: libp2p, ICE and QUIC, the mailbox client, loopback. They do not decide."""
