"""Zero-shot scoring beside lm-eval's `HFLM`: the same model, the same requests, in one run.

    python benchmarks/scoring.py                     # a Llama of 27M parameters, 1 item in 40
    python benchmarks/scoring.py --share 0.1 --rounds 3
    python benchmarks/scoring.py --tasks boolq --items 50 --stretch 1,10,40

Items are synthetic, as long as the real ones (`scoring_items.py`) or so many times as long; weights
are random. Both read up to the model's 8,192 positions; its training windows have 64 tokens. They
alternate, `HFLM` at each batch size; the fastest round of a task counts, on a CPU in CPU seconds,
which other processes do not change. The mix is the 13 tasks with as many items each as the real
ones have. Log-likelihoods must agree to 1e-4 and every decision must be the same.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM  # needs accelerate and peft
from scoring_items import NUM_ITEMS, Writer, items
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from raydistill.data.tokenizer import END_OF_TEXT, train_tokenizer
from raydistill.evaluation.lm_harness.adapter import DecoderLM
from raydistill.evaluation.lm_harness.file_tasks import paper_task
from raydistill.evaluation.lm_harness.task_data import ITEMS
from raydistill.models.huggingface.checkpoint import read_checkpoint
from raydistill.models.huggingface.loading import load_pretrained

VOCAB_SIZE, POSITIONS, WINDOW = 32_768, 8_192, 64


def main() -> None:
    """Measure and print."""
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--share", type=float, default=1 / 40, help="of the real number of items")
    flags.add_argument("--items", type=int, help="of every task, instead")
    flags.add_argument("--stretch", default="1", help="how many times as long the items are: 1,10")
    flags.add_argument("--rounds", type=int, default=2)
    flags.add_argument("--batch-size", default="1,16", help="of HFLM")
    flags.add_argument("--tasks", default=",".join(NUM_ITEMS))
    flags.add_argument("--device", default="cpu")
    args = flags.parse_args()
    tokenizer = train_tokenizer([" ".join(Writer(0).words)], VOCAB_SIZE)
    batch_sizes = [int(size) for size in args.batch_size.split(",")]
    ours, theirs = models(tokenizer, args.device, batch_sizes)
    heads = "".join(f"{f'HFLM({size}) s':>14} times" for size in batch_sizes)
    print(f"task       requests  longest   ours s{heads}  largest difference")
    for stretch in map(int, args.stretch.split(",")):
        mix = [0.0] * (1 + len(theirs))
        for task in args.tasks.split(","):
            size = args.items or max(16, round(args.share * NUM_ITEMS[task]))
            requests = requests_of(task, size, stretch)
            seconds, difference = measured([ours, *theirs], requests, args.rounds)
            longest = max(len(ours.tok_encode("".join(request.args))) for request in requests)
            line(task, len(requests), longest, seconds, f"{difference:20.1e}")
            mix = [m + NUM_ITEMS[task] / size * s for m, s in zip(mix, seconds, strict=True)]
        line("mix", 0, 0, mix, "")


def line(name: str, requests: int, longest: int, seconds: Sequence[float], rest: str) -> None:
    """One row."""
    ours, *theirs = seconds
    columns = "".join(f"{s:14.2f}{s / ours:6.2f}" for s in theirs)
    print(f"{name:14}{requests or '':>5}{longest or '':>9}{ours:9.2f}{columns}{rest}", flush=True)


def measured(lms: Sequence[Any], requests: list[Any], rounds: int) -> tuple[list[float], float]:
    """The seconds of each, and the largest difference from the first in a log-likelihood."""
    (seconds, answers), *others = (timed(lm, requests, rounds) for lm in lms)
    for _, other in others:
        assert [a[1] for a in answers] == [b[1] for b in other], "a decision differs"
    difference = max(
        abs(a[0] - b[0]) for _, other in others for a, b in zip(answers, other, strict=True)
    )
    assert difference < 1e-4, difference
    return [seconds, *(s for s, _ in others)], difference


def models(
    tokenizer: Tokenizer, device: str, batch_sizes: Sequence[int]
) -> tuple[DecoderLM, list[Any]]:
    """The same weights behind all."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB_SIZE, hidden_size=384, intermediate_size=1024, num_hidden_layers=8,
        num_attention_heads=6, num_key_value_heads=6, max_position_embeddings=POSITIONS,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        LlamaForCausalLM(config).save_pretrained(folder)
        decoder = load_pretrained(read_checkpoint(folder, "main", WINDOW)).to(device).eval()
    inner = decoder.inner
    print(f"{sum(p.numel() for p in inner.parameters()) / 1e6:.1f}M parameters, {device}")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END_OF_TEXT)
    theirs = [HFLM(pretrained=inner, tokenizer=fast, batch_size=size) for size in batch_sizes]
    ours = DecoderLM(decoder, tokenizer, tokenizer.token_to_id(END_OF_TEXT))
    assert {lm.max_length for lm in (ours, *theirs)} == {POSITIONS}
    return ours, theirs


def requests_of(task: str, size: int, stretch: int) -> list[Any]:
    """lm-eval's requests for `size` items, `stretch` times as long as real ones."""
    with tempfile.TemporaryDirectory() as folder:
        lines = "\n".join(map(json.dumps, items(task, size, stretch=stretch)))
        Path(folder, ITEMS).write_text(lines)
        lm_eval_task = paper_task(task, Path(folder), 0)
        lm_eval_task.build_all_requests()
        return list(lm_eval_task.instances)


def timed(lm: Any, requests: list[Any], rounds: int) -> tuple[float, list[tuple[float, bool]]]:
    """The fastest of the rounds, in seconds, and the answers."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    seconds = []
    for _ in range(rounds):
        start_s = clock()
        answers = lm.loglikelihood(requests, disable_tqdm=True)
        seconds.append(clock() - start_s)
    return min(seconds), answers


if __name__ == "__main__":
    main()
