"""What an operator of the service can choose."""

import time
from collections.abc import Callable
from dataclasses import dataclass

MIB = 1 << 20
DAY_S = 86_400


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Choices of the service; all have values that can be kept.

    Parameters
    ----------
    issuer : name of this platform in tokens and authenticator apps
    access_s, session_s : lifetimes of an access token and of a person's session, s
    recheck_s : so long a token that was found good is not looked up again where several processes serve: what
        one of them revokes ends at the others within it
    key_s : age at which the key that signs tokens is replaced, s
    people_need_totp : people who have no second factor may only set one up
    argon2_kib, argon2_passes : memory and passes of the password hash
    hash_threads, hash_queue : password hashes that are worked on at once, and that may wait
    rate, burst : requests per second of one client, and how many at once
    anonymous_rate, anonymous_burst : the same of one network address without a token
    refusal_rate, refusal_burst : the same of requests that somebody has no right to
    body_bytes : largest body of a request whose route says nothing else
    body_wait_s : a body must be there after so long, s
    origins : other web origins whose pages may call the API; none as a rule
    https : the service is reached by HTTPS, so browsers are told to insist on it
    clock : seconds since 1970 UTC; always the real one, also where the market's runs fast

    Examples
    --------
    >>> Settings().access_s, Settings(origins=("https://market.example",)).origins
    (600, ('https://market.example',))
    """

    issuer: str = "GridAgora"
    access_s: int = 600
    session_s: int = 14 * DAY_S
    recheck_s: float = 5.0
    key_s: int = 30 * DAY_S
    people_need_totp: bool = True
    argon2_kib: int = 19 * 1024
    argon2_passes: int = 2
    hash_threads: int = 2
    hash_queue: int = 64
    rate: float = 2_000.0
    burst: int = 4_000
    anonymous_rate: float = 10.0
    anonymous_burst: int = 60
    refusal_rate: float = 1.0
    refusal_burst: int = 100
    body_bytes: int = MIB
    body_wait_s: float = 30.0
    origins: tuple[str, ...] = ()
    https: bool = False
    clock: Callable[[], float] = time.time
