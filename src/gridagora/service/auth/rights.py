"""Rights: one table of who may do what to whose (MARKETS.md, section 10).

Regulator reads all; administrator reads all and operates; grid operator (dso) reads aggregates of its area
and its own deals; retailer its customers; aggregator its portfolio; prosumer itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Literal, get_args

from gridagora.errors import require

Role = Literal["administrator", "regulator", "dso", "retailer", "aggregator", "prosumer"]
ROLES: tuple[Role, ...] = get_args(Role)

EVERYWHERE = "*"
"""Area of a grid operator that has the whole market."""


class Reach(IntEnum):
    """How far a right goes; each goes as far as the one before, and further."""

    NONE = 0
    OWN = 1
    ORGANISATION = 2
    AREA = 3
    ALL = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who asks.

    Parameters
    ----------
    id : of the person or machine client, e.g. ``"user-4f..."``
    role, organisation : what they act as, and for whom
    participants : of the market that are theirs
    areas : zones of a grid operator, ``"*"`` for the whole market
    handed : participants that are somebody's of their own: whoever registered them has no more to do there
    scopes : patterns of actions that it is held to, e.g. ``"bids.*"``; None: all
    limited : may only see to its own account: a password or second factor is still to be set
    """

    id: str
    role: Role
    organisation: str
    participants: frozenset[str] = frozenset()
    areas: frozenset[str] = frozenset()
    handed: frozenset[str] = frozenset()
    scopes: tuple[str, ...] | None = None
    limited: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """Whose a thing is.

    Parameters
    ----------
    owner : identity that made it, "" for none
    registrar : who registered the participant, while it is where it was registered; only a prosumer does so
        for itself, others for who may leave, and nobody once somebody has it as their own
    participants : of the market that it is about
    organisations : that it belongs to: the participant's own, aggregator, retailer, both ends of a deal
    areas : zones that it lies in, with all zones above
    """

    owner: str = ""
    registrar: str = ""
    participants: frozenset[str] = frozenset()
    organisations: frozenset[str] = frozenset()
    areas: frozenset[str] = frozenset()


NOBODYS = Subject()
"""A thing of the market as a whole."""

_WORDS = {"-": Reach.NONE, "own": Reach.OWN, "org": Reach.ORGANISATION, "area": Reach.AREA, "all": Reach.ALL}

_TABLE = """
action               administrator regulator dso  retailer aggregator prosumer
me.read              all           all       all  all      all        all
me.write             all           all       all  all      all        all
organisations.read   all           all       org  org      org        org
organisations.write  all           -         -    -        -          -
users.read           all           all       org  org      org        own
users.write          all           -         -    -        -          -
clients.read         all           all       org  org      org        own
clients.write        all           -         org  org      org        own
audit.read           all           all       -    -        -          -
jobs.read            all           all       own  own      own        own
jobs.write           all           -         own  own      own        own
market.read          all           all       all  all      all        all
market.operate       all           -         -    -        -          -
participants.read    all           all       -    org      org        own
participants.write   all           -         -    org      org        own
connections.read     all           all       area org      org        own
connections.write    all           -         area -        -          -
assets.read          all           all       area org      org        own
assets.write         all           -         -    -        org        own
assets.qualify       all           -         area -        -          -
products.write       all           -         -    -        -          -
tariffs.write        all           -         -    org      -          -
bids.read            all           all       own  org      org        own
bids.write           -             -         own  own      org        own
trades.read          all           all       own  org      org        own
aggregates.read      all           all       area -        -          -
flex_requests.write  -             -         org  -        -          -
flex_offers.read     all           all       org  org      org        own
flex_offers.write    -             -         -    own      org        own
flex_orders.read     all           all       org  org      org        own
activations.write    all           -         org  -        -          -
forecasts.read       all           all       -    org      org        own
forecasts.write      all           -         -    org      org        own
limits.read          all           all       area org      org        own
limits.write         all           -         area -        -          -
readings.read        all           all       own  org      org        own
readings.write       all           -         area org      org        -
settlements.read     all           all       own  org      org        own
disputes.read        all           all       own  org      org        own
disputes.write       all           -         own  org      org        own
disputes.decide      all           -         -    -        -          -
invoices.read        all           all       org  org      org        own
accounts.read        all           all       org  org      org        own
accounts.write       all           -         -    -        -          -
notifications.read   all           all       own  org      org        own
"""


def _read(text: str) -> dict[str, dict[Role, Reach]]:
    head, *lines = text.strip().splitlines()
    require(tuple(head.split()[1:]) == ROLES, "the table of rights names the roles in their order")
    rows = {action: words for action, *words in map(str.split, lines)}
    return {
        action: {role: _WORDS[word] for role, word in zip(ROLES, words, strict=True)}
        for action, words in rows.items()
    }


RIGHTS: Mapping[str, Mapping[Role, Reach]] = _read(_TABLE)
"""For each action how far the right of each role goes."""

OF_ONESELF = frozenset({"me.read", "me.write"})
"""What a limited identity may still do."""


def reach_of(identity: Identity, action: str) -> Reach:
    """Return how far an identity's right to an action goes.

    >>> reach_of(Identity(id="user-1", role="dso", organisation="grid"), "limits.write").name
    'AREA'
    """
    if identity.limited and action not in OF_ONESELF:
        return Reach.NONE
    if identity.scopes is not None and not any(fnmatchcase(action, scope) for scope in identity.scopes):
        return Reach.NONE
    return RIGHTS[action][identity.role]


def may(identity: Identity, action: str, subject: Subject) -> bool:
    """Tell whether an identity may do an action to a thing.

    Examples
    --------
    >>> ann = Identity(id="user-1", role="prosumer", organisation="homes", participants=frozenset({"h1"}))
    >>> [may(ann, "bids.read", Subject(participants=frozenset({home}))) for home in ("h1", "h2")]
    [True, False]
    """
    return within(identity, reach_of(identity, action), subject)


def _made(identity: Identity, subject: Subject) -> bool:
    """Tell whether an identity made a thing, or registered whose it is and still has to do with them."""
    if identity.id == subject.owner:
        return True
    in_charge = identity.role == "prosumer" and identity.id == subject.registrar
    return in_charge and identity.handed.isdisjoint(subject.participants)


def within(identity: Identity, reach: Reach, subject: Subject) -> bool:
    """Tell whether a thing lies as near to an identity as a reach asks for."""
    if reach is Reach.ALL:
        return True
    if reach >= Reach.OWN and (
        _made(identity, subject) or not identity.participants.isdisjoint(subject.participants)
    ):
        return True
    if reach >= Reach.ORGANISATION and identity.organisation in subject.organisations:
        return True
    return reach >= Reach.AREA and (
        EVERYWHERE in identity.areas or not identity.areas.isdisjoint(subject.areas)
    )
