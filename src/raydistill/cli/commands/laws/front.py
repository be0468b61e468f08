"""`raydistill law front`: the loss that a front reaches at some FLOPs of pretraining."""

import argparse
from dataclasses import asdict

from raydistill.cli.commands.laws.capacity_gap import chosen_law
from raydistill.core.errors import UsageError
from raydistill.laws.extrapolation import predict
from raydistill.laws.reduced_scale.kept_front import INPUT, rule_of
from raydistill.laws.stored import stored_fits
from raydistill.reports import law_answers, laws
from raydistill.reports.console.console import open_console
from raydistill.reports.figures.laws import check_picture, fit_figure, save_picture
from raydistill.reports.formats.terminal import print_pairs
from raydistill.storage.store import Store


def front(store: Store, flags: argparse.Namespace) -> int:
    """Print the loss at a number of FLOPs.

    Raises:
        UsageError: if no front is kept, or it does not reach so far.
    """
    if flags.plot:
        check_picture(flags.plot)
    kept = {fit_id: fit for fit_id, fit in stored_fits(store).items() if rule_of(fit) == flags.rule}
    if not kept and flags.law is None:
        raise UsageError(
            f"no front by the rule {flags.rule} is kept in {store.root}: a sweep over sizes and "
            "ages leaves one, such as reduced_scale, once five points are off the plateau"
        )
    law_id, law = chosen_law(kept, flags.law)
    answer = predict(law, {INPUT: flags.flops}, far=flags.far)
    if flags.json:
        fields = {"flops": flags.flops, "rule": flags.rule, "answer": asdict(answer)}
        law_fields = {"law": laws.fit_fields(law, law_id)}
        open_console().print(laws.to_json(fields | law_fields), soft_wrap=True)
    else:
        section = law_answers.front_section(flags.flops, flags.rule, answer, law_id, law)
        print_pairs(section, open_console())
    if flags.plot:
        save_picture(fit_figure(law), flags.plot)
    return 0
