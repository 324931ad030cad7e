"""A small checkpoint that has learnt to write given answers, so that free answers can be tested."""

import json

import torch
from qwen_vl_utils import process_vision_info

import checkpoints

THINK = "\n<think>\nThe video is good.</think>\n"
BLOCK = ("\n(1) visual quality: {}\n(2) text-to-video alignment: {}\n"
         "(3) physical/common-sense consistency: {}\n")
LABELS = ("visual quality", "text-to-video alignment", "physical/common-sense consistency")
QUERY = "Judge $t2v_prompt. Scores:"

# The user's prompt decides which answer is written.
ANSWERS = {
    "good": THINK + BLOCK.format(4, 3, 5),
    "other": THINK + BLOCK.format(2, 2, 1),
    # Digits after the same labels inside the rationale.
    "misleading": "\n<think>\nvisual quality: 5, text-to-video alignment: 5, "
                  "physical/common-sense consistency: 1, score 3/5.</think>\n" + BLOCK.format(3, 4, 2),
    "descriptor": THINK + "\n(1) visual quality – sharp, smooth: 3\n(2) text-to-video alignment – "
                  "green, red: 4\n(3) physical/common-sense consistency – moves left: 4\n",
    "missing": "\n<think>\nThe video is good.",
    "halfway": THINK + "\n(1) visual quality: 4\n(2) text-to-video alignment: good\n",
}


def messages(clip, prompt):
    return [{"role": "user", "content": [
        {"type": "video", "video": str(clip), "fps": 2.0},
        {"type": "text", "text": QUERY.replace("$t2v_prompt", prompt)}]}]


def reference_inputs(folder, clip, prompt):
    """What the published script hands to the model."""
    processor = checkpoints.processor(folder)
    conversation = messages(clip, prompt)
    text = processor.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    _, videos = process_vision_info(conversation)
    return processor(text=[text], videos=videos, fps=2.0, return_tensors="pt")


def train(folder, clip):
    """Teaches the checkpoint in `folder` its answers; writes the weights back."""
    torch.manual_seed(0)
    model = checkpoints.reference(folder)
    tokenizer = checkpoints.processor(folder).tokenizer
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    samples = []
    with torch.no_grad():
        for prompt, answer in ANSWERS.items():
            inputs = reference_inputs(folder, clip, prompt)
            ids = inputs["input_ids"][0]
            answer = torch.tensor(tokenizer.encode(answer) + [end])
            whole = torch.cat([ids, answer])
            embeds = model.model.language_model.embed_tokens(whole)
            video = model.model.get_video_features(
                inputs["pixel_values_videos"], inputs["video_grid_thw"])[0]
            positions, _ = model.model.get_rope_index(
                whole[None], None, inputs["video_grid_thw"],
                second_per_grid_ts=torch.tensor([1.0]))
            samples.append((whole, len(ids), video, positions))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("visual" not in name)
    longest = max(len(s[0]) for s in samples)
    ids = torch.full((len(samples), longest), end)
    labels = torch.full((len(samples), longest), -100)
    positions = torch.zeros(3, len(samples), longest, dtype=torch.long)
    for row, (whole, prompt, _, where) in enumerate(samples):
        ids[row, : len(whole)] = whole
        labels[row, prompt: len(whole)] = whole[prompt:]
        positions[:, row, : len(whole)] = where[:, 0]
    is_video = (ids == model.config.video_token_id)[..., None]
    video = torch.cat([s[2] for s in samples])
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(400):
        embeds = model.model.language_model.embed_tokens(ids)
        embeds = embeds.masked_scatter(is_video.expand_as(embeds), video)
        hidden = model.model.language_model(
            inputs_embeds=embeds, position_ids=positions, use_cache=False,
            attention_mask=torch.ones_like(ids)).last_hidden_state
        wanted = labels[:, 1:] >= 0
        loss = torch.nn.functional.cross_entropy(
            model.lm_head(hidden[:, :-1][wanted]), labels[:, 1:][wanted])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if loss.item() < 0.02:
            break
    assert loss.item() < 0.1, f"the author has not learnt its answers: loss {loss.item()}"
    model.save_pretrained(folder)
    (folder / "template.txt").write_text(QUERY)
    return folder
