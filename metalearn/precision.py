"""Which number formats a processor gains from."""

import torch


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the processor has instructions for bfloat16, so that it gains from it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has = getattr(torch.cpu, "get_capabilities", dict)()  # older releases of torch cannot say
    return device.type == "cpu" and (has.get("avx512_bf16", False) or has.get("amx_bf16", False))
