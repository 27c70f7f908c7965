"""Bills: exact lines, whole cents, and nothing lost over months, splits and names."""

import re
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.adapters.bill_files import bill_pdf
from gridagora.billing import Bill, BillLine, MonthSums, Party, Terms, carry_over, month_bills, month_lines
from gridagora.billing.amounts import CENT, divide, energy_text, tax_included, to_cents
from gridagora.billing.bills import ESCROWED
from gridagora.billing.documents import bill_document, document_bill
from gridagora.billing.page import bill_page, line_rows, statement_rows
from gridagora.units import money_text

AMOUNT = st.integers(-(10**13), 10**13)
OPERATOR = Party(participant="operator", name="Village Energy", iban="DE89370400440532013000")
SUMS = st.builds(
    MonthSums,
    days=st.just(30),
    bought=AMOUNT,
    sold=AMOUNT,
    retail=AMOUNT,
    feed_in=AMOUNT,
    imbalance=AMOUNT,
    network=AMOUNT,
    taxes=AMOUNT,
    standing=AMOUNT,
    flexibility=AMOUNT,
    bought_wh=st.integers(0, 10**9),
    imbalance_wh=st.integers(-(10**9), 10**9),
    journal=st.lists(st.tuples(st.text(max_size=5), AMOUNT), max_size=3).map(tuple),
)


def bill(**changes: object) -> Bill:
    terms: dict[str, object] = {
        "number": "201606-0001",
        "issuer": OPERATOR,
        "recipient": Party(participant="ann", name="Ann"),
        "first": date(2016, 6, 1),
        "last": date(2016, 6, 30),
        "issued": date(2016, 7, 1),
        "terms": Terms(),
        "lines": (BillLine(text="Energy", amount=5_004_000, quantity_wh=20_000),),
    }
    return Bill(**(terms | changes))


@settings(deadline=None, max_examples=200)
@given(months=st.lists(SUMS, min_size=1, max_size=8))
def test_what_is_paid_and_carried_is_what_the_journal_booked(months: list[MonthSums]) -> None:
    ann = Party(participant="ann", name="Ann")
    first = date(2016, 1, 1)
    days = [(first + timedelta(days=31 * k), first + timedelta(days=31 * k + 27)) for k in range(len(months))]
    bills = month_bills(
        [(ann, *day, sums) for day, sums in zip(days, months, strict=True)], issuer=OPERATOR, terms=Terms()
    )
    assert sum(one.total for one in bills) == -sum(sums.received for sums in months)
    assert sum(one.payable for one in bills) + bills[-1].carried == sum(one.total for one in bills)
    for one, after in zip(bills, [*bills[1:], None], strict=True):
        assert one.payable % CENT == 0
        assert abs(one.carried) <= CENT // 2
        assert after is None or after.opening == one.carried
        assert one.charges - one.credits == one.total
    assert len({one.number for one in bills}) == len(bills)


@settings(deadline=None, max_examples=200)
@given(parts=st.lists(st.tuples(st.sampled_from("abc"), AMOUNT), max_size=20))
def test_each_pair_of_parties_carries_its_own_cents(parts: list[tuple[str, int]]) -> None:
    bills = carry_over(
        bill(recipient=Party(participant=who, name=who), lines=(BillLine(text="Energy", amount=amount),))
        for who, amount in parts
    )
    for who in "abc":
        own = [one for one in bills if one.recipient.participant == who]
        if own:
            total = sum(amount for name, amount in parts if name == who)
            assert sum(one.payable for one in own) + own[-1].carried == total


@settings(deadline=None, max_examples=300)
@given(amount=AMOUNT, parts=st.integers(1, 10**6))
def test_division_is_the_nearest_whole_number_half_to_even(amount: int, parts: int) -> None:
    assert divide(amount, parts) == round(Fraction(amount, parts))


@settings(deadline=None, max_examples=300)
@given(amount=AMOUNT, carried=st.integers(-5000, 5000), rate=st.integers(0, 10_000))
def test_cents_taxes_and_texts_are_exact(amount: int, carried: int, rate: int) -> None:
    found = to_cents(amount, carried=carried)
    assert found.payable + found.carried == amount + carried
    assert tax_included(amount, rate) == round(Fraction(amount * rate, 10_000 + rate))
    assert Decimal(money_text(amount)) * 1_000_000 == amount
    assert Decimal(money_text(found.payable, digits=2)) * 1_000_000 == found.payable
    assert Decimal(energy_text(amount)) * 1000 == amount


@settings(deadline=None, max_examples=100)
@given(sums=SUMS)
def test_lines_of_a_month_sum_to_its_money(sums: MonthSums) -> None:
    lines = month_lines(sums)
    assert sum(line.amount for line in lines) == -sums.received
    one = bill(lines=lines)
    assert sum(Decimal(row["amount"]) for row in line_rows([one])) * 1_000_000 == one.total
    (told,) = statement_rows([one])
    assert (Decimal(told["charges"]) - Decimal(told["credits"])) * 1_000_000 == one.total


def test_only_who_is_registered_gets_credits_with_tax() -> None:
    lines = (BillLine(text="in", amount=1_190_000), BillLine(text="out", amount=-2_380_000))
    terms = Terms(vat_bp=1900)
    assert bill(lines=lines, terms=terms).vat == (190_000, 0)
    registered = Party(participant="ann", name="Ann", vat_id="DE1")
    assert bill(lines=lines, terms=terms, recipient=registered).vat == (190_000, 380_000)


def test_no_tax_is_in_what_escrow_paid_already() -> None:
    sums = MonthSums(
        days=30, sold_wh=2_000, sold=1_190_000, taxes=-119_000, journal=((ESCROWED, -1_190_000),)
    )
    registered = Party(participant="ann", name="Ann", vat_id="DE1")
    one = bill(lines=month_lines(sums), terms=Terms(vat_bp=1900), recipient=registered)
    assert (one.charges, one.credits, one.vat) == (1_309_000, 1_190_000, (19_000, 190_000))
    assert document_bill(bill_document(one)).vat == one.vat


def test_a_mean_price_is_that_of_the_energy_and_a_difference_has_none() -> None:
    assert BillLine(text="sold", amount=-240_000, quantity_wh=2_000).price == 120_000
    assert BillLine(text="network", amount=5).price is None
    assert BillLine(text="nothing", amount=5, quantity_wh=0).price is None
    assert BillLine(text="difference", amount=5, quantity_wh=2_000, priced=False).price is None


def test_a_page_says_who_pays_whom() -> None:
    pay = bill_page(bill())
    assert (pay["title"], pay["demand"]["value"]) == ("Invoice", "5.00")
    assert "0.004000 EUR is carried" in pay["carried"]
    assert pay["terms"] == [
        "Please pay 5.00 EUR by 2016-07-15 to DE89 3704 0044 0532 0130 00, reference 201606-0001."
    ]
    out = bill_page(bill(lines=(BillLine(text="sold", amount=-7_000_000),)))
    assert (out["title"], out["demand"]) == ("Credit note", {"name": "To be paid out, EUR", "value": "7.00"})
    nothing = bill_page(bill(lines=()))
    assert nothing["terms"] == ["Nothing is to be paid."]


@pytest.mark.parametrize("with_code", [True, False])
def test_the_same_bill_gives_the_same_pdf(with_code: bool) -> None:
    one = bill(proof="ab" * 32) if with_code else bill(issuer=Party(participant="operator", name="Us"))
    page = bill_pdf(one)
    assert page.startswith(b"%PDF-")
    assert bill_pdf(one) == page
    assert bill_pdf(replace(one, number="2")) != page


@settings(deadline=None, max_examples=40)
@given(name=st.text(st.characters(codec="utf-8"), max_size=60), city=st.text(max_size=20))
def test_any_name_can_be_set(name: str, city: str) -> None:
    anybody = Party(participant=name, name=name, city=city.encode("utf-8", "ignore").decode())
    assert bill_pdf(bill(recipient=anybody)).startswith(b"%PDF-")


@pytest.mark.parametrize(
    "name",
    [
        '#panic("no")',
        '#read("/etc/passwd")',
        "$x^2$ *bold* _em_ @ref <label> [a] // /* `raw`",
        "<script>alert(1)</script>&amp;",
        "Robert'); DROP TABLE bills;--",
        "\\u{202e} \" ' \\",
        "a\x00b\nc\u2028d",
        "Київ Αθήνα 村 😀",
        "x" * 140,
    ],
)
def test_markup_in_a_name_is_set_as_text(name: str) -> None:
    page = bill_page(bill(recipient=Party(participant=name, name=name, street=name)))
    if name.isprintable():
        assert page["recipient"]["name"] == name
    assert bill_pdf(bill(recipient=Party(participant=name, name=name, street=name))).startswith(b"%PDF-")


def test_a_long_bill_runs_over_pages() -> None:
    lines = tuple(BillLine(text=f"Line {k}", amount=k, quantity_wh=k) for k in range(200))
    page = bill_pdf(bill(lines=lines))
    assert re.findall(rb"/Count (\d+)", page) == [b"6"]
