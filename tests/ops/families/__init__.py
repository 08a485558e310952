"""Random arguments for families of functions: shapes, axes, geometry and options.

Each family takes a `Random` and gives the arguments for one function; torch may refuse some of
them, which are then left out. `FAMILIES` maps each function to its family.
"""

from tests.ops.families import complex, lookup, losses, maps, places, pointwise, products, reduction
from tests.ops.families.base import FAMILIES, own_draws

__all__ = [
    "FAMILIES",
    "complex",
    "lookup",
    "losses",
    "maps",
    "own_draws",
    "places",
    "pointwise",
    "products",
    "reduction",
]
