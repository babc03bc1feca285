"""The arena: which of its words of four bytes each value takes, so that values alive together do not overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

IMAGE = 0  # the value that is the caller's

# Of the pointers of the inputs, the output and the scratch: the statements of C.
Call = Callable[[Sequence[str], str, str], list[str]]


@dataclass(frozen=True)
class Step:
    """One call. `size` is the output's, in elements, and `scratch` what it needs beside, in words; one `in_place` may
    write its output over an input of the same size. `needs` are the kernels that it calls, `own` functions of its own.
    `instead` are faster ways that take more scratch, the best first. `operations` are additions and multiplications
    of a layer."""

    call: Call
    inputs: tuple[int, ...]
    output: int
    size: int
    scratch: int = 0
    in_place: bool = False
    needs: frozenset[str] = frozenset()
    own: tuple[tuple[str, str], ...] = ()
    instead: tuple[Step, ...] = ()
    operations: int = 0


@dataclass
class _Block:
    size: int
    first: int  # steps between which it is taken
    last: int
    offset: int = 0
    elements: int = 0


@dataclass(frozen=True)
class Arena:
    """`steps` as they run, `values` and `scratch` (of each step) as pointers in C; `words` is what the arena takes."""

    steps: list[Step]
    values: dict[int, str]
    scratch: list[str]
    words: int
    beside: list[list[_Block]] = field(default_factory=list, repr=False)  # of each step: what lives then

    def taken(self, position: int, step: Step) -> Step:
        """The way in which `step`, in the place of that one, is run."""
        return _faster(step, self.beside[position], self.words)[0]

    @property
    def bytes(self) -> int:
        return 4 * self.words


def arrange(steps: Sequence[Step], output: int, elements: int = 1) -> Arena:
    """Places for the values of `steps`, so many `elements` a word; the value `output` is the caller's array of logits.

    A step's faster way is taken where its scratch fits beside what lives then, so that no arena is larger for it.
    """
    last_use = {value: position for position, step in enumerate(steps) for value in step.inputs}
    last_use[output] = len(steps)
    home: dict[int, int] = {IMAGE: IMAGE}  # the value whose block holds a value
    blocks: dict[int, _Block] = {}
    for position, step in enumerate(steps):
        end = last_use.get(step.output, position)
        over = next((home[v] for v in step.inputs if _may_overwrite(v, step, position, last_use, home, blocks)), None)
        if over is None:
            home[step.output], blocks[step.output] = (
                step.output,
                _Block(-(-step.size // elements), position, end, elements=step.size),
            )
        else:
            home[step.output] = over
            blocks[over].last = end
    caller = home[output]
    own = [block for value, block in blocks.items() if value != caller]
    scratch = [_Block(step.scratch, position, position) for position, step in enumerate(steps)]
    words = _place([*own, *scratch])
    names = {value: _pointer(blocks[home[value]].offset) for value in home if home[value] not in (IMAGE, caller)}
    names |= {value: "image" if home[value] == IMAGE else "logits" for value in home if value not in names}
    beside = [
        [one for one in [*own, *scratch] if one is not block and one.first <= position <= one.last]
        for position, block in enumerate(scratch)
    ]
    taken = list[Step]()
    for step, block, others in zip(steps, scratch, beside, strict=True):
        one, offset = _faster(step, others, words)
        taken.append(one)
        if offset is not None:
            block.offset, block.size = offset, one.scratch
    return Arena(taken, names, [_pointer(block.offset) for block in scratch], words, beside)


def _faster(step: Step, beside: Sequence[_Block], words: int) -> tuple[Step, int | None]:
    """The first of the step's faster ways whose scratch fits, and its place; or the step itself."""
    for other in step.instead:
        offset = _free(_Block(other.scratch, 0, 0), beside)
        if offset + other.scratch <= words:
            return other, offset
    return step, None


def _may_overwrite(
    value: int, step: Step, position: int, last_use: dict[int, int], home: dict[int, int], blocks: dict[int, _Block]
) -> bool:
    block = blocks.get(home[value])
    return step.in_place and block is not None and block.elements == step.size and last_use[value] == position


def _place(blocks: Sequence[_Block]) -> int:
    """Give every block an offset, the largest first, each at the lowest place that is free; the words of all."""
    placed: list[_Block] = []
    for block in sorted(blocks, key=lambda one: (-one.size, one.first)):
        together = [one for one in placed if one.first <= block.last and block.first <= one.last]
        block.offset = _free(block, together)
        placed.append(block)
    return max((block.offset + block.size for block in placed), default=0)


def _free(block: _Block, together: Sequence[_Block]) -> int:
    """The lowest offset at which the block overlaps none of those that live with it."""
    offset = 0
    for one in sorted(together, key=lambda one: one.offset):
        if offset + block.size <= one.offset:
            break
        offset = max(offset, one.offset + one.size)
    return offset


def _pointer(offset: int) -> str:
    return f"arena + {offset}" if offset else "arena"
