"""How much the tests of many changes at once do: little in the suite, much with `make stress`."""

import os


def how_many(usual: int, *, under_stress: int) -> int:
    """STRESS=1 asks for the large number, STRESS=<number> for so many times the usual one."""
    factor = int(os.environ.get("STRESS") or 0)
    return under_stress if factor == 1 else usual * max(1, factor)
