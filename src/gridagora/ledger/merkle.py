"""Merkle trees of RFC 9162: one hash that binds a list of records, and short proofs of what is in it.

A leaf is hashed as ``SHA-256(0x00 || record)``, a node as ``SHA-256(0x01 || left || right)``, so that no
node can pass for a record.  The left half of a tree of n leaves holds the largest power of two below n; built
level by level this is the same as pairing neighbours and lifting a last one without neighbour unchanged.

Source: RFC 9162 sections 2.1.1 to 2.1.4.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from gridagora.errors import require

HASH_BYTES = 32
"""Length of every hash."""


def leaf_hash(record: bytes) -> bytes:
    """Return the hash of a record as a leaf.

    >>> leaf_hash(b"").hex()[:16]
    '6e340b9cffb37a98'
    """
    return hashlib.sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above two others."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, kw_only=True, slots=True)
class MerkleTree:
    """A tree over records; ``levels[k][i]`` is the hash over leaves ``i 2^k`` to ``(i + 1) 2^k`` or the end.

    Examples
    --------
    >>> tree = MerkleTree.of([b"one", b"two", b"three"])
    >>> tree.size, len(tree.root), len(tree.inclusion(0)), len(tree.inclusion(2))
    (3, 32, 2, 1)
    """

    levels: tuple[tuple[bytes, ...], ...]

    @classmethod
    def of(cls, records: Sequence[bytes]) -> "MerkleTree":
        """Return the tree over records in their order."""
        return cls.of_hashes([leaf_hash(record) for record in records])

    @classmethod
    def of_hashes(cls, hashes: Sequence[bytes]) -> "MerkleTree":
        """Return the tree over leaves that were hashed before; their records may be gone.

        >>> MerkleTree.of_hashes([leaf_hash(b"a")]).root == MerkleTree.of([b"a"]).root
        True
        """
        require(all(len(value) == HASH_BYTES for value in hashes), "a leaf's hash has another length")
        levels = [tuple(hashes)]
        while len(levels[-1]) > 1:
            below = levels[-1]
            pairs = zip(below[::2], below[1::2], strict=False)
            lifted = below[-1:] if len(below) % 2 else ()
            levels.append((*(node_hash(left, right) for left, right in pairs), *lifted))
        return cls(levels=tuple(levels))

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self.levels[0])

    @property
    def root(self) -> bytes:
        """Hash of the whole tree; that of nothing is the hash of no bytes."""
        return self.levels[-1][0] if self.size else hashlib.sha256(b"").digest()

    def inclusion(self, index: int) -> tuple[bytes, ...]:
        """Return the proof that a leaf is in the tree: the hashes beside its way to the root.

        Raises
        ------
        IndexError
            where the tree has no such leaf.

        Examples
        --------
        >>> tree = MerkleTree.of([b"a", b"b", b"c"])
        >>> verify_inclusion(leaf_hash(b"c"), 2, size=3, proof=tree.inclusion(2), root=tree.root)
        True
        """
        if not 0 <= index < self.size:
            raise IndexError(f"leaf {index} of a tree of {self.size}")
        places = [(level, (index >> depth) ^ 1) for depth, level in enumerate(self.levels)]
        return tuple(level[beside] for level, beside in places if beside < len(level))

    def consistency(self, old_size: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of the first ``old_size`` leaves is a beginning of this one.

        Raises
        ------
        IndexError
            where ``old_size`` is below 1 or above the size.

        Examples
        --------
        >>> old, new = MerkleTree.of([b"a", b"b"]), MerkleTree.of([b"a", b"b", b"c"])
        >>> verify_consistency(old.root, new.root, sizes=(2, 3), proof=new.consistency(2))
        True
        """
        if not 1 <= old_size <= self.size:
            raise IndexError(f"an old size of {old_size} for a tree of {self.size}")
        return tuple(self._consistency(old_size))

    def _consistency(self, old_size: int) -> list[bytes]:
        """SUBPROOF of RFC 9162 2.1.4.1 from the top down, each range one entry of a level."""
        first, last, whole = 0, self.size, True
        beside: list[bytes] = []
        while old_size != last:
            depth = (last - first - 1).bit_length() - 1
            middle = first + (1 << depth)
            if old_size <= middle:
                beside.append(self.levels[depth][middle >> depth])
                last = middle
            else:
                beside.append(self.levels[depth][first >> depth])
                first, whole = middle, False
        depth = (last - first - 1).bit_length()
        own = [] if whole else [self.levels[depth][first >> depth]]
        return own + beside[::-1]


def verify_inclusion(leaf: bytes, index: int, *, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Return whether a leaf's hash stands at ``index`` of a tree by its size and root (RFC 9162 2.1.3.2).

    >>> verify_inclusion(leaf_hash(b"a"), 0, size=1, proof=[], root=leaf_hash(b"a"))
    True
    """
    if not 0 <= index < size or any(len(value) != HASH_BYTES for value in (leaf, *proof)):
        return False
    here, end, found = index, size - 1, leaf
    for value in proof:
        if end == 0:
            return False
        if here % 2 or here == end:
            found = node_hash(value, found)
            while here % 2 == 0 and here:
                here, end = here >> 1, end >> 1
        else:
            found = node_hash(found, value)
        here, end = here >> 1, end >> 1
    return end == 0 and found == root


def verify_consistency(
    old_root: bytes, new_root: bytes, *, sizes: tuple[int, int], proof: Sequence[bytes]
) -> bool:
    """Return whether the old tree is a beginning of the new one (RFC 9162 2.1.4.2); ``sizes`` old, new.

    >>> verify_consistency(leaf_hash(b"a"), leaf_hash(b"a"), sizes=(1, 1), proof=[])
    True
    """
    old, new = sizes
    if not 0 < old <= new or any(len(value) != HASH_BYTES for value in proof):
        return False
    if old == new:
        return not proof and old_root == new_root
    way = list(proof) if old & (old - 1) else [old_root, *proof]  # a power of two is a node itself
    if not way:
        return False
    here, end = old - 1, new - 1
    while here % 2:
        here, end = here >> 1, end >> 1
    found_old = found_new = way[0]
    for value in way[1:]:
        if end == 0:
            return False
        if here % 2 or here == end:
            found_old, found_new = node_hash(value, found_old), node_hash(value, found_new)
            while here % 2 == 0 and here:
                here, end = here >> 1, end >> 1
        else:
            found_new = node_hash(found_new, value)
        here, end = here >> 1, end >> 1
    return end == 0 and found_old == old_root and found_new == new_root
