"""Payment files against the schema of ISO 20022 and the rules of the European Payments Council."""

import re
from datetime import date
from decimal import Decimal
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from gridagora.billing import CreditTransfer, Party, bic_error, iban_error, pain_001, payment_code
from gridagora.billing.parties import IBAN_LETTERS, party_errors
from gridagora.billing.sepa import LARGEST, sepa_text, transfer_faults
from gridagora.errors import InputError

SCHEMA = etree.XMLSchema(
    etree.fromstring((files("sepaxml") / "schemas" / "pain.001.001.09.xsd").read_bytes())
)
"""The schema as another project ships it."""

SPACE = {"p": "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"}
DEBTOR = Party(
    participant="operator", name="Dorf & Söhne eG", iban="DE89370400440532013000", bic="COBADEFFXXX"
)
IBANS = [
    "DE89370400440532013000",
    "NL91ABNA0417164300",
    "FR1420041010050500013M02606",
    "GB29NWBK60161331926819",
    "AT611904300234573201",
    "BE68539007547034",
    "CH9300762011623852957",
    "ES9121000418450200051332",
    "IT60X0542811101000000123456",
    "PL61109010140000071219812874",
    "SE4550000000058398257466",
    "MT84MALT011000012345MTLCAST001S",
    "NO9386011117947",
    "TR330006100519786457841326",
    "BG80BNBG96611020345678",
    "GI75NWBK000000007099453",
    "HR1210010051863000160",
    "GR1601101250000000012300695",
    "LV80BANK0000435195001",
    "EE382200221020145685",
]
"""Examples of the ISO 13616 registry."""

TRANSFERS = st.lists(
    st.tuples(
        st.text(st.characters(codec="utf-8"), max_size=90),
        st.sampled_from(IBANS),
        st.sampled_from(["", "COBADEFF", "ABNANL2AXXX"]),
        st.integers(1, LARGEST // 10_000),
        st.text(st.characters(codec="utf-8"), max_size=200),
    ),
    min_size=1,
    max_size=6,
)


def transfer(**changes: object) -> CreditTransfer:
    ann = Party(participant="ann", name="Ann", iban=IBANS[1])
    return CreditTransfer(
        **({"identifier": "201606-0001", "creditor": ann, "amount": 12_340_000, "text": "June"} | changes)
    )


def pay(*transfers: CreditTransfer, debtor: Party = DEBTOR) -> bytes:
    return pain_001(
        debtor, transfers, message="GA-1", created="2016-07-01T00:00:00Z", execution=date(2016, 7, 4)
    )


@settings(deadline=None, max_examples=150)
@given(parts=TRANSFERS)
def test_every_file_is_valid_and_its_sums_are_right(parts: list[tuple[str, str, str, int, str]]) -> None:
    paid = [
        transfer(
            identifier=f"201606-{k:04d}",
            creditor=Party(participant=f"p{k}", name=name, iban=iban, bic=bic),
            amount=cents * 10_000,
            text=text,
        )
        for k, (name, iban, bic, cents, text) in enumerate(parts)
    ]
    root = etree.fromstring(pay(*paid))
    SCHEMA.assertValid(root)
    amounts = [Decimal(value.text) for value in root.iterfind(".//p:InstdAmt", SPACE)]
    assert amounts == [Decimal(cents) / 100 for *_, cents, _ in parts]
    for head in ("GrpHdr", "PmtInf"):
        assert Decimal(root.find(f".//p:{head}/p:CtrlSum", SPACE).text) == sum(amounts)
        assert root.find(f".//p:{head}/p:NbOfTxs", SPACE).text == str(len(parts))
    for value in root.iter():
        text = (value.text or "").strip()
        assert re.fullmatch(r"[A-Za-z0-9/?:().,'+ -]*", text), text
        assert not text.startswith("/")
        assert "//" not in text
    assert [value.text for value in root.iterfind(".//p:CdtrAcct//p:IBAN", SPACE)] == [p[1] for p in parts]


def test_what_a_credit_transfer_in_the_sepa_always_says() -> None:
    root = etree.fromstring(pay(transfer()))
    said = {"PmtMtd": "TRF", "SvcLvl/p:Cd": "SEPA", "ReqdExctnDt/p:Dt": "2016-07-04", "ChrgBr": "SLEV"}
    said |= {"EndToEndId": "201606-0001", "MsgId": "GA-1", "CreDtTm": "2016-07-01T00:00:00Z"}
    assert {path: root.find(f".//p:{path}", SPACE).text for path in said} == said
    assert root.find(".//p:InstdAmt", SPACE).get("Ccy") == "EUR"


def test_a_debtor_without_bic_is_valid_too() -> None:
    debtor = Party(participant="operator", name="Us", iban=IBANS[0])
    root = etree.fromstring(pay(transfer(), debtor=debtor))
    SCHEMA.assertValid(root)
    assert root.find(".//p:DbtrAgt//p:Othr/p:Id", SPACE).text == "NOTPROVIDED"


@pytest.mark.parametrize("iban", IBANS)
def test_examples_of_the_registry_are_right_and_their_typing_errors_are_found(iban: str) -> None:
    assert iban_error(iban) is None
    assert len(iban) == IBAN_LETTERS[iban[:2]]
    for place in range(2, len(iban)):
        if iban[place].isdigit():
            wrong = iban[:place] + str((int(iban[place]) + 1) % 10) + iban[place + 1 :]
            assert iban_error(wrong) is not None
    swaps = 0
    for place in range(4, len(iban) - 1):
        swapped = iban[:place] + iban[place + 1] + iban[place] + iban[place + 2 :]
        if swapped != iban:
            swaps += 1
            assert iban_error(swapped) is not None
    assert swaps > 3


@pytest.mark.parametrize(
    "iban", ["", "DE", "de89370400440532013000", "DE8937040044053201300", "DE89 3704", "XX00", "DE８９"]
)
def test_what_is_no_iban_is_told(iban: str) -> None:
    assert iban_error(iban) is not None


@pytest.mark.parametrize(
    ("bic", "right"), [("COBADEFF", True), ("COBADEFFXXX", True), ("COBADEFFXX", False), ("cobadeff", False)]
)
def test_bics(bic: str, right: bool) -> None:
    assert (bic_error(bic) is None) == right


def test_all_faults_are_told_at_once() -> None:
    nobody = Party(participant="ben", name="Ben")
    broken = Party(participant="cem", name="Cem", iban="DE00", bic="X")
    faults = [
        transfer(creditor=nobody),
        transfer(creditor=broken, identifier="/x"),
        transfer(amount=0),
        transfer(amount=15_000, identifier="201606-0004"),
        transfer(amount=LARGEST + 10_000, identifier="201606-0005"),
    ]
    with pytest.raises(InputError) as caught:
        pay(*faults, debtor=Party(participant="operator", name="Us"))
    places = [(fault.place, fault.reason) for fault in caught.value.faults]
    assert [place for place, _ in places] == [
        "operator, iban",
        "ben, iban",
        "cem, iban",
        "cem, bic",
        "/x",
        "201606-0001",
        "201606-0004",
        "201606-0005",
        "201606-0001",
    ]
    assert places[-1][1] == "stands in the file 2 times"


def test_a_file_without_payments_is_refused() -> None:
    with pytest.raises(InputError, match="there are none"):
        pay()


def test_an_account_is_told_once_however_often_it_is_paid() -> None:
    nobody = Party(participant="ben", name="Ben")
    paid = [transfer(creditor=nobody, identifier=f"x{k}") for k in range(5)]
    assert len(transfer_faults(DEBTOR, paid)) == 1


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Zażółć gęślą jaźń", "Zazolc gesla jazn"),
        ("Straße & Söhne", "Strasse + Soehne"),
        ("//a//b/", "a/b"),
        ("Київ", "...."),
        ("", "."),
        ("\n\x00<>\"'", ".....'"),
        ("x" * 80, "x" * 70),
        ("x" * 69 + " y", "x" * 69),
    ],
)
def test_names_are_written_in_letters_that_all_banks_take(text: str, written: str) -> None:
    assert sepa_text(text, 70) == written


def test_the_code_on_a_bill_says_what_a_banking_app_reads() -> None:
    lines = payment_code(DEBTOR, 12_340_000, "201606-0001").split("\n")
    assert lines == [
        "BCD",
        "002",
        "1",
        "SCT",
        "COBADEFFXXX",
        "Dorf + Soehne eG",
        "DE89370400440532013000",
        "EUR12.34",
        "",
        "",
        "201606-0001",
    ]


def test_a_party_tells_each_of_its_errors() -> None:
    party = Party(
        participant="x", name="", street="a\nb", city="c" * 200, country="Germany", iban="DE1", bic="?"
    )
    assert [column for column, *_ in party_errors(party)] == [
        "name",
        "street",
        "city",
        "country",
        "iban",
        "bic",
    ]
