from __future__ import annotations

import pytest

pytest.importorskip("ray")
from bankwise.strategies.encodings import BOX
from bankwise.strategies.engines.ray.configs import importance_bounds, importance_space


def test_the_search_space_of_importances_is_the_box(tight):
    space = importance_space(tight)
    assert list(space) == list(tight.space.names)
    for domain in space.values():
        assert (domain.lower, domain.upper) == BOX
        assert BOX[0] <= domain.sample() <= BOX[1]
    assert importance_bounds(tight) == {name: list(BOX) for name in tight.space.names}
