"""Parties of a bill: names, addresses and bank accounts, and what is wrong with them."""

import re
from dataclasses import dataclass, fields

OPERATOR = "operator"
"""Name under which a parties file tells who writes the bills."""

RETAILER = "upstream"
"""Name of the retailer in the trades of a run."""

IBAN_LETTERS = {
    **dict.fromkeys(("NO",), 15),
    **dict.fromkeys(("BE",), 16),
    **dict.fromkeys(("DK", "FI", "NL"), 18),
    **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "LT", "LU", "XK"), 20),
    **dict.fromkeys(("CH", "HR", "LI", "LV"), 21),
    **dict.fromkeys(("BG", "DE", "GB", "GG", "IE", "IM", "JE", "ME", "RS", "VA"), 22),
    **dict.fromkeys(("GI",), 23),
    **dict.fromkeys(("AD", "CZ", "ES", "MD", "RO", "SE", "SK"), 24),
    **dict.fromkeys(("PT",), 25),
    **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("FR", "GR", "IT", "MC", "SM"), 27),
    **dict.fromkeys(("AL", "CY", "HU", "PL"), 28),
    **dict.fromkeys(("MT",), 31),
}
"""Letters of an IBAN by country of Europe (ISO 13616 registry); of others only the check digits are known."""

LONGEST = 140
"""Letters of a name or a line of an address."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Party:
    """Who writes or gets a bill; what is not known is empty."""

    participant: str
    name: str
    street: str = ""
    postcode: str = ""
    city: str = ""
    country: str = ""
    vat_id: str = ""
    iban: str = ""
    bic: str = ""

    @property
    def address(self) -> tuple[str, ...]:
        """Lines below the name."""
        place = f"{self.postcode} {self.city}".strip()
        return tuple(line for line in (self.street, place, self.country) if line)


COLUMNS = tuple(field.name for field in fields(Party))
"""Columns of a parties file."""


def compact(text: str) -> str:
    """Return an IBAN or BIC as machines write it: capitals without spaces.

    >>> compact("de89 3704 0044 0532 0130 00")
    'DE89370400440532013000'
    """
    return "".join(text.split()).upper()


def iban_error(iban: str) -> str | None:
    """Return why an IBAN cannot be one, or None (ISO 13616: country, letters, check digits mod 97).

    >>> iban_error("DE89370400440532013000"), iban_error("DE89370400440532013001")
    (None, 'its check digits do not fit')
    """
    if not re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", iban, flags=re.ASCII):
        return "is not two letters, two digits and 11 to 30 letters or digits"
    wanted = IBAN_LETTERS.get(iban[:2])
    if wanted is not None and len(iban) != wanted:
        return f"has {len(iban)} letters, of this country {wanted}"
    digits = "".join(str(int(letter, 36)) for letter in iban[4:] + iban[:4])
    return None if int(digits) % 97 == 1 else "its check digits do not fit"


def bic_error(bic: str) -> str | None:
    """Return why a BIC cannot be one, or None (ISO 9362).

    >>> bic_error("COBADEFFXXX"), bic_error("COBADE")
    (None, 'is not 8 or 11 letters and digits')
    """
    right = re.fullmatch(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?", bic, flags=re.ASCII)
    return None if right else "is not 8 or 11 letters and digits"


def party_errors(party: Party) -> list[tuple[str, str, str]]:
    """Return every error of a party: column, reason and what mends it.

    >>> party_errors(Party(participant="ann", name="", iban="DE00"))[0]
    ('name', 'is missing', 'write who it is')
    """
    found = [] if party.name else [("name", "is missing", "write who it is")]
    for name in COLUMNS:
        text = getattr(party, name)
        if not text.isprintable():
            found.append((name, "holds a control character", "write one line of plain text"))
        elif len(text) > LONGEST:
            found.append((name, f"has more than {LONGEST} letters", "shorten it"))
    if party.country and not re.fullmatch(r"[A-Z]{2}", party.country, flags=re.ASCII):
        found.append(("country", "is no country code", "write two capital letters such as DE"))
    if party.iban and (reason := iban_error(party.iban)):
        found.append(("iban", reason, "copy it from the bank statement"))
    if party.bic and (reason := bic_error(party.bic)):
        found.append(("bic", reason, "copy it from the bank statement, or leave it empty"))
    return found
