"""Records as leaves: canonical bytes, salts, seals and the heads of trees."""

import base64
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.errors import InvariantError
from gridagora.ledger import MerkleTree, canonical_json, checkpoint, leaf_salt, seal

RECORDS = st.dictionaries(
    st.text("abcdefghij_é€😀", min_size=1),
    st.one_of(st.integers(-(2**53) + 1, 2**53 - 1), st.text(st.characters(codec="utf-8"))),
)


def test_escapes_and_order_of_rfc_8785() -> None:
    """The example of RFC 8785 3.2.3 (order by UTF-16) and the escapes of 3.2.2.2."""
    record = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    order = list(json.loads(canonical_json(record)).values())
    assert order == [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]
    text = '\u20ac$\u000f\nA\'B"\\\\"/'
    assert canonical_json({"a": text}) == '{"a":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'.encode()


@settings(deadline=None, max_examples=200)
@given(record=RECORDS)
def test_bytes_do_not_depend_on_the_order_and_can_be_read_back(record: dict[str, object]) -> None:
    swapped = dict(reversed(record.items()))
    assert canonical_json(record) == canonical_json(swapped)
    assert json.loads(canonical_json(record)) == record


@pytest.mark.parametrize("value", [1.5, True, None, 2**53, -(2**53), [1], {"a": 1}, b"x"])
def test_only_texts_and_whole_numbers_are_recorded(value: object) -> None:
    with pytest.raises(InvariantError, match="amount"):
        canonical_json({"amount": value})


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InvariantError, match="surrogate"):
        canonical_json({"name": "\ud800"})


def test_a_seal_depends_on_salt_and_record_and_each_leaf_has_its_own_salt() -> None:
    key, record = bytes(range(32)), {"kind": "posting", "amount_micro": -5}
    salts = {leaf_salt(key, day, index) for day in ("2016-06-01", "2016-06-02") for index in range(50)}
    assert len(salts) == 100
    assert len({seal(record, salt) for salt in salts}) == 100
    assert seal(record, bytes(32)) != seal(record | {"amount_micro": -6}, bytes(32))
    plain = hashlib.sha256(canonical_json(record)).digest()
    assert seal(record, b"") != plain


def test_who_erases_the_salts_keeps_the_tree() -> None:
    """The log keeps the leaves' hashes; without the key no record is told, and others' proofs still hold."""
    from gridagora.ledger import leaf_hash, verify_inclusion

    keys = {"ann": b"a" * 32, "bob": b"b" * 32}
    records = [("ann", {"kind": "trade", "quantity_wh": 5}), ("bob", {"kind": "trade", "quantity_wh": 5})]
    leaves = [leaf_hash(seal(r, leaf_salt(keys[who], "d", k))) for k, (who, r) in enumerate(records)]
    root = MerkleTree.of_hashes(leaves).root
    del keys["ann"]
    again = MerkleTree.of_hashes(leaves)
    bob = leaf_hash(seal(records[1][1], leaf_salt(keys["bob"], "d", 1)))
    assert verify_inclusion(bob, 1, size=2, proof=again.inclusion(1), root=root)


def test_a_checkpoint_has_three_lines() -> None:
    tree = MerkleTree.of([b"a", b"b"])
    origin, size, root, end = checkpoint("gridagora/village/2016-06-01", 2, tree.root).split("\n")
    assert (origin, size, base64.b64decode(root), end) == ("gridagora/village/2016-06-01", "2", tree.root, "")


@pytest.mark.parametrize("origin", ["", "a b", "a\nb"])
def test_an_origin_is_one_word(origin: str) -> None:
    with pytest.raises(InvariantError, match="origin"):
        checkpoint(origin, 0, bytes(32))
