"""What an endpoint asks for: the right to an action, and then whether it goes as far as one thing."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from gridagora.errors import require
from gridagora.service.auth.rights import RIGHTS, Identity, Reach, Subject, reach_of, within
from gridagora.service.problems import Problem

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Refusal(Problem):
    """The problem of a missing right, which the audit log notes: who, and what was asked for."""

    def __init__(self, identity: Identity, action: str, *, fix: str = "") -> None:
        self.identity, self.action = identity, action
        told = f"{identity.role} {identity.id} may not do {action} here"
        super().__init__("forbidden", f"{told}; {fix}" if fix else told)


class Caller:
    """Who sent a request, with the right that the endpoint asks for.

    An endpoint whose right does not go to all must ask of each thing whether it is near enough, with
    `require`, `may` or `only`, or look at ``reach`` and select by it; one that forgot answers with an error.

    Parameters
    ----------
    identity : who asks
    action : what the endpoint does
    """

    __slots__ = ("_reach", "action", "asked", "identity")

    def __init__(self, identity: Identity, action: str) -> None:
        self.identity = identity
        self.action = action
        self._reach = reach_of(identity, action)
        self.asked = self._reach is Reach.ALL
        if self._reach is Reach.NONE:
            raise self.refusal()

    @property
    def reach(self) -> Reach:
        """How far the right goes; who looks at it selects by it."""
        self.asked = True
        return self._reach

    def may(self, subject: Subject) -> bool:
        """Tell whether the right goes as far as a thing."""
        self.asked = True
        return within(self.identity, self._reach, subject)

    def require(self, subject: Subject, *, fix: str = "") -> None:
        """Raise a problem, which is noted in the audit log, unless the right goes as far as a thing.

        ``fix`` is what whoever is refused can ask for instead.
        """
        if not self.may(subject):
            raise self.refusal(fix)

    def only(self, things: Iterable[T], subject_of: Callable[[T], Subject]) -> list[T]:
        """Return those of the things that the right goes as far as."""
        self.asked = True
        return [thing for thing in things if within(self.identity, self._reach, subject_of(thing))]

    def refusal(self, fix: str = "") -> Problem:
        """Return the problem of a missing right."""
        if self.identity.limited:
            return Problem("setup_required", "set your password and second factor under /api/v1/me first")
        return Refusal(self.identity, self.action, fix=fix)


class Needs:
    """Dependency of an endpoint: the right to an action; its value is the `Caller`."""

    def __init__(self, action: str) -> None:
        require(action in RIGHTS, f"{action} is no action of the table of rights")
        self.action = action

    async def __call__(self, connection: HTTPConnection) -> Caller:
        """Return the caller, whom the route has found before it read the body."""
        return cast(Caller, connection.state.caller)


def needs(action: str) -> Any:
    """Return what to annotate a parameter with: ``caller: Annotated[Caller, needs("bids.read")]``."""
    return Depends(Needs(action))


def public(endpoint: F) -> F:
    """Say of an endpoint that everybody may use it, also without a token; put it below the route."""
    endpoint.public = True  # type: ignore[attr-defined]
    return endpoint
