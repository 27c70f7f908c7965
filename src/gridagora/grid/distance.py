"""How far buses are from each other electrically: the impedance between two of them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gridagora.grid._zone_parts import network_of
from gridagora.grid.admittance import Admittance, admittance_of
from gridagora.grid.model import GridModel
from gridagora.model.network import Network

Floats = NDArray[np.float64]
Complex = NDArray[np.complex128]
Ints = NDArray[np.int64]

_COLUMNS = 32
"""Columns solved at a time: as fast as many, and too few for threads of BLAS, which on a busy machine take
thirty times as long."""


def electrical_distance(network: Network | GridModel) -> Floats:
    """Return the impedance between every two buses, per unit on 1 MVA, (buses, buses), symmetric, 0 diagonal.

    ``|Z_ii + Z_jj - 2 Z_ij|``, the magnitude of the voltage between two buses when 1 pu of current is fed in
    at one and drawn at the other; Z is the inverse of the nodal admittances with the sources held.  In a
    radial grid it is the impedance of the path; phase shifts of transformers do not count.

    Parameters
    ----------
    network : the grid, or its network

    Raises
    ------
    InputError
        Lists every bus that no source feeds.

    Notes
    -----
    Blumsack, Hines, Patel, Barrows, Cotilla Sanchez, "Defining power network zones from measures of
    electrical distance", IEEE PES General Meeting 2009.

    Examples
    --------
    >>> from gridagora.adapters.grids import Grid
    >>> far = electrical_distance(Grid.by_name("ieee33"))
    >>> far.shape, bool(far[0, 17] > far[0, 5] > 0), float(far[3, 3])
    ((33, 33), True, 0.0)
    """
    network = network_of(network)
    every = np.arange(len(network.node_kv))
    at_nodes = between_nodes(network, every, every)
    return np.asarray(at_nodes[np.ix_(network.bus_node, network.bus_node)])


def between_nodes(network: Network, start: Ints, end: Ints) -> Floats:
    """Return the distances of some nodes to others, (start, end); see `electrical_distance`."""
    transformers = network.transformers
    level = replace(transformers, shift_degree=np.zeros(len(transformers)))
    model = admittance_of(replace(network, transformers=level))
    row = np.full(model.nodes, -1)
    row[model.free] = np.arange(len(model.free))
    own = np.zeros(model.nodes, dtype=complex)
    both = np.zeros((len(start), len(end)), dtype=complex)
    base = network.node_kv
    for first in range(0, len(end), _COLUMNS):
        chosen = slice(first, first + _COLUMNS)
        found = _impedance(model, row, end[chosen])
        own[end[chosen]] = found[end[chosen], np.arange(found.shape[1])]
        both[:, chosen] = found[start] / base[start][:, None] / base[end[chosen]]
    for first in range(0, len(start), _COLUMNS):
        nodes = start[first : first + _COLUMNS]
        unknown = nodes[own[nodes] == 0]
        own[unknown] = _impedance(model, row, unknown)[unknown, np.arange(len(unknown))]
    own /= base**2
    apart = np.empty(both.shape)
    for first in range(0, len(start), _COLUMNS):
        chosen = slice(first, first + _COLUMNS)
        apart[chosen] = np.abs(own[start[chosen], None] + own[end] - 2 * both[chosen])
        apart[chosen][start[chosen, None] == end] = 0.0
    return apart


def _impedance(model: Admittance, row: Ints, nodes: Ints) -> Complex:
    """Return columns of the impedance matrix at all nodes, ohm; zero where a source holds the voltage."""
    found = np.zeros((model.nodes, len(nodes)), dtype=complex)
    free = np.flatnonzero(row[nodes] >= 0)
    wanted = np.zeros((len(model.free), len(free)), dtype=complex)
    wanted[row[nodes[free]], np.arange(len(free))] = 1.0
    found[np.ix_(model.free, free)] = model.solve(wanted)
    return found
