"""Second factors: one-time codes of an authenticator app (RFC 6238), and codes for when it is lost."""

import hmac
import secrets

import pyotp

STEP_S = 30
WINDOW = 1
"""Steps before and after now whose codes are taken too: clocks differ."""

RECOVERY_CODES = 10


def new_secret() -> str:
    """Return a secret to be kept by the app and by us."""
    return pyotp.random_base32()


def uri(secret: str, *, email: str, issuer: str) -> str:
    """Return the address that an app reads from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=issuer)


def step_of(secret: str, code: str, *, now: float, after: int) -> int | None:
    """Return the step that a code belongs to, None for a wrong one.

    Parameters
    ----------
    secret : of the app
    code : as typed; blanks do not count
    now : seconds since 1970 UTC
    after : last step that a code was used of: codes count once

    Examples
    --------
    >>> secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    >>> code = pyotp.TOTP(secret).at(3_000)
    >>> step_of(secret, code, now=3_010, after=0), step_of(secret, code, now=3_010, after=100)
    (100, None)
    """
    typed = "".join(code.split())
    totp = pyotp.TOTP(secret)
    current = int(now) // STEP_S
    found = None
    for step in range(current - WINDOW, current + WINDOW + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), typed.encode()) and step > after:
            found = step
    return found


def new_recovery_codes() -> list[str]:
    """Return codes that each stand in for the app once."""
    return [f"{secrets.token_hex(4)}-{secrets.token_hex(4)}" for _ in range(RECOVERY_CODES)]
