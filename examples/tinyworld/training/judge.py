"""Trains the small judge: train.py judge [--stage 1|2].

Stage 1 learns from the oracle on rendered clips; stage 2 starts from it and adds the small generator's
clips and natural pictures in motion.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional as F

from . import world
from .common import Loop, load_config, pick_device, seed_all
from .judge_card import write_card
from .judge_data import KINDS, MOTIONS, PHYSICAL, Batcher, Source, aux_targets, in_motion, labelled, rendered, to_patches
from .natural import VISUAL
from .judge_generated import Kept, collect, prompts_of, sample
from .judge_model import DIMENSIONS, VIDEO_TOKENS, Fast, make_model, make_tokenizer, save_folder, write


class Heads(nn.Module):
    """Thrown away after training: they make the vision tower look at the right things early on."""

    def __init__(self, hidden: int):
        super().__init__()
        self.seen, self.thought = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.there, self.ground, self.moves = (nn.Linear(hidden, n) for n in (KINDS, 4, len(MOTIONS)))
        self.picture = nn.Sequential(nn.Linear(hidden, 64), nn.GELU())
        self.visual = nn.Linear(64, 1 + len(VISUAL))
        self.physical = nn.Sequential(nn.Linear(hidden, 64), nn.GELU(), nn.Linear(64, 1 + len(PHYSICAL)))

    def forward(self, seen, thought, items):
        """seen (B, tokens, hidden) of the vision tower, thought (B, hidden) after the last video token."""
        there, moves, ground, visual, physical, scored, known = aux_targets(items)
        seen, thought = self.seen(seen.float()), self.thought(thought.float())
        loss = F.binary_cross_entropy_with_logits(
            self.there(seen).logsumexp(1) - 4, there, reduction="none").sum(1).mul(known[:, 0]).mean()
        loss = loss + F.binary_cross_entropy_with_logits(
            self.moves(thought), moves, reduction="none").sum(1).mul(known[:, 0]).mean()
        if (ground >= 0).any():
            loss = loss + F.cross_entropy(self.ground(seen.mean(1)), ground)
        guess = self.visual(self.picture(seen).mean(1))
        loss = loss + 4 * ((guess - visual).square().sum(1) * scored[:, 0]).mean()
        return loss + 4 * ((self.physical(thought) - physical).square().sum(1) * scored[:, 1]).mean()


class Average:
    """Exponential moving average of the model's weights."""

    def __init__(self, model, decay):
        self.model, self.decay = model, decay
        self.values = {name: value.detach().clone() for name, value in model.named_parameters()}

    def update(self, step):
        decay = min(self.decay, (1 + step) / (10 + step))
        names = list(self.values)
        live = dict(self.model.named_parameters())
        torch._foreach_lerp_([self.values[n] for n in names], [live[n].detach() for n in names], 1 - decay)

    def state_dict(self):
        return self.values

    def load_state_dict(self, values):
        for name, value in values.items():
            self.values[name].copy_(value)

    def swap(self):
        """Exchanges the model's weights and the average; call it twice."""
        with torch.no_grad():
            for name, value in self.model.named_parameters():
                kept = value.detach().clone()
                value.copy_(self.values[name])
                self.values[name].copy_(kept)


def patches_of(items):
    return to_patches(torch.from_numpy(np.stack([item.frames for item in items])).to(torch.get_default_device()))


class Judge:
    """Model, tokenizer and what is needed to use them from Python."""

    def __init__(self, settings):
        words = list(dict.fromkeys(world.words() + ["Asked", "slight", "clear", "strong", ":", "."] +
                                   [str(i) for i in range(10)] + settings["words"]))
        self.tokenizer = make_tokenizer(words, [])
        short = [w for w in world.words() if len(self.tokenizer.encode(" " + w)) != 1 and not w.isdigit()]
        if short:
            raise ValueError(f"words of the tiny world that are not one token: {short}")
        self.model = make_model(self.tokenizer, settings["model"])
        self.batcher = Batcher(self.tokenizer, self.model.config.video_token_id)
        self.fast = Fast(self.model, self.tokenizer, torch.bfloat16)

    def rationales(self, items, patches=None):
        if patches is None:
            patches = patches_of(items)
        think_end = self.tokenizer.convert_tokens_to_ids("</think>")
        questions = [self.batcher.question(item.prompt) for item in items]
        answers = write(self.fast, patches, questions, {think_end, self.batcher.end})
        return [self.tokenizer.decode(a).replace("<think>", "") for a in answers]

    @torch.no_grad()
    def score(self, items, chunk=64):
        """(n, 3) expected digits and the rationales, as the C++ engine reads them."""
        expected, texts = [], []
        self.fast.begin()
        for i in range(0, len(items), chunk):
            part = items[i : i + chunk]
            patches = patches_of(part)
            texts += self.rationales(part, patches)
            ids, _, places = self.batcher.text(part, texts[i : i + chunk])
            hidden = self.fast.think(self.fast.place(ids, self.fast.see(patches)))
            digits = self.fast.logits(hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[-1])))
            expected.append((digits[..., self.batcher.digits].softmax(-1) * torch.arange(1.0, 6.0)).sum(-1))
        return torch.cat(expected).cpu().numpy(), texts


def optimizers(model, heads, settings):
    matrices, others = [], list(heads.parameters())
    for name, value in model.named_parameters():
        hidden = value.dim() == 2 and "embed_tokens" not in name and "lm_head" not in name
        (matrices if hidden else others).append(value)
    muon = torch.optim.Muon(matrices, lr=settings["muon"], weight_decay=settings["decay"],
                            adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(others, lr=settings["adamw"], betas=(0.9, 0.98), weight_decay=settings["decay"])
    return muon, adamw


def losses(judge, heads, items, own: bool, blind: float):
    """Weighted loss and its parts. `own`: digits after the judge's own rationale, not after the true one."""
    patches = patches_of(items)
    judge.fast.begin()
    if own:
        ids, weight, places = judge.batcher.text(items, judge.rationales(items, patches))
    else:
        ids, weight, places = judge.batcher.text(items, blind=(torch.rand(len(items)) < blind).tolist())
    seen = judge.fast.see(patches)
    hidden = judge.fast.think(judge.fast.place(ids, seen))
    rows = torch.arange(len(items))[:, None]
    soft = judge.batcher.soft(items)
    logits = judge.fast.logits(hidden[rows, places]).log_softmax(-1)[..., judge.batcher.digits]
    scored = torch.tensor([item.scored for item in items])
    # Less the labels' own entropy, so that 0 is perfect.
    digits = ((soft * (soft.clamp(min=1e-9).log() - logits)).sum(-1) * scored).sum() / len(items)
    text = torch.zeros(())
    if not own:
        at = weight[:, :-1].nonzero(as_tuple=True)
        terms = F.cross_entropy(judge.fast.logits(hidden[:, :-1][at]), ids[:, 1:][at], reduction="none")
        text = (terms * weight[:, :-1][at]).sum() / len(items)
    last = judge.fast.before + VIDEO_TOKENS - 1
    aux = heads(seen, hidden[:, last], items)
    return 5 * digits + text + aux, {"digits": digits, "text": text, "aux": aux}


def spearman(items, expected):
    truth, scored = np.array([i.truth for i in items]), np.array([i.scored for i in items]) > 0
    out = {}
    for k, name in enumerate(DIMENSIONS):
        if scored[:, k].sum() > 2:
            out[name] = float(spearmanr(truth[scored[:, k], k], expected[scored[:, k], k]).statistic)
    return out


def train(judge, settings, name, folder, source, dev):
    """One stage; `source(step, count)` gives items."""
    stage, heads = settings["stages"][name], Heads(settings["model"]["text"]["hidden_size"])
    muon, adamw = optimizers(judge.model, heads, stage)
    average = Average(judge.model, stage["ema"])
    loop = Loop(folder, {"model": judge.model, "heads": heads, "muon": muon, "adamw": adamw, "average": average},
                minutes=stage["minutes"], save_seconds=120)
    peak = {id(muon): stage["muon"], id(adamw): stage["adamw"]}
    looked = time.monotonic()
    for step in loop:
        rate = min(1.0, (step + 1) / 100) * min(1.0, (1 - loop.fraction) / stage["cooldown"])
        for optimizer in (muon, adamw):
            for group in optimizer.param_groups:
                group["lr"] = peak[id(optimizer)] * max(rate, 0.01)
        items = source(step, stage["batch"])
        own = loop.fraction > stage["own_from"] and step % stage["own_every"] == 0
        loss, parts = losses(judge, heads, items, own, stage["blind"])
        loss.backward()
        nn.utils.clip_grad_norm_(judge.model.parameters(), 10.0)
        for optimizer in (muon, adamw):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        average.update(step)
        if not own:
            loop.log(**{name: value.item() for name, value in parts.items()})
        if time.monotonic() - looked > 240:
            look(judge, settings, name, loop, average, dev)
            looked = time.monotonic()
    look(judge, settings, name, loop, average, dev)
    average.swap()


def look(judge, settings, name, loop, average, dev):
    """Where the averaged weights are on clips not trained on, and the checkpoint."""
    average.swap()
    figures = {}
    for kind, held in dev.items():
        figures[kind] = found = spearman(held, judge.score(held)[0])
        print(f"[{loop.folder.name}] {kind}: " + "  ".join(f"{n} {v:.3f}" for n, v in found.items()), flush=True)
    publish(judge, settings, name, loop, figures)
    average.swap()


def publish(judge, settings, name, loop, figures):
    """The averaged weights as a checkpoint, with what they learned from and how far they are."""
    folder = loop.folder / "checkpoint"
    save_folder(judge.model, judge.tokenizer, folder)
    where = "a GPU" if torch.get_default_device().type == "cuda" else f"{torch.get_num_threads()} thread(s) of a shared CPU"
    lines = [f"`examples/tinyworld/train.py judge`, seed {settings['seed']}, on {where}:", ""]
    for other, stage in settings["stages"].items():
        path = loop.folder.parent / f"stage{other}" / "used.json"
        if other != name and not path.exists():
            continue
        used = {"steps": loop.step, "minutes": loop.elapsed / 60} if other == name else json.loads(path.read_text())
        data = "rendered clips of train prompts with flaws, labelled by the oracle"
        if "mix" in stage:
            data += (f"; of {stage['batch'] // 2}, {stage['mix']['generated']} are the small generator's ({stage['generated']} clips, the "
                     f"share {stage['share_vae']} of them rendered clips through its VAE) and {stage['mix']['natural']} "
                     "natural pictures of scikit-image in motion")
        seen = used["steps"] * stage["batch"]
        lines.append(f"- stage {other}: {used['steps']} steps, {seen:,} views of {seen // 2:,} clips, {used['minutes']:.0f} minutes: {data}")
        if other == name:
            (loop.folder / "used.json").write_text(json.dumps(used))
    table = ["Spearman of `expected` with the truth on clips of dev prompts, computed in Python:", "",
             "| clips | " + " | ".join(DIMENSIONS) + " |", "|---|" + "---|" * len(DIMENSIONS)]
    for kind, found in figures.items():
        table.append(f"| {kind} | " + " | ".join(f"{found[d]:.2f}" if d in found else "" for d in DIMENSIONS) + " |")
    count = sum(p.numel() for p in judge.model.parameters())
    write_card(folder, count, "\n".join(lines), "\n".join(table))


def main(args) -> None:
    settings = load_config(args.config)
    torch.set_default_device(pick_device())
    seed_all(settings["seed"])
    judge = Judge(settings)
    print(f"{sum(p.numel() for p in judge.model.parameters()):,} parameters, {len(judge.tokenizer)} tokens", flush=True)
    before = None
    for name, stage in settings["stages"].items():
        folder = args.out / f"stage{name}"
        wanted = args.stage in (None, name)
        if wanted:
            if before is not None and (before / "average.pt").exists():
                judge.model.load_state_dict(torch.load(before / "average.pt", map_location=torch.get_default_device()))
            run_stage(judge, settings, name, stage, folder)
            torch.save(judge.model.state_dict(), folder / "average.pt")
        before = folder


def run_stage(judge, settings, name, stage, folder):
    """Stage 2 mixes rendered clips, the generator's and natural pictures by the weights of its `mix`."""
    base = (int(name) + 1) * 100_000_000
    dev = {"rendered": rendered(base - 10_000_000, 192, "dev")}
    make = rendered
    if "mix" in stage:
        made = folder.parent / "generated"
        collect(Path(stage["generator"]), made, stage["generated"], base, stage["share_vae"])
        kept = Kept(made)
        dev["natural"] = in_motion(base - 5_000_000, 96, settings["words"])
        dev["generated"] = generated_dev(Path(stage["generator"]), made / "dev.npz")

        def make(seed, count):
            rest = count - sum(stage["mix"].values())
            return (kept(seed, stage["mix"]["generated"]) + rendered(seed, rest) +
                    in_motion(seed, stage["mix"]["natural"], settings["words"]))

    train(judge, settings, name, folder, Source(make, base), dev)


def generated_dev(generator: Path, path: Path, prompts=10, seeds=8):
    """The generator's clips of dev prompts."""
    if not path.exists():
        asked = prompts_of("dev", 30_000_000, prompts)
        clips = sample(generator, asked, seeds, seed=50_000)
        np.savez(path, clips=clips, prompts=json.dumps(asked))
    with np.load(path) as file:
        pairs = [(p, c) for p, row in zip(json.loads(str(file["prompts"])), file["clips"]) for c in row]
    return [labelled(clip, prompt, world.oracle(prompt, clip)) for prompt, clip in pairs]
