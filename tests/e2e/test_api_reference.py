"""The reference of the API keeps up with it: every endpoint with its right, and no other."""

from pathlib import Path

from gridagora.service.api import ROUTERS
from gridagora.service.api.v1 import ROUTERS as MARKET_ROUTERS
from gridagora.service.auth.rights import RIGHTS, ROLES
from gridagora.service.routes import routes_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "api.md"


def endpoints():
    """Return the rows of the table of endpoints."""
    rows = []
    for route in routes_of([*MARKET_ROUTERS, *ROUTERS]):
        for method in sorted(route.methods):
            right = f"`{route.action}`" if route.action else "everybody"
            rows.append(f"| `{method} {route.path}` | {route.summary or route.name} | {right} |")
    return rows


def rights():
    """Return the rows of the table of rights."""
    words = {"NONE": "-", "OWN": "own", "ORGANISATION": "organisation", "AREA": "area", "ALL": "all"}
    return [
        f"| `{action}` | " + " | ".join(words[reach[role].name] for role in ROLES) + " |"
        for action, reach in RIGHTS.items()
    ]


def test_the_page_has_every_endpoint_and_right():
    told = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    expected = [*endpoints(), *rights()]
    assert told == expected, "put these rows into docs/reference/api.md:\n" + "\n".join(expected)
