"""`raydistill rank`: which layers of a model matter, in minutes and without training."""

import argparse
import re
from pathlib import Path

import torch

from raydistill.cli.arguments.named_model import open_model
from raydistill.core.paths import resolve_path
from raydistill.pruning.calibration import default_device, read_sample
from raydistill.pruning.ranking import rank as measure
from raydistill.pruning.ranking_result import counts_of
from raydistill.reports import ranking
from raydistill.reports.console.console import open_console
from raydistill.reports.figures import panels as pictures
from raydistill.reports.figures.ranking import ranking_figure
from raydistill.reports.formats.terminal import print_section
from raydistill.storage.manifest import write_text
from raydistill.storage.output_folder import check_output, output_folder, write_errors
from raydistill.storage.store import Store


def rank(store: Store, flags: argparse.Namespace) -> int:
    """Measure a model, print the tables, and write them with a picture.

    Raises:
        UsageError: if the model cannot give a count, or `flags.to` may not be written.
        DataError: if the model or the text cannot be read.
    """
    counts, console = flags.count, open_console()
    if flags.to:
        check_output(flags.to)
    named = open_model(flags.model, flags.revision, store)
    counts_of(counts, len(named.model.blocks))
    device = default_device()
    named.model.to(device)
    if device.type == "cpu" and next(named.model.parameters()).dtype is torch.float16:
        named.model.float()  # CPUs are slow in that precision
    text = flags.text or named.corpus
    sample = read_sample(named.model, text, named.tokenizer, store, flags.seq_len, flags.windows)
    text_name = text if flags.text is None else Path(text).name
    result = measure(
        named.model, sample, counts, name=named.name, text=text_name, dear=flags.greedy
    )
    text_flags = ("--corpus", text) if flags.text else ()
    command = ranking.next_command(result, named.flags, text_flags)
    console.print(ranking.summary_line(result), soft_wrap=True)
    for section in ranking.sections(result):
        print_section(section, console)
    console.print()
    for line in ranking.findings(result):
        console.print(line, soft_wrap=True)
    folder = _folder(flags, named.name)
    with output_folder(folder, overwrite=True) as draft, write_errors(draft):
        write_text(draft / "rank.md", ranking.to_markdown(result, command))
        write_text(draft / "rank.csv", ranking.to_csv(result))
        pictures.save(pictures.draw_together(ranking_figure(result)), "rank", draft)
    console.print(f"\nTables and picture: {folder}/rank.md, .csv, .svg, .png", soft_wrap=True)
    console.print(f"Next: {command}", soft_wrap=True)
    return 0


def _folder(flags: argparse.Namespace, name: str) -> Path:
    if flags.to:
        return resolve_path(flags.to).absolute()
    own = re.sub(r"[^\w.@-]+", "-", Path(name).name).strip("-") or "model"
    return Path(f"rank-{own}").absolute()
