"""The self test of sources with int8 activations: logits that must be those of the reference, bit for bit."""

from __future__ import annotations

import torch

from bankwise.search_space.plan import Plan
from bankwise.search_space.targets.c.int8.pixels import of_pixels
from bankwise.search_space.targets.c.int8.reference import Reference
from bankwise.search_space.targets.c.memory import IMAGE
from bankwise.search_space.targets.c.project import IMAGES, noise


def self_test(name: str, plan: Plan, reference: Reference) -> str:
    """A program that compares logits with those of the reference; its exit status is 0 where all are the same."""
    upper, pixels, scale = name.upper(), noise(plan), reference.scales[IMAGE]
    inputs, entry = of_pixels(plan, scale, pixels), f"{upper}_QUANTIZE(i / ({upper}_HEIGHT * {upper}_WIDTH), v)"
    if inputs is None:
        inputs, entry = (pixels.short() - 128).clamp(min=-127).to(torch.int8), "(int8_t)(v < 1 ? -127 : v - 128)"
    rows = [f"        {{{', '.join(map(str, row.tolist()))}}}," for row in reference.logits(inputs)]
    return "\n".join(
        [
            f"/* {name}_test.c: logits of {IMAGES} images of noise, which are the same whole numbers everywhere. */",
            f'#include "{name}.h"',
            "",
            "#include <stdio.h>",
            "",
            "int main(void)",
            "{",
            f"    static const {name}_logit_t expected[{IMAGES}][{upper}_CLASSES] = {{",
            *rows,
            "    };",
            f"    static {name}_input_t image[{upper}_INPUTS];",
            f"    static {name}_logit_t logits[{upper}_CLASSES];",
            "    uint32_t state = 1;",
            "    int n, i, other = 0;",
            f"    for (n = 0; n < {IMAGES}; n++) {{",
            f"        for (i = 0; i < {upper}_INPUTS; i++) {{",
            "            int32_t v;",
            "            state = state * 1664525u + 1013904223u;",
            "            v = (int32_t)(state >> 24);",
            f"            image[i] = {entry};",
            "        }",
            f"        {name}_predict(image, logits);",
            f"        for (i = 0; i < {upper}_CLASSES; i++)",
            "            other += logits[i] != expected[n][i];",
            "    }",
            '    printf("%d of %d logits differ\\n", other, n * i);',
            "    return other == 0 ? 0 : 1;",
            "}",
            "",
        ]
    )
