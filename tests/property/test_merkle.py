"""Merkle trees against the vectors of Certificate Transparency, the RFC's recursive formulas, and forgers."""

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.ledger.merkle import MerkleTree, leaf_hash, verify_consistency, verify_inclusion

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
"""Records of the reference tests of Certificate Transparency."""

ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""Their roots: of the first one, the first two, ..."""


def naive_root(records: list[bytes]) -> bytes:
    """MTH of RFC 9162 2.1.1, word for word."""
    if not records:
        return hashlib.sha256(b"").digest()
    if len(records) == 1:
        return hashlib.sha256(b"\x00" + records[0]).digest()
    k = 1
    while 2 * k < len(records):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(records[:k]) + naive_root(records[k:])).digest()


def naive_path(m: int, records: list[bytes]) -> list[bytes]:
    """PATH of RFC 9162 2.1.3.1."""
    if len(records) == 1:
        return []
    k = 1
    while 2 * k < len(records):
        k *= 2
    if m < k:
        return [*naive_path(m, records[:k]), naive_root(records[k:])]
    return [*naive_path(m - k, records[k:]), naive_root(records[:k])]


def naive_subproof(m: int, records: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 9162 2.1.4.1."""
    if m == len(records):
        return [] if whole else [naive_root(records)]
    k = 1
    while 2 * k < len(records):
        k *= 2
    if m <= k:
        return [*naive_subproof(m, records[:k], whole), naive_root(records[k:])]
    return [*naive_subproof(m - k, records[k:], False), naive_root(records[:k])]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_of_certificate_transparency(size: int) -> None:
    assert MerkleTree.of(LEAVES[:size]).root.hex() == ROOTS[size - 1]


def test_the_root_of_nothing_is_the_hash_of_no_bytes() -> None:
    assert MerkleTree.of([]).root.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_proofs_of_certificate_transparency() -> None:
    tree = MerkleTree.of(LEAVES)
    first = [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert [value.hex() for value in tree.inclusion(0)] == first
    assert [value.hex() for value in tree.consistency(1)] == first
    assert [value.hex() for value in tree.consistency(6)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert [value.hex() for value in MerkleTree.of(LEAVES[:5]).consistency(2)] == [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]


def test_every_tree_up_to_64_leaves_gives_the_formulas_of_the_rfc() -> None:
    records = [bytes([k, 255 - k]) for k in range(64)]
    proofs = 0
    for size in range(1, 65):
        tree = MerkleTree.of(records[:size])
        assert tree.root == naive_root(records[:size])
        for index in range(size):
            proof = tree.inclusion(index)
            assert list(proof) == naive_path(index, records[:size])
            assert verify_inclusion(leaf_hash(records[index]), index, size=size, proof=proof, root=tree.root)
            proofs += 1
        for old in range(1, size + 1):
            proof = tree.consistency(old)
            assert list(proof) == naive_subproof(old, records[:size], True)
            older = naive_root(records[:old])
            assert verify_consistency(older, tree.root, sizes=(old, size), proof=proof)
            proofs += 1
    assert proofs == 2 * (64 * 65 // 2)


def test_a_proof_of_one_place_is_no_proof_of_another() -> None:
    records = [bytes([k]) for k in range(33)]
    for size in (1, 2, 3, 7, 8, 20, 33):
        tree = MerkleTree.of(records[:size])
        for index in range(size):
            proof, leaf = tree.inclusion(index), leaf_hash(records[index])
            held = [
                (place, total)
                for place in range(-1, size + 2)
                for total in range(size + 2)
                if verify_inclusion(leaf, place, size=total, proof=proof, root=tree.root)
            ]
            assert (index, size) in held
            for place, total in held:  # RFC 9162 binds the size by the signed head: the shape alone may agree
                assert place == index or total != size


@settings(deadline=None, max_examples=300)
@given(size=st.integers(1, 200), seed=st.integers(0, 2**32))
def test_forged_inclusion_proofs_are_refused(size: int, seed: int) -> None:
    rng = random.Random(seed)
    records = [rng.randbytes(8) for _ in range(size)]
    tree, index = MerkleTree.of(records), rng.randrange(size)
    leaf, proof = leaf_hash(records[index]), list(tree.inclusion(index))

    def holds(**changes: object) -> bool:
        given = {"leaf": leaf, "index": index, "size": size, "proof": proof, "root": tree.root} | changes
        return verify_inclusion(given.pop("leaf"), given.pop("index"), **given)

    assert holds()
    assert not holds(leaf=leaf_hash(records[index] + b"\0"))
    assert not holds(root=rng.randbytes(32))
    assert not holds(proof=[*proof, rng.randbytes(32)])
    assert not holds(proof=[*proof, tree.root])
    if proof:
        place, bit = rng.randrange(len(proof)), rng.randrange(256)
        flipped = (int.from_bytes(proof[place]) ^ 1 << bit).to_bytes(32)
        assert not holds(proof=[*proof[:place], flipped, *proof[place + 1 :]])
        assert not holds(proof=proof[1:])
        assert not holds(proof=proof[:-1])
        assert not holds(proof=[proof[0][:31], *proof[1:]])
    other = rng.randrange(size)
    assert holds(index=other) == (other == index)


@settings(deadline=None, max_examples=300)
@given(size=st.integers(2, 200), seed=st.integers(0, 2**32))
def test_forged_consistency_proofs_are_refused(size: int, seed: int) -> None:
    rng = random.Random(seed)
    records = [rng.randbytes(8) for _ in range(size)]
    old = rng.randrange(1, size)
    older, newer = MerkleTree.of(records[:old]), MerkleTree.of(records)
    proof = list(newer.consistency(old))
    assert verify_consistency(older.root, newer.root, sizes=(old, size), proof=proof)
    changed = [*records[:old]]
    changed[rng.randrange(old)] += b"!"
    assert not verify_consistency(MerkleTree.of(changed).root, newer.root, sizes=(old, size), proof=proof)
    assert not verify_consistency(older.root, rng.randbytes(32), sizes=(old, size), proof=proof)
    assert not verify_consistency(older.root, newer.root, sizes=(old, size), proof=proof[:-1])
    assert not verify_consistency(older.root, newer.root, sizes=(old, size), proof=[*proof, newer.root])
    assert not verify_consistency(older.root, newer.root, sizes=(0, size), proof=proof)
    assert not verify_consistency(older.root, newer.root, sizes=(size, old), proof=proof)
    place = rng.randrange(len(proof))
    proof[place] = rng.randbytes(32)
    assert not verify_consistency(older.root, newer.root, sizes=(old, size), proof=proof)


def test_a_tree_of_hashes_needs_no_records() -> None:
    assert MerkleTree.of_hashes([leaf_hash(r) for r in LEAVES]).root == MerkleTree.of(LEAVES).root


@pytest.mark.parametrize("index", [-1, 3])
def test_no_proof_of_a_leaf_that_is_not_there(index: int) -> None:
    tree = MerkleTree.of([b"a", b"b", b"c"])
    with pytest.raises(IndexError):
        tree.inclusion(index)
    with pytest.raises(IndexError):
        tree.consistency(index + 1 if index > 0 else 0)
