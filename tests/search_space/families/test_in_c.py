"""How families say that C unpacks them: compiled, run, and compared with the weights that they give Python."""

import shutil
import subprocess
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from bankwise.search_space.basis.slots import from_slots
from bankwise.search_space.bits import pack_codes
from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.families import Integer
from bankwise.search_space.families.choice import Choice
from bankwise.search_space.families.in_c import MergedBank, Packed, Plane, plane_of_codes
from bankwise.search_space.part import Part
from bankwise.search_space.shape import LayerShape
from bankwise.search_space.targets.c.kernels import kernels

from .test_contract import SHAPE, TESTED, examples, possible

LINEAR = LayerShape("fc", "linear", 5, 24)
STRICT = ("gcc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-fsanitize=undefined")


def random_codes(choice, layer):
    """Those of a basis; a basis of its own for each layer and choice."""
    return choice.basis(layer, torch.Generator().manual_seed(7)).codes()


def unpacked(tmp_path, cases):
    """The weights that C unpacks, of (layer, choice, codes), over their denominators; and the planes."""
    data, planes, bodies = bytearray(), [], []
    for number, (layer, choice, codes) in enumerate(cases):
        at = {}
        for part in choice.parts(layer):
            at[part.name] = f"data + {len(data)}"
            data += pack_codes(codes[part.name], part.bits)
        planes.append(choice.in_c(layer, Packed(at, f"plane_of_{number}")))
        assert planes[-1].text or planes[-1].function != f"plane_of_{number}"
        n, c, kh, kw = layer.weight_shape
        fields = {"n": n, "c": c, "kh": kh, "kw": kw, **planes[-1].fields, "plane": planes[-1].function}
        loop = f"for (f = 0; f < {n}; f++) for (c = 0; c < {c}; c++) {{ l.plane(&l, f, c, w); "
        bodies += [f"    l.{name} = {value};" for name, value in fields.items()]
        bodies.append(f"    {loop} fwrite(w, sizeof *w, {kh * kw}, stdout); }}")
    needs = {name for plane in planes for name in (plane.needs if plane.text else (plane.function,))} | {"layer"}
    text = ["#include <stdint.h>", "#include <stdio.h>", "#include <string.h>"]
    text += [f"static const uint8_t data[] = {{{', '.join(map(str, data))}}};", kernels(needs)]
    text += [plane.text for plane in planes]
    text += ["int main(void) {", "    static struct layer l; static weight_t w[64]; int32_t f, c;", *bodies]
    (tmp_path / "planes.c").write_text("\n".join([*text, "    return 0;", "}"]))
    subprocess.run([*STRICT, "planes.c", "-o", "planes"], cwd=tmp_path, check=True)
    out = subprocess.run([tmp_path / "planes"], capture_output=True, check=True).stdout
    numbers = torch.frombuffer(bytearray(out), dtype=torch.float32)
    sizes = [layer.weights for layer, *_ in cases]
    weights = numbers.split(sizes)
    return [one.reshape(layer.weight_shape) for one, (layer, *_) in zip(weights, cases, strict=True)], planes


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize("family", TESTED, ids=lambda family: family.family)
def test_c_unpacks_the_weight_of_every_family(tmp_path, family):
    choices = examples(family)
    cases = [(layer, choice) for layer in (SHAPE, LINEAR) for choice in choices if possible(choice, layer)]
    cases = [(layer, choice, random_codes(choice, layer)) for layer, choice in cases]
    assert cases
    written, planes = unpacked(tmp_path, cases)
    for (layer, choice, codes), numbers, plane in zip(cases, written, planes, strict=True):
        expected = choice.weight(layer, codes)
        if plane.largest is None:
            assert plane.denominator == 1 and torch.equal(numbers, expected), choice
        else:
            assert torch.equal(numbers, numbers.round()) and float(numbers.abs().max()) <= plane.largest, choice
            torch.testing.assert_close(numbers / plane.denominator, expected, rtol=1e-6, atol=1e-6)


def of_bank(bank: MergedBank, layer, codes):
    """The weight of a layer by what its bank says of the codes: the definition in `MergedBank`."""
    dimension, terms = bank.s * bank.tile[0] * bank.tile[1], (-1, bank.terms)
    levels = (2 * codes["bank"].reshape(bank.k, dimension) - (2**bank.bits - 1)) / (2**bank.bits - 1)
    slots = layer.weights // dimension
    indices = codes["indices"].reshape(terms) if bank.k > 1 else torch.zeros(slots, bank.terms).long()
    values = torch.ones(slots, bank.terms)
    if bank.coefficient_bits:
        top = 2 ** (bank.coefficient_bits - 1)
        steps = codes["coefficients"].reshape(terms) - top
        values = torch.where(steps < 0, steps, steps + 1) / top
    return from_slots((levels[indices] * values[:, :, None]).sum(1), layer.weight_shape, bank.s, bank.tile)


@pytest.mark.parametrize("family", TESTED, ids=lambda family: family.family)
def test_a_bank_that_is_merged_gives_the_weight(family):
    for choice in examples(family):
        parts = [part.name for part in choice.parts(SHAPE)]
        bank = choice.merged_in_c(SHAPE, Packed({name: f"data + {i}" for i, name in enumerate(parts)}, "own"))
        if bank is not None:
            codes = random_codes(choice, SHAPE)
            torch.testing.assert_close(of_bank(bank, SHAPE, codes), choice.weight(SHAPE, codes))
            assert {"bank", "indices"} <= set(bank.fields)


@dataclass(frozen=True)
class Levels(Choice):
    """A user's family that says nothing of C: `step` code + `first`, over `over`; code 6 and 7 cannot be."""

    first: int
    step: int
    over: int

    family: ClassVar[str] = "levels"
    letter: ClassVar[str] = "Z"

    def parts(self, shape):
        return (Part("levels", shape.weight_shape, 3),)

    def check_codes(self, codes):
        if (codes["levels"] > 5).any():
            raise BankwiseError("damaged")

    def weight(self, shape, codes):
        return (codes["levels"].float() * self.step + self.first) / self.over

    def rate(self, shape):
        return 1.0

    def capture(self, shape):
        return 0.5

    def basis(self, shape, generator=None):
        raise NotImplementedError


class Squares(Levels):
    def weight(self, shape, codes):
        return codes["levels"].float().square()


class Neighbours(Levels):
    """A weight depends on the code before it."""

    def weight(self, shape, codes):
        return codes["levels"].float() + codes["levels"].roll(1, 1)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_a_family_of_equal_steps_says_nothing_and_is_unpacked(tmp_path):
    choices = [Levels(-1, 1, 1), Levels(-5, 2, 5), Levels(0, 3, 7), Levels(4, -1, 1), Levels(-6, 4, 2)]
    codes = {"levels": torch.randint(6, SHAPE.weight_shape, generator=torch.Generator().manual_seed(3))}
    written, planes = unpacked(tmp_path, [(SHAPE, choice, codes) for choice in choices])
    for choice, numbers, plane in zip(choices, written, planes, strict=True):
        torch.testing.assert_close(numbers / plane.denominator, choice.weight(SHAPE, codes))
        assert float(numbers.abs().max()) <= plane.largest
    assert [plane.denominator for plane in planes] == [1, 5, 7, 1, 1]


def test_what_is_found_of_codes_is_what_the_integers_say():
    for bits in range(2, 9):
        packed = Packed({"levels": "data"}, "own")
        assert plane_of_codes(Integer(bits), LINEAR, packed) == Integer(bits).in_c(LINEAR, packed)


@pytest.mark.parametrize("family", [Squares, Neighbours])
def test_a_family_that_c_cannot_guess_is_one_line_that_names_it(family):
    with pytest.raises(BankwiseError, match=rf"^layer conv: family '.*:{family.__name__}' does not say how C .*`in_c`"):
        family(0, 1, 1).in_c(SHAPE, Packed({"levels": "data"}, "own"))


def test_a_function_of_c_that_no_target_has_is_one_line():
    plane = Plane("plane_mine", {})
    with pytest.raises(BankwiseError, match="unknown function of C 'plane_mine'"):
        kernels([plane.function])


def test_a_denominator_that_c_does_not_hold_is_none():
    """Two fractions of small denominators have a common one that may be large: that of a struct is an int16_t."""

    class Fine(Levels):
        def weight(self, shape, codes):
            return codes["levels"].float() * (1 / 3001 - 1 / 2999) + 1 / 2999

    for family in (Fine, Levels):
        if family is Levels:  # a small one is found
            assert family(1, 1, 181).in_c(SHAPE, Packed({"levels": "data"}, "own")).denominator == 181
        else:
            with pytest.raises(BankwiseError, match="does not say how C"):
                family(0, 1, 1).in_c(SHAPE, Packed({"levels": "data"}, "own"))
    for wrong in (0, 2**15):
        with pytest.raises(BankwiseError, match=f"denominator {wrong} must be from 1 to 32,767"):
            Plane("plane_codes", {}, wrong)
