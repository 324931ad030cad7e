"""Muon (Jordan et al. 2024) for weights of any rank, beside AdamW for the rest, as one optimizer.

torch.optim.Muon takes matrices only; most of a video VAE's weights are 5-D convolution kernels, which
are matrices of (out, in * kernel).
"""

from __future__ import annotations

import torch


def orthogonalise(stack: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The nearest semi-orthogonal matrices of a stack (n, rows, columns), by Newton-Schulz."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = stack.shape[1] > stack.shape[2]
    x = stack.transpose(1, 2) if tall else stack
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(torch.bfloat16)
    for _ in range(steps):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.transpose(1, 2) if tall else x).to(stack.dtype)


class MuonAdamW:
    """Muon for `matrices`, AdamW for `others`; `scale` multiplies both rates (the schedule)."""

    def __init__(self, matrices, others, *, muon_lr, adamw_lr, momentum=0.95, weight_decay=0.0):
        self.matrices = list(matrices)
        self.muon_lr, self.adamw_lr, self.momentum, self.decay = muon_lr, adamw_lr, momentum, weight_decay
        self.buffers = [torch.zeros_like(p) for p in self.matrices]
        self.adamw = torch.optim.AdamW(others, lr=adamw_lr, betas=(0.9, 0.98), weight_decay=0.0)
        self.groups: dict[tuple, list[int]] = {}
        for index, p in enumerate(self.matrices):
            self.groups.setdefault((p.shape[0], p.numel() // p.shape[0]), []).append(index)

    @torch.no_grad()
    def step(self, scale: float = 1.0) -> None:
        for shape, members in self.groups.items():
            updates = []
            for index in members:
                grad, buffer = self.matrices[index].grad, self.buffers[index]
                buffer.lerp_(grad, 1 - self.momentum)
                updates.append(grad.lerp(buffer, self.momentum).reshape(shape))
            # The factor makes an update as large as AdamW's, so that rates are of a kind.
            rate = self.muon_lr * scale * 0.2 * max(shape) ** 0.5
            for index, update in zip(members, orthogonalise(torch.stack(updates))):
                p = self.matrices[index]
                p.mul_(1 - self.muon_lr * scale * self.decay)
                p.sub_(update.reshape(p.shape), alpha=rate)
        for group in self.adamw.param_groups:
            group["lr"] = self.adamw_lr * scale
        self.adamw.step()

    def zero_grad(self) -> None:
        for p in self.matrices:
            p.grad = None
        self.adamw.zero_grad()

    def state_dict(self):
        return {"buffers": self.buffers, "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state):
        for mine, saved in zip(self.buffers, state["buffers"]):
            mine.copy_(saved)
        self.adamw.load_state_dict(state["adamw"])


def split_parameters(modules, also_adamw=()):
    """(matrices, others): others are vectors and every parameter whose name holds a part of also_adamw."""
    matrices, others = [], []
    for module in modules:
        for name, p in module.named_parameters():
            plain = p.ndim < 2 or p.numel() in p.shape or any(part in name for part in also_adamw)
            (others if plain else matrices).append(p)
    return matrices, others
