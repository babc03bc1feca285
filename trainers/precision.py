"""Where a training computes in bfloat16."""

from __future__ import annotations

from functools import cache

import torch


def in_bfloat16(amp: str, device: torch.device | str) -> bool:
    """Whether a training by `Recipe.amp` on that device autocasts. `auto`: on CUDA, and on a CPU that multiplies
    bfloat16 itself (AVX-512 BF16, AMX); others would imitate it, more slowly than float32."""
    if amp != "auto":
        return amp == "on"
    return torch.device(device).type == "cuda" or _on_this_cpu()


@cache
def _on_this_cpu() -> bool:
    found: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # torch before 2.10 does not say
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
