"""What the client can ask about people, machines, their organisations, and what they did."""

from collections.abc import Iterator
from typing import TypeVar

from pydantic import BaseModel

from gridagora.client.transport import Transport
from gridagora.service.api.audit import AuditEntry
from gridagora.service.api.clients import ClientChange, ClientState, NewClient, NewSecret
from gridagora.service.api.me import Code, Myself, NewPassword, Offered, Proof, RecoveryCodes
from gridagora.service.api.organisations import NewOrganisation, OrganisationChange, OrganisationState
from gridagora.service.api.users import FirstPassword, NewUser, UserChange, UserState
from gridagora.service.models.jobs import JobState

Model = TypeVar("Model", bound=BaseModel)


class People:
    """Who may do what on a platform."""

    def __init__(self, api: Transport) -> None:
        self._api = api

    # --- oneself ----------------------------------------------------------------------------------

    def me(self) -> Myself:
        """Return who one is, and how far one's rights go."""
        return self._api.get("/me", Myself)

    def change_password(self, old: str, new: str) -> None:
        """Change one's password; other sessions end."""
        self._api.send("POST", "/me/password", json=NewPassword(old_password=old, new_password=new))

    def offer_totp(self, password: str, *, totp: str = "") -> Offered:
        """Begin to set up a second factor; ``totp`` is the code of the one that there is."""
        return self._api.post("/me/totp", Proof(password=password, totp=totp), Offered)

    def confirm_totp(self, code: str) -> list[str]:
        """Confirm a second factor by its first code; return the recovery codes."""
        return self._api.post("/me/totp/confirm", Code(code=code), RecoveryCodes).recovery_codes

    # --- organisations ----------------------------------------------------------------------------

    def organisations(self) -> Iterator[OrganisationState]:
        """Yield organisations."""
        return self._api.pages("/organisations", OrganisationState)

    def organisation(self, id: str) -> OrganisationState:
        """Return an organisation."""
        return self._api.get(f"/organisations/{id}", OrganisationState)

    def add_organisation(self, new: NewOrganisation) -> OrganisationState:
        """Add an organisation."""
        return self._api.post("/organisations", new, OrganisationState)

    def change_organisation(self, one: OrganisationState, change: OrganisationChange) -> OrganisationState:
        """Change an organisation as one has seen it."""
        path = f"/organisations/{one.id}"
        return self._change(path, change, OrganisationState, version=one.version)

    # --- people -----------------------------------------------------------------------------------

    def users(self) -> Iterator[UserState]:
        """Yield people."""
        return self._api.pages("/users", UserState)

    def user(self, id: str) -> UserState:
        """Return a person."""
        return self._api.get(f"/users/{id}", UserState)

    def add_user(self, new: NewUser) -> FirstPassword:
        """Add a person; the password of the first sign-in is shown this once."""
        return self._api.post("/users", new, FirstPassword)

    def change_user(self, one: UserState, change: UserChange) -> UserState:
        """Change a person as one has seen them."""
        return self._change(f"/users/{one.id}", change, UserState, version=one.version)

    def reset_user(self, id: str) -> FirstPassword:
        """Let a person begin anew who lost password or second factor."""
        return self._api.post(f"/users/{id}/reset", None, FirstPassword)

    # --- machines ---------------------------------------------------------------------------------

    def machines(self) -> Iterator[ClientState]:
        """Yield machine clients."""
        return self._api.pages("/clients", ClientState)

    def machine(self, id: str) -> ClientState:
        """Return a machine client."""
        return self._api.get(f"/clients/{id}", ClientState)

    def add_machine(self, new: NewClient) -> NewSecret:
        """Add a machine client; its secret is shown this once."""
        return self._api.post("/clients", new, NewSecret)

    def change_machine(self, one: ClientState, change: ClientChange) -> ClientState:
        """Change a machine client as one has seen it."""
        return self._change(f"/clients/{one.id}", change, ClientState, version=one.version)

    def renew_secret(self, id: str) -> NewSecret:
        """Give a machine client a new secret; the old one ends."""
        return self._api.post(f"/clients/{id}/secret", None, NewSecret)

    # --- the audit log ----------------------------------------------------------------------------

    def audit(self, *, actor: str | None = None) -> Iterator[AuditEntry]:
        """Yield entries of the audit log, the newest first."""
        return self._api.pages("/audit", AuditEntry, actor=actor)

    def verify_audit(self) -> JobState:
        """Check that the audit log is whole, in a job."""
        return self._api.post("/audit/verifications", None, JobState)

    def _change(self, path: str, change: BaseModel, answer: type[Model], *, version: int) -> Model:
        headers = {"If-Match": f'"{version}"'}
        told = self._api.send("PATCH", path, json=change, headers=headers)
        return answer.model_validate_json(told.content)
