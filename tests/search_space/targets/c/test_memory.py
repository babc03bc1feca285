"""The arena: values that live together never overlap, and nothing is larger than it must be where one sees at once."""

from hypothesis import given
from hypothesis import strategies as st

from bankwise.search_space.targets.c.memory import IMAGE, Step, arrange


def call(inputs, output, scratch):
    return []


@st.composite
def steps(draw):
    made = []
    for output in range(1, draw(st.integers(2, 12))):
        inputs = tuple(draw(st.lists(st.integers(0, output - 1), min_size=1, max_size=2)))
        faster = Step(call, inputs, output, 0, draw(st.integers(0, 30))) if draw(st.booleans()) else None
        size, scratch, over = draw(st.integers(1, 3)) * 4, draw(st.integers(0, 5)), draw(st.booleans())
        made.append(Step(call, inputs, output, size, scratch, over, instead=(faster,) if faster else ()))
    return made


def start(pointer):
    return int(pointer.partition(" + ")[2] or 0) if pointer.startswith("arena") else None


@given(steps())
def test_what_is_alive_is_never_written_over(made):
    arena = arrange(made, len(made))
    written = {}  # the place of a float -> the value in it
    for taken, step, scratch in zip(arena.steps, made, arena.scratch, strict=True):
        assert taken in (step, *step.instead)
        for value in step.inputs:
            first, size = start(arena.values[value]), next((s.size for s in made if s.output == value), 0)
            where = arena.values[value].partition(" + ")[0]
            assert value == IMAGE or all(written[where, (first or 0) + i] == value for i in range(size))
        out = arena.values[step.output]
        assert out != "image"
        place = range(start(out) or 0, (start(out) or 0) + step.size)
        room = range(start(scratch), start(scratch) + taken.scratch)
        assert not taken.scratch or room.stop <= arena.words
        if out.startswith("arena"):
            assert place.stop <= arena.words and not set(place) & set(room)
        inputs = {(arena.values[v].partition(" + ")[0], (start(arena.values[v]) or 0) + i)
                  for v in step.inputs if v for i in range(next(s.size for s in made if s.output == v))}  # fmt: skip
        assert not {("arena", i) for i in room} & inputs
        if not step.in_place:
            assert not {(out.partition(" + ")[0], i) for i in place} & inputs
        written |= {("arena", i): None for i in room}
        written |= {(out.partition(" + ")[0], i): step.output for i in place}


def test_a_chain_takes_its_two_largest_neighbours_and_changes_in_place_take_nothing():
    sizes = [8, 8, 20, 20, 4]
    chain = [Step(call, (i,), i + 1, size, in_place=i % 2 == 1) for i, size in enumerate(sizes)]
    arena = arrange([*chain, Step(call, (5,), 6, 10)], 6)
    assert arena.words == 8 + 20 and arena.values[1] == arena.values[2] and arena.values[6] == "logits"


def test_a_faster_way_is_taken_where_its_scratch_fits():
    def chain(scratch):
        faster = Step(call, (2,), 3, 4, scratch)
        return [
            Step(call, (0,), 1, 16),
            Step(call, (1,), 2, 8),
            Step(call, (2,), 3, 4, 2, instead=(faster,)),
            Step(call, (3,), 4, 1),
        ]

    assert arrange(chain(12), 4).steps[2].scratch == 12 and arrange(chain(12), 4).words == 24
    assert arrange(chain(13), 4).steps[2].scratch == 2 and arrange(chain(13), 4).words == 24
