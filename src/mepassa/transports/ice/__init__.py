"""Paths by ICE: candidates and the home's relay (aioice), QUIC on the path found (aioquic). docs/protocol/ice.md."""

from mepassa.transports.ice.attempt import AdmitAddress, IceAttempt, IceConfig, LocalCandidates
from mepassa.transports.ice.candidates import (
    CandidateKind,
    IceCandidate,
    RemoteSide,
    decode_candidate,
    encode_candidate,
    is_controlling,
)
from mepassa.transports.ice.certificate import QuicCertificate
from mepassa.transports.ice.errors import IceFailedError
from mepassa.transports.ice.path import IceFacts, IcePath
from mepassa.transports.ice.quic import QuicSession
from mepassa.transports.ice.servers import ServerRules
from mepassa.transports.ice.transport import IceTransport, link_binding

__all__ = [
    "AdmitAddress",
    "CandidateKind",
    "IceAttempt",
    "IceCandidate",
    "IceConfig",
    "IceFacts",
    "IceFailedError",
    "IcePath",
    "IceTransport",
    "LocalCandidates",
    "QuicCertificate",
    "QuicSession",
    "RemoteSide",
    "ServerRules",
    "decode_candidate",
    "encode_candidate",
    "is_controlling",
    "link_binding",
]
