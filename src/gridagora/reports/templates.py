"""The page's own files: templates, style and scripts that lie in the package."""

import pkgutil
from string import Template

from gridagora.errors import require


def asset(name: str) -> str:
    """Return the text of a file of ``reports/assets``.

    >>> asset("nodal.html").lstrip().startswith("<h3>")
    True
    """
    data = pkgutil.get_data("gridagora.reports", f"assets/{name}")
    require(data is not None, f"the package lacks reports/assets/{name}")
    return (data or b"").decode("utf-8")


def filled(name: str, **parts: str) -> str:
    """Return a template of ``reports/assets`` with its parts, which must be escaped, in their places.

    >>> "of two" in filled("nodal.html", nodal_note="One of two.")
    True
    """
    return Template(asset(name)).substitute(parts)
