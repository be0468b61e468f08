"""`raydistill law fit`: a law fitted to anybody's table of runs, in seconds."""

import argparse
from collections.abc import Mapping
from dataclasses import asdict

from raydistill.core.errors import UsageError, unknown
from raydistill.core.paths import resolve_path
from raydistill.laws.breaks import break_p_value
from raydistill.laws.distillation.ladder import (
    NAME,
    DistillationFits,
    fit_distillation,
    save_law,
)
from raydistill.laws.distillation.runs import FIELDS, runs_of
from raydistill.laws.extrapolation import Extrapolation, predict
from raydistill.laws.fitting import Objective, fit
from raydistill.laws.form import load_form
from raydistill.laws.table import SEED, Table, points_of, read_table
from raydistill.reports import laws
from raydistill.reports.console.console import PipeSafeConsole, open_console
from raydistill.reports.figures.laws import check_picture, fit_figure, save_picture
from raydistill.reports.formats.terminal import print_pairs, print_section
from raydistill.reports.tables.grids import Section
from raydistill.storage.store import Store


def fit_table(store: Store, flags: argparse.Namespace) -> int:
    """Fit a form to the rows of a CSV file, print the fit, and keep it if asked to.

    Raises:
        UsageError: if there is no such form, a column is missing, or there are too few rows.
        DataError: if the file cannot be read, or no row can be used.
    """
    if flags.plot:
        check_picture(flags.plot)
    table = read_table(resolve_path(flags.table))
    fits = _fits(table, flags.form, flags.columns, flags.objective)
    best, *others = fits.rungs
    for field in (field for at in flags.at for field in at if field not in best.box):
        raise UsageError(f"--at: {unknown('field', field, tuple(best.box))}")
    answers = [predict(best, at, alternatives=others or None, far=flags.far) for at in flags.at]
    fit_id = save_law(store, fits) if flags.save else None
    if flags.json:
        predictions = [{"at": at, **asdict(one)} for at, one in zip(flags.at, answers, strict=True)]
        fields = laws.fit_fields(best, fit_id) | {"predictions": predictions}
        if best.form.partition("+")[0] == NAME:
            fields["other_rungs"] = {rung.form: rung.bic for rung in others}
            fields["student_alone"] = fits.surface and laws.fit_fields(fits.surface, None)
        if load_form(best.form).places:
            fields["break_p_value"] = break_p_value(best.points, best.form)
        open_console().print(laws.to_json(fields), soft_wrap=True)
    else:
        _print(fits, fit_id, open_console())
        for at, answer in zip(flags.at, answers, strict=True):
            _print_answer(at, answer, load_form(best.form).output, open_console())
    if flags.plot:
        save_picture(fit_figure(best), flags.plot)
    return 0


def _fits(
    table: Table, name: str, columns: Mapping[str, str], objective: Objective
) -> DistillationFits:
    """The fit of a form, and of the distillation ladder its other rungs and its surface too."""
    form = load_form(name)
    is_ladder = name.partition("+")[0] == NAME
    fields = (*(FIELDS if is_ladder else (*form.inputs, form.output)), SEED)
    for field in columns:
        if field not in fields:
            raise UsageError(f"--columns: {unknown('field', field, fields)}")
    if not is_ladder:
        points = points_of(table, form.inputs, form.output, columns)
        return DistillationFits(rungs=(fit(name, points, objective=objective),), surface=None)
    taught, alone = runs_of(table, columns)
    if name == NAME:
        return fit_distillation(taught, alone, objective=objective)
    return fit_distillation(taught, alone, objective=objective, forms=(name,))


def _print(fits: DistillationFits, fit_id: str | None, console: PipeSafeConsole) -> None:
    best, *others = fits.rungs
    print_section(laws.parameter_section(best), console)
    facts = laws.fit_facts(best)
    if others:
        rungs = (f"{rung.form.partition('=')[2]}: {rung.bic - best.bic:+.1f}" for rung in others)
        facts.append(("other rungs", f"BIC by parameters, against this one: {', '.join(rungs)}"))
    if fits.surface is not None:
        facts.append(("student alone", laws.surface_text(fits.surface)))
    if fit_id is not None:
        facts.append(("kept as", fit_id))
    print_pairs(Section(title="", headers=(), rows=tuple(facts)), console)


def _print_answer(
    at: Mapping[str, float], answer: Extrapolation, output: str, console: PipeSafeConsole
) -> None:
    place = ", ".join(f"{name} {laws.amount(value)}" for name, value in at.items())
    rows = laws.prediction_facts(answer)
    title = f"\n{output} {laws.amount(answer.prediction.value)} at {place}"
    print_pairs(Section(title=title, headers=(), rows=tuple(rows)), console)
