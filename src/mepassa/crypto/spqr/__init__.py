"""SPQR, the Sparse Post-Quantum Ratchet, version 1 (docs/protocol/session.md, "SPQR").

`message` its bytes · `erasure` chunks · `incremental_mlkem` the split KEM · `authenticator` · `braid` the state machine,
`braid_record` its saved form · `chain` per-message keys · `ratchet` all of it for one session.
"""
