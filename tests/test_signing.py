"""Signed links: who changed one, kept one too long, or made one, gets nothing. Time is told, not waited for."""

import base64
import hmac
from dataclasses import dataclass, field

import pytest

from modelyard import errors
from modelyard.signing import SecretKey, Signature, Signer, fresh_secret

SHA = "ab" * 32


@dataclass
class Ring:
    """Keys that are read, and the time."""

    keys: list[SecretKey] = field(default_factory=lambda: [SecretKey(1, b"1" * 32)])
    now: float = 1_700_000_000.0
    reads: int = 0

    def read(self) -> list[SecretKey]:
        self.reads += 1
        return self.keys

    def signer(self) -> Signer:
        return Signer(self.read, clock=lambda: self.now)


def signature(query: str) -> Signature:
    return Signature(**dict(pair.split("=", 1) for pair in query.split("&")))


def test_a_link_is_good_for_what_it_was_made_for_and_nothing_else() -> None:
    signer = Ring().signer()
    expires_at = signer.expiry(86_400)
    given = signature(signer.query("get", SHA, "a.safetensors", expires_at))

    assert expires_at == signer.check("get", SHA, "a.safetensors", given)
    for purpose, subject, label in [
        ("put", SHA, "a.safetensors"),
        ("get", "cd" * 32, "a.safetensors"),
        ("get", SHA, "b.safetensors"),
        ("get", SHA, ""),
    ]:
        with pytest.raises(errors.InvalidSignature):
            signer.check(purpose, subject, label, given)


def test_a_changed_link_is_refused_whatever_was_changed() -> None:
    signer = Ring().signer()
    good = signature(signer.query("get", SHA, "a", signer.expiry(60)))

    for key, expires, mac in [
        ("2", good.expires, good.signature),
        (good.key, str(int(good.expires) + 1), good.signature),
        *((good.key, good.expires, good.signature[:at] + "~" + good.signature[at + 1 :]) for at in range(22)),
        (good.key, good.expires, ""),
        (good.key, good.expires, good.signature + "="),
        ("", "", ""),
        ("x", "١٢", "é"),
        ("²", good.expires, good.signature),
        ("x", good.expires, good.signature),
        (good.key, "²", good.signature),
        (good.key, "x", good.signature),
        (good.key, "-1", good.signature),
        (good.key, "9" * 40, good.signature),
    ]:
        with pytest.raises(errors.InvalidSignature):
            signer.check("get", SHA, "a", Signature(key, expires, mac))


def test_the_last_character_has_one_spelling() -> None:
    """Base64 of 16 bytes leaves four bits that decoders ignore: a changed link must not pass by them."""
    signer = Ring().signer()
    good = signature(signer.query("get", SHA, "a", signer.expiry(60)))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    passed = []
    for last in alphabet:
        try:
            signer.check("get", SHA, "a", Signature(good.key, good.expires, good.signature[:-1] + last))
            passed.append(last)
        except errors.InvalidSignature:
            pass

    assert [good.signature[-1]] == passed


def test_the_same_link_is_made_all_hour_and_is_good_for_its_time_at_least() -> None:
    ring = Ring(now=7200.0 * 1000)
    signer = ring.signer()
    first = signer.query("get", SHA, "a", signer.expiry(86_400))
    ring.now += 3599
    last = signer.query("get", SHA, "a", signer.expiry(86_400))
    ring.now += 86_400
    signer.check("get", SHA, "a", signature(last))
    ring.now += 3600

    assert first == last
    with pytest.raises(errors.LinkExpired):
        signer.check("get", SHA, "a", signature(last))


def test_a_key_that_was_replaced_checks_until_its_end() -> None:
    ring = Ring()
    signer = ring.signer()
    old = signature(signer.query("get", SHA, "a", signer.expiry(86_400)))
    ring.keys = [SecretKey(1, b"1" * 32, ends_at=int(ring.now) + 100), SecretKey(2, b"2" * 32)]
    signer.refresh()
    fresh = signature(signer.query("get", SHA, "a", signer.expiry(86_400)))

    signer.check("get", SHA, "a", old)
    ring.now += 101
    signer.check("get", SHA, "a", fresh)

    assert ("1", "2") == (old.key, fresh.key)
    with pytest.raises(errors.LinkExpired):
        signer.check("get", SHA, "a", old)


def test_a_key_made_elsewhere_is_found_and_forged_ids_do_not_ask_the_database_each_time() -> None:
    ring = Ring()
    signer, other = ring.signer(), ring.signer()
    ring.keys = [*ring.keys, SecretKey(2, b"2" * 32)]
    other.refresh()
    link = signature(other.query("get", SHA, "a", other.expiry(60)))
    ring.now += 2

    signer.check("get", SHA, "a", link)
    reads = ring.reads
    for key in range(100, 200):
        with pytest.raises(errors.InvalidSignature):
            signer.check("get", SHA, "a", Signature(str(key), link.expires, link.signature))

    assert ring.reads - reads <= 1


def test_a_signature_has_128_bits() -> None:
    signer = Ring().signer()

    assert 22 == len(signature(signer.query("get", SHA, "a", 1_800_000_000)).signature)


def test_the_signature_is_the_documented_one() -> None:
    """Links are kept by clients: an update of the server must not refuse them."""
    signer = Ring().signer()
    mac = hmac.digest(b"1" * 32, f"get\n{SHA}\n1800000000\na".encode(), "sha256")[:16]
    text = base64.urlsafe_b64encode(mac).decode().rstrip("=")

    assert f"key=1&expires=1800000000&signature={text}" == signer.query("get", SHA, "a", 1_800_000_000)


@pytest.mark.parametrize(("ttl_seconds", "most"), [(60, 120), (3600, 7200), (86_400, 90_000)])
def test_a_link_is_good_for_its_time_and_not_much_longer(ttl_seconds: int, most: int) -> None:
    ring = Ring()
    signer = ring.signer()
    for now in (ring.now, ring.now + 0.5, 7200.0 * 1000, 7200.0 * 1000 - 0.1):
        ring.now = now
        assert now + ttl_seconds <= signer.expiry(ttl_seconds) <= now + most


def test_a_link_ends_with_the_second_that_it_names() -> None:
    ring = Ring()
    signer = ring.signer()
    given = signature(signer.query("get", SHA, "a", int(ring.now) + 60))

    ring.now += 59.9
    signer.check("get", SHA, "a", given)
    ring.now = 1_700_000_060.0

    with pytest.raises(errors.LinkExpired):
        signer.check("get", SHA, "a", given)


def test_a_secret_is_of_32_bytes_and_another_one_each_time() -> None:
    secrets = {fresh_secret() for _ in range(9)}

    assert ({32}, 9) == ({len(secret) for secret in secrets}, len(secrets))


@pytest.mark.parametrize(("expires_at", "is_read"), [(10**12 - 1, True), (10**12, False)])
def test_a_time_has_at_most_twelve_digits(expires_at: int, is_read: bool) -> None:
    signer = Ring().signer()
    made = signature(signer.query("get", SHA, "a", expires_at))

    if is_read:
        assert expires_at == signer.check("get", SHA, "a", made)
    else:
        with pytest.raises(errors.InvalidSignature):
            signer.check("get", SHA, "a", made)


def test_unknown_keys_are_looked_for_once_a_second() -> None:
    ring = Ring()
    signer = ring.signer()
    reads = []
    for now in (0.0, 0.999, 1.0, 1.5, 2.0):
        ring.now = 1_700_000_000.0 + now
        with pytest.raises(errors.InvalidSignature):
            signer.check("get", SHA, "a", Signature("7", "1700000000", ""))
        reads.append(ring.reads)

    assert [1, 1, 2, 2, 3] == reads
