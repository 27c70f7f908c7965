"""The way of a trade through local controllers, as stories, and its faults."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.errors import InputError
from gridagora.market.controllers import Checks, Controllers, LocalController, is_approved, way_of_trade
from gridagora.model.zone_trades import STEPS, Approval, Supply, TradeRequest
from gridagora.model.zones import Zone, ZoneTree

TREE = ZoneTree(
    zones=(
        Zone(name="bulk", level="bulk", parent=None),
        Zone(name="grid company", level="dso", parent="bulk"),
        Zone(name="mv", level="mv", parent="grid company", buses=("0",)),
        Zone(name="east", level="lv", parent="mv", buses=("1",)),
        Zone(name="west", level="lv", parent="mv", buses=("2",)),
        Zone(name="far mv", level="mv", parent="grid company", buses=("3",)),
    )
)
PEOPLE = {"east": {"ann", "bob"}, "west": {"cec", "dan"}, "mv": {"mill"}, "far mv": {"dam"}}


def checks(dso=lambda request: "", supply=(), **changes):
    """Return controllers that allow everything, but for changes: east={"most_kwh": 1.0}."""
    controllers = {
        zone: LocalController(
            zone=zone, participants=frozenset(people), **changes.get(zone.replace(" ", "_"), {})
        )
        for zone, people in PEOPLE.items()
    }
    return Checks(controllers=controllers, dso=dso, supply=lambda request: supply)


def trade(buyer="cec", buyer_zone="west", seller="ann", seller_zone="east", **changes):
    given = {"period": 3, "quantity_kwh": 2.0, "price": 0.2, "at": 60} | changes
    return TradeRequest(
        trade="t1", buyer=buyer, buyer_zone=buyer_zone, seller=seller, seller_zone=seller_zone, **given
    )


def shortage(**changes):
    return trade(seller="", seller_zone="", **changes)


def told(way):
    return [(step.step, step.by, step.decision) for step in way]


def test_a_trade_within_a_zone_ends_with_its_grid():
    way = way_of_trade(trade(buyer="bob", buyer_zone="east"), TREE, checks())
    assert told(way) == [(1, "bob", "stated"), (2, "east", "approved"), (3, "east", "approved")]
    assert is_approved(way)
    assert all(step.at == 60 and step.reason for step in way)


def test_a_trade_between_siblings_passes_both_controllers_and_the_dso():
    way = way_of_trade(trade(), TREE, checks())
    assert told(way) == [
        (1, "cec", "stated"),
        (2, "east", "approved"),
        (2, "west", "approved"),
        (3, "east", "approved"),
        (3, "east", "approved"),
        (4, "west", "approved"),
        (4, "west", "approved"),
        (4, "grid company", "approved"),
    ]
    assert way[4].reason == "2 kWh may leave"
    assert is_approved(way)
    assert {step.step for step in way} <= set(STEPS)


def test_a_trade_far_away_passes_every_gate_on_its_way():
    far = trade(buyer="dam", buyer_zone="far mv")
    way = way_of_trade(far, TREE, checks(mv={"export_kwh": lambda period: 1.5}))
    assert told(way)[-2:] == [(3, "east", "approved"), (3, "mv", "rejected")]
    assert way[-1].reason == "only 1.5 kWh may still leave the zone"
    assert is_approved(way_of_trade(far, TREE, checks()))


def test_a_trade_with_the_zone_around_passes_one_gate():
    way = way_of_trade(trade(seller="mill", seller_zone="mv"), TREE, checks())
    assert [step.by for step in way if step.step in (3, 4)] == ["mv", "west", "west", "grid company"]
    out = way_of_trade(trade(buyer="mill", buyer_zone="mv"), TREE, checks())
    assert [step.by for step in out if step.step in (3, 4)] == ["east", "east", "mv", "grid company"]


@pytest.mark.parametrize(
    ("change", "rules", "reason"),
    [
        ({"seller": "eve"}, {}, "eve does not trade in this zone"),
        ({"quantity_kwh": 0.0}, {}, "the quantity 0 kWh is not above 0 and up to inf"),
        ({}, {"most_kwh": 1.0}, "the quantity 2 kWh is not above 0 and up to 1"),
        ({}, {"highest_price": 0.1}, "the price 0.2 is not within -inf to 0.1"),
        ({"price": float("nan")}, {}, "the price nan is not within -inf to inf"),
        ({}, {"is_open": lambda period: period > 3}, "period 3 is closed"),
    ],
)
def test_the_controller_verifies_the_data(change, rules, reason):
    way = way_of_trade(trade(**change), TREE, checks(east=rules))
    assert told(way) == [(1, "cec", "stated"), (2, "east", "rejected")]
    assert way[-1].reason == reason


def test_all_that_is_wrong_with_the_data_is_told_together():
    wrong = trade(buyer="eve", buyer_zone="east", seller="eve", quantity_kwh=-1.0)
    reason = way_of_trade(wrong, TREE, checks())[-1].reason
    assert reason.count(";") == 3


@pytest.mark.parametrize(
    ("rules", "last", "reason"),
    [
        ({"east": {"inside": lambda request: "line 7 at 120 %"}}, (3, "east"), "line 7 at 120 %"),
        ({"east": {"export_kwh": lambda period: 1.0}}, (3, "east"), "only 1 kWh may still leave the zone"),
        ({"west": {"inside": lambda request: "bus 2 at 0.89 pu"}}, (4, "west"), "bus 2 at 0.89 pu"),
        ({"west": {"import_kwh": lambda period: 0.5}}, (4, "west"), "only 0.5 kWh may still enter the zone"),
        ({"dso": lambda request: "works on the feeder"}, (4, "grid company"), "works on the feeder"),
    ],
)
def test_the_first_no_ends_the_way(rules, last, reason):
    way = way_of_trade(trade(), TREE, checks(**rules))
    assert (way[-1].step, way[-1].by) == last
    assert way[-1].reason == reason
    assert not is_approved(way)
    assert all(step.decision != "rejected" for step in way[:-1])


def test_a_shortage_takes_the_nearest_supply_that_will_do():
    offers = (
        Supply(zone="bulk", quantity_kwh=1e9, price=0.19),
        Supply(zone="far mv", quantity_kwh=5.0, price=0.10),
        Supply(zone="east", quantity_kwh=1.0, price=0.05),
        Supply(zone="mv", quantity_kwh=5.0, price=0.30),
    )
    way = way_of_trade(shortage(), TREE, checks(supply=offers))
    assert told(way) == [
        (1, "cec", "stated"),
        (2, "west", "approved"),
        (3, "west", "approved"),
        (5, "grid company", "approved"),
    ]
    assert way[-1].supply == offers[1]
    assert way[0].reason == "cec buys 2 kWh at no more than 0.2 in period 3"


def test_a_shortage_that_no_one_can_cover_says_why_of_each():
    offers = (
        Supply(zone="bulk", quantity_kwh=1e9, price=0.5),
        Supply(zone="east", quantity_kwh=1.0, price=0.1),
    )
    way = way_of_trade(shortage(), TREE, checks(supply=offers))
    assert way[-1] == Approval(
        step=5,
        by="grid company",
        decision="rejected",
        reason="east: has only 1 kWh; bulk: asks 0.5, approved is 0.2",
        at=60,
    )
    assert way_of_trade(shortage(), TREE, checks())[-1].reason == "no zone and no bulk grid offers supply"


def test_supply_too_must_pass_the_gates():
    offers = (
        Supply(zone="east", quantity_kwh=9.0, price=0.1),
        Supply(zone="bulk", quantity_kwh=9.0, price=0.15),
    )
    way = way_of_trade(shortage(), TREE, checks(supply=offers, east={"export_kwh": lambda period: 1.0}))
    assert way[-1].supply == offers[1]
    none = way_of_trade(shortage(), TREE, checks(supply=offers, west={"import_kwh": lambda period: 1.0}))
    assert none[-1].reason.count("west says: only 1 kWh may still enter the zone") == 2


def test_a_refused_trade_may_be_supplied_otherwise():
    offers = (Supply(zone="bulk", quantity_kwh=9.0, price=0.2),)
    rules = {"supply": offers, "east": {"export_kwh": lambda period: 0.0}}
    assert not is_approved(way_of_trade(trade(), TREE, checks(**rules)))
    way = way_of_trade(trade(supply_otherwise=True), TREE, checks(**rules))
    assert told(way)[-2:] == [(3, "east", "rejected"), (5, "grid company", "approved")]
    wrong_data = way_of_trade(trade(supply_otherwise=True, quantity_kwh=0.0), TREE, checks(**rules))
    assert told(wrong_data)[-1] == (2, "east", "rejected")


def test_unknown_zones_and_missing_controllers_are_told_at_once():
    with pytest.raises(InputError) as found:
        way_of_trade(trade(buyer_zone="north", seller_zone="south"), TREE, checks())
    assert [fault.value for fault in found.value.faults] == ["south", "north"]
    with pytest.raises(InputError) as found:
        way_of_trade(trade(buyer="dam", buyer_zone="far mv"), TREE, Checks(controllers={}))
    assert [fault.value for fault in found.value.faults] == ["east", "far mv", "mv"]


def test_the_bulk_grid_and_the_dso_need_no_controller():
    way = way_of_trade(trade(seller="retailer", seller_zone="bulk"), TREE, checks())
    assert [(step.step, step.by) for step in way] == [
        (1, "cec"),
        (2, "west"),
        (4, "west"),
        (4, "mv"),
        (4, "west"),
        (4, "grid company"),
    ]


@settings(deadline=None, max_examples=60)
@given(
    ends=st.tuples(st.sampled_from(sorted(PEOPLE)), st.sampled_from(sorted(PEOPLE))),
    rooms=st.fixed_dictionaries({zone: st.tuples(st.integers(0, 4), st.integers(0, 4)) for zone in PEOPLE}),
)
def test_a_trade_is_approved_just_when_every_gate_on_its_way_has_room(ends, rooms):
    rules = {
        zone.replace(" ", "_"): {
            "import_kwh": lambda period, room=room: float(room[0]),
            "export_kwh": lambda period, room=room: float(room[1]),
        }
        for zone, room in rooms.items()
    }
    start, end = ends
    request = trade(
        seller=min(PEOPLE[start]), seller_zone=start, buyer=max(PEOPLE[end]) + "'", buyer_zone=end
    )
    people = {zone: set(names) | {max(names) + "'"} for zone, names in PEOPLE.items()}
    given_checks = checks(**rules)
    controllers = {
        zone: replace(controller, participants=frozenset(people[zone]))
        for zone, controller in given_checks.controllers.items()
    }
    way = way_of_trade(request, TREE, replace(given_checks, controllers=controllers))
    out, back = TREE.path(start), TREE.path(end)
    passed = [rooms[zone][1] for zone in out if zone not in back and zone in rooms]
    passed += [rooms[zone][0] for zone in back if zone not in out and zone in rooms]
    assert is_approved(way) == all(room >= 2 for room in passed)
    assert [step.decision for step in way].count("rejected") == (not is_approved(way))


def test_a_price_without_end_is_rejected_and_supply_of_unknown_size_not_taken():
    assert told(way_of_trade(trade(price=float("inf")), TREE, checks()))[-1] == (2, "east", "rejected")
    unknown = [Supply(zone="east", quantity_kwh=float("nan"), price=0.1)]
    unknown.append(Supply(zone="mv", quantity_kwh=9.0, price=float("nan")))
    assert told(way_of_trade(shortage(), TREE, checks(supply=unknown)))[-1] == (5, "grid company", "rejected")


def test_a_controller_of_another_zone_is_told():
    controllers = checks().controllers | {"east": checks().controllers["west"]}
    with pytest.raises(InputError, match="controller west: stands under zone east"):
        way_of_trade(trade(), TREE, Checks(controllers=controllers))


def test_the_dso_may_refuse_the_supply_of_a_shortage():
    offers = (
        Supply(zone="east", quantity_kwh=1.0, price=0.1),
        Supply(zone="far mv", quantity_kwh=9.0, price=0.1),
        Supply(zone="bulk", quantity_kwh=9.0, price=0.2),
    )
    way = way_of_trade(shortage(), TREE, checks(supply=offers, dso=lambda request: "works on the feeder"))
    assert told(way)[-1] == (5, "grid company", "rejected")
    assert way[-1].reason == "east: has only 1 kWh; the DSO: works on the feeder"
    assert way[-1].supply is None


def test_the_dso_is_asked_once_about_supply_and_only_when_there_is_some():
    asked = []

    def dso(request):
        asked.append(request.trade)
        return ""

    offers = (Supply(zone="bulk", quantity_kwh=9.0, price=0.2),)
    assert is_approved(way_of_trade(shortage(), TREE, checks(supply=offers, dso=dso)))
    assert len(asked) == 1
    way_of_trade(shortage(), TREE, checks(dso=dso))
    assert len(asked) == 1


def test_what_the_dso_refused_it_does_not_supply_otherwise():
    offers = (Supply(zone="bulk", quantity_kwh=9.0, price=0.2),)
    request = trade(supply_otherwise=True)
    way = way_of_trade(request, TREE, checks(supply=offers, dso=lambda request: "works"))
    assert told(way)[-2:] == [(4, "grid company", "rejected"), (5, "grid company", "rejected")]


def test_controllers_made_once_decide_as_those_made_anew():
    """Rooms that shrink with each approval are seen, for functions are asked for every trade."""
    room = {"kwh": 5.0}
    rules = checks(east={"export_kwh": lambda period: room["kwh"]})
    controllers = Controllers(tree=TREE, checks=rules)
    requests = [trade(), trade(buyer="bob", buyer_zone="east"), shortage(), trade(), trade()]
    ends = []
    for request in requests:
        way = controllers.way(request)
        assert way == way_of_trade(request, TREE, rules)
        ends.append(is_approved(way))
        if is_approved(way) and request.buyer_zone != "east":
            room["kwh"] -= request.quantity_kwh
    assert ends == [True, True, False, True, False]


def test_controllers_made_once_still_check_every_request():
    controllers = Controllers(tree=TREE, checks=checks())
    assert is_approved(controllers.way(trade()))
    for wrong, zones in ((trade(buyer_zone="north"), ["north"]), (shortage(buyer_zone="south"), ["south"])):
        for _ in range(2):
            with pytest.raises(InputError) as found:
                controllers.way(wrong)
            assert [fault.value for fault in found.value.faults] == zones
    assert told(controllers.way(trade(seller="eve")))[-1] == (2, "east", "rejected")


def test_faults_of_controllers_and_of_the_trade_come_together():
    strays = {"east": LocalController(zone="north", participants=frozenset())}
    strays["moon"] = LocalController(zone="moon", participants=frozenset())
    with pytest.raises(InputError) as found:
        way_of_trade(trade(), TREE, Checks(controllers=strays))
    assert [(fault.place, fault.value) for fault in found.value.faults] == [
        ("controller north", "east"),
        ("controller moon", "moon"),
        ("zone", "west"),
    ]
    with pytest.raises(InputError) as found:
        Controllers(tree=TREE, checks=Checks(controllers=strays))
    assert len(found.value.faults) == 2


def test_a_controller_that_comes_later_is_not_taken_for_one_that_was_asked():
    few = dict(checks().controllers)
    late = few.pop("west")
    controllers = Controllers(tree=TREE, checks=Checks(controllers=few))
    few["west"] = late
    with pytest.raises(InputError, match="a zone on the way has no controller"):
        controllers.way(trade())
