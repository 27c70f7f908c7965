"""Grids by name: SimBench codes, pandapower nets, files; converted once and kept in the cache on disk."""

from pathlib import Path
from typing import Any, Self

from gridagora.adapters.cache import Arrays
from gridagora.adapters.nets import TEST_NETS, NetSource, converted, find_net, net_file, simbench_net
from gridagora.grid.convert import network_from_pandapower
from gridagora.grid.flow import PowerFlow
from gridagora.grid.linear import linear_network
from gridagora.grid.model import GridModel
from gridagora.model.linear_network import LinearNetwork
from gridagora.model.network import Network


class Grid(GridModel):
    """A distribution grid from SimBench, pandapower or a file.

    Examples
    --------
    >>> grid = Grid.by_name("ieee33")
    >>> flow = grid.power_flow(*grid.base_import())
    >>> round(float(flow.losses_kw[0]), 1), round(float(flow.vm_pu.min()), 4)
    (202.7, 0.9131)
    """

    @classmethod
    def from_network(cls, value: Network) -> Self:
        """Return the grid of a `Network`."""
        return cls(value)

    @classmethod
    def from_pandapower(cls, net: Any, *, name: str = "") -> Self:
        """Return the grid of a pandapower net; see `gridagora.grid.convert.network_from_pandapower`.

        Raises
        ------
        InputError
            With every element and value of the net that cannot be used.
        """
        return cls(network_from_pandapower(net, name=name))

    @classmethod
    def from_simbench(cls, code: str) -> Self:
        """Return the grid of a SimBench code, e.g. ``"1-LV-rural1--2-sw"``; read once, then from the cache.

        Raises
        ------
        InputError
            When SimBench has no such code.
        """
        return cls(_network(simbench_net(code)))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Return the grid of a pandapower file: JSON (``.json``) or Excel (``.xlsx``).

        Raises
        ------
        InputError
            When the file is missing, is no pandapower file, or its net cannot be used.
        """
        return cls(_network(net_file(Path(path))))

    @classmethod
    def by_name(cls, name: str) -> Self:
        """Return a grid by a name of `names`, by a SimBench code, or by the path of a pandapower file.

        Loads are those of the data: ``european-lv`` holds its published snapshot of one minute.  (A scenario
        with this grid has homes of a nominal size instead, see `gridagora.adapters.feeders`.)

        Raises
        ------
        InputError
            When there is no such grid, with names that are near.
        """
        return cls(_network(find_net(name)))

    def linear_network(self, flow: PowerFlow | None = None, **options: Any) -> LinearNetwork:
        """Return the grid as a market sees it; see `gridagora.grid.linear.linear_network` for the options.

        Examples
        --------
        >>> grid = Grid.by_name("ieee33")
        >>> grid.linear_network(grid.power_flow(*grid.base_import())).kind
        'linear_ac'
        """
        return linear_network(self, flow, **options)

    @staticmethod
    def names() -> tuple[str, ...]:
        """Return the names that `by_name` knows beside SimBench codes and files."""
        return tuple(sorted(TEST_NETS))


def _network(net: NetSource) -> Network:
    return Network.from_arrays(converted("grid", net, _to_arrays))


def _to_arrays(net: Any, title: str) -> Arrays:
    return network_from_pandapower(net, name=title).to_arrays()
