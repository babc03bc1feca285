"""What lies beside NAME.c: a self test, an example, and how to build them."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import nn

from bankwise.search_space.errors import BankwiseError
from bankwise.search_space.images import Images
from bankwise.search_space.normalization import SYMMETRIC
from bankwise.search_space.plan import Plan
from bankwise.search_space.shape import NetworkShape

IMAGES = 4  # of the self test


@torch.no_grad()
def bound(shape: NetworkShape, network: nn.Module, inputs: Sequence[torch.Tensor]) -> float:
    """How far logits may lie from torch's: 2^-24 of the largest for each addition on the way to it (those of all
    layers, one after the other), the first-order bound of rounding where no sum cancels; and, where rounding is
    amplified, four times as far as torch's own lie from those in double precision."""
    additions = sum(layer.weights // layer.n + 4 for layer in shape.layers)
    single = torch.cat([network(one) for one in inputs])
    double = copy.deepcopy(network).double()
    exact = torch.cat([double(one.double()) for one in inputs])
    return 2**-24 * additions * float(single.abs().max()) + 4 * float((single - exact).abs().max())


def noise(plan: Plan) -> torch.Tensor:
    """uint8 (IMAGES, channels, height, width): high bytes of a linear congruential generator, as in the test."""
    count, state, pixels = IMAGES * math.prod(plan.input_shape), 1, bytearray()
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        pixels.append(state >> 24)
    return torch.frombuffer(pixels, dtype=torch.uint8).reshape(IMAGES, *plan.input_shape)


@torch.no_grad()
def self_test(name: str, shape: NetworkShape, plan: Plan, network: nn.Module) -> str:
    """A program that compares logits with those of torch; its exit status is 0 where all are within `bound`.

    Raises BankwiseError where these are not finite.
    """
    upper, images = name.upper(), plan.images or Images()
    known = images if images.normalization is not None else Images(SYMMETRIC)
    entry = f"{upper}_NORMALIZE(i / ({upper}_HEIGHT * {upper}_WIDTH), state >> 24)"
    if known is not images:
        entry = "(float)(state >> 24) / 127.5f - 1.0f"
    inputs = [known.to_input(one[None]) for one in noise(plan)]
    expected, allowed = torch.cat([network(one) for one in inputs]), bound(shape, network, inputs)
    if not bool(expected.isfinite().all()):
        raise BankwiseError(f"network {plan.network!r} cannot be exported to C: it gives logits that are not finite")
    rows = [f"        {{{', '.join(f'{float(one)!r}f' for one in row)}}}," for row in expected]
    return "\n".join(
        [
            f"/* {name}_test.c: logits of {IMAGES} images of noise, compared with those of PyTorch. */",
            f'#include "{name}.h"',
            "",
            "#include <stdint.h>",
            "#include <stdio.h>",
            "",
            "int main(void)",
            "{",
            f"    static const float expected[{IMAGES}][{upper}_CLASSES] = {{",
            *rows,
            "    };",
            f"    static {name}_input_t image[{upper}_INPUTS];",
            f"    static {name}_logit_t logits[{upper}_CLASSES];",
            "    float worst = 0.0f;",
            "    uint32_t state = 1;",
            "    int n, i;",
            f"    for (n = 0; n < {IMAGES}; n++) {{",
            f"        for (i = 0; i < {upper}_INPUTS; i++) {{",
            "            state = state * 1664525u + 1013904223u;",
            f"            image[i] = {entry};",
            "        }",
            f"        {name}_predict(image, logits);",
            f"        for (i = 0; i < {upper}_CLASSES; i++) {{",
            "            float off = logits[i] - expected[n][i];",
            "            off = off < 0.0f ? -off : off;",
            "            if (!(off <= worst))",
            "                worst = off;",
            "        }",
            "    }",
            f'    printf("largest difference %.3e, allowed {allowed:.3e}\\n", (double)worst);',
            f"    return (double)worst <= {allowed:.9e} ? 0 : 1;",
            "}",
            "",
        ]
    )


def example(name: str, activations: str) -> str:
    upper = name.upper()
    given = "floats, normalized," if activations == "float32" else "int8 inputs"
    return f"""/* main.c: the class of an image of raw {given} on standard input. */
#include "{name}.h"

#include <stdio.h>

int main(void)
{{
    static {name}_input_t image[{upper}_INPUTS];
    static {name}_logit_t logits[{upper}_CLASSES];
    int best, i;
    while (fread(image, sizeof image, 1, stdin) == 1) {{
        {name}_predict(image, logits);
        for (best = 0, i = 1; i < {upper}_CLASSES; i++)
            if (logits[i] > logits[best])
                best = i;
        printf("%d %.6g\\n", best, (double)logits[best]);
    }}
    return 0;
}}
"""


def makefile(name: str) -> str:
    return f"""CC ?= cc
CFLAGS ?= -O2
override CFLAGS += -std=c99 -ffp-contract=off -Wall -Wextra -Wpedantic -Wconversion

all: {name} {name}_test

test: {name}_test
	./{name}_test

{name}: main.o {name}.o
	$(CC) $(CFLAGS) -o $@ $^ -lm

{name}_test: {name}_test.o {name}.o
	$(CC) $(CFLAGS) -o $@ $^ -lm

%.o: %.c {name}.h
	$(CC) $(CFLAGS) -c -o $@ $<

clean:
	rm -f *.o {name} {name}_test

.PHONY: all test clean
"""


def cmake(name: str) -> str:
    return f"""cmake_minimum_required(VERSION 3.10)
project({name} C)
set(CMAKE_C_STANDARD 99)
set(CMAKE_C_EXTENSIONS OFF)

add_library({name} STATIC {name}.c)
target_include_directories({name} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})
target_compile_options({name} PRIVATE $<$<C_COMPILER_ID:GNU,Clang>:-ffp-contract=off>)
if(UNIX)
    target_link_libraries({name} PUBLIC m)
endif()

if(CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_SOURCE_DIR)
    enable_testing()
    add_executable({name}_main main.c)
    target_link_libraries({name}_main {name})
    add_executable({name}_test {name}_test.c)
    target_link_libraries({name}_test {name})
    add_test(NAME {name} COMMAND {name}_test)
endif()
"""
