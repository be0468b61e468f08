"""`raydistill rank`: which layers of a model matter, in minutes and without training."""

import argparse
import re
from pathlib import Path

import torch

from raydistill.cli.arguments.named_model import NamedModel, open_model
from raydistill.core.paths import resolve_path
from raydistill.core.text.commands import parts_flag, sweep_command
from raydistill.core.text.redaction import printed_command
from raydistill.data.corpus.heldout_documents import read_documents, read_info
from raydistill.data.sources.source import absolute
from raydistill.evaluation.text_tasks import choose_items
from raydistill.planning.custom_model import OWN_TASKS
from raydistill.planning.preview.first_budget import first_budget
from raydistill.pruning.calibration import default_device, read_sample
from raydistill.pruning.ranking import rank as measure
from raydistill.pruning.ranking_result import Ranking, counts_of
from raydistill.reports import ranking
from raydistill.reports.console.console import open_console
from raydistill.reports.figures import panels as pictures
from raydistill.reports.figures.ranking import ranking_figure
from raydistill.reports.formats.terminal import print_section, print_text
from raydistill.storage.manifest import write_text
from raydistill.storage.output_folder import check_output, output_folder, write_errors
from raydistill.storage.store import Store
from raydistill.storage.urls import storage_flag


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
    command, remark = _next(result, named, text, sample.corpus, store)
    print_text(ranking.summary_line(result), console)
    for section in ranking.sections(result):
        print_section(section, console)
    console.print()
    for line in ranking.findings(result):
        print_text(line, console)
    folder = _folder(flags, named.name)
    with output_folder(folder, overwrite=True) as draft, write_errors(draft):
        write_text(draft / "rank.md", ranking.to_markdown(result, command, remark))
        write_text(draft / "rank.csv", ranking.to_csv(result))
        pictures.save(pictures.draw_together(ranking_figure(result)), "rank", draft)
    console.print(f"\nTables and picture: {folder}/rank.md, .csv, .svg, .png", soft_wrap=True)
    if remark:
        print_text(remark, console)
    console.print(f"Next: {command}", soft_wrap=True)
    return 0


def _next(
    result: Ranking, named: NamedModel, text: str, corpus: Path, store: Store
) -> tuple[str, str]:
    """The sweep that trains the most promising locations, and what it takes.

    A base of a scale heals on the scale's own text and budget. Another model gets the text that
    it was ranked on, and a budget.
    """
    locations, count = ranking.next_locations(result)
    words = [*sweep_command("where_to_drop"), *named.flags]
    words += ["--location", ",".join(locations), "--count", str(count)]
    words += (*storage_flag(store.root), *parts_flag())
    if named.flags[0] != "--model":
        return printed_command(words), ""
    # On average a pass starts in the middle.
    passes = (result.num_layers + len(result.cuts)) / 2
    budget = first_budget(
        text_tokens=read_info(corpus).train_tokens,
        context=result.context,
        tokens_per_s=passes * result.windows * result.context / max(result.seconds, 1e-3),
        cells=len(locations),
        arms=2,
    )
    words += ["--corpus", absolute(text), "--seq-len", str(result.context), *budget.flag]
    documents = read_documents(corpus)
    tasks = [name for name in OWN_TASKS if choose_items(name, documents)]
    words += ["--tasks", ",".join(tasks)] if 0 < len(tasks) < len(OWN_TASKS) else []
    words += ["--yes"]  # what it takes is said beside it
    return printed_command(words), budget.sentence


def _folder(flags: argparse.Namespace, name: str) -> Path:
    if flags.to:
        return resolve_path(flags.to).absolute()
    own = re.sub(r"[^\w.@-]+", "-", Path(name).name).strip("-") or "model"
    return Path(f"rank-{own}").absolute()
