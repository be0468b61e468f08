"""Every sentence below a table is true of the numbers in it, whatever these are."""

import re

from hypothesis import HealthCheck, given, settings

from raydistill.evaluation.bootstrap import MIN_DOCUMENTS, Estimate
from raydistill.evaluation.rank_agreement import kendall_tau
from raydistill.reports.results.blocks import row_blocks
from raydistill.reports.results.paper_numbers import TABLE_5
from raydistill.reports.tables.table import build_table
from support.random_tables import CHOICE, nats_of, score_of, sweeps, z_score

TEST = r"\(paired bootstrap, Holm, 5 %\)"
NATS = r"([+-]\d+\.\d{3}) \[(-?\d+\.\d{3}) (-?\d+\.\d{3})\]"
PCT = r"([+-]\d+\.\d) %"
SURE, UNSURE = 1.5, 2.8
"""Standard errors: what is told apart differs by more than the first; a pair by the second is.

A plain normal test of the documents is not the bootstrap: near 1.96 they may disagree.
"""


class Sentences:
    """The sentences of a block, and what each must be true of."""

    def __init__(self, cells, block):
        self.block = block
        self.rows = {row.name: row for row in block.rows}
        self.runs = {row.name: row.runs for row in cells.rows}
        self.curves = {row.name: row.curve for row in cells.rows}
        self.known = {
            rf"As in the paper \((.+): (.+) loses (most|least) downstream, \S+ %\), it does here, "
            rf"{PCT}, told apart from all others {TEST}\.": self.is_extreme,
            rf"Unlike the paper \((.+): (.+) loses (most|least) downstream, \S+ %\), here (\S+) "
            rf"loses (more|less): {PCT}, (\S+) {PCT}, told apart {TEST}\.": self.is_further,
            rf"Neither for nor against the paper \((.+): (.+) loses (most|least) downstream, \S+ "
            rf"%\): here it loses {PCT}\. Not told apart from the (?:most|least): (.+) {TEST}\.":
            self.is_tied,
            r"Neither for nor against the paper \(.+\): no task is above chance at every base, so "
            r"tasks tell no location from another\.": self.is_at_chance,
            r"Rank agreement with (\S+) over (\d) locations: Kendall tau (\S+) \(told apart from "
            r"the largest loss here: (\d);.*": self.is_tau,
            rf"(As in|Unlike|Neither for nor against) the paper \(Table 3.*\), (.+) at equal "
            rf"tokens \(KD minus teacher-free {NATS} nats\)\.": self.is_order,
            rf"(Here) (.+) at equal FLOPs \(KD minus teacher-free {NATS} nats\)\.": self.is_order,
            rf"(.+) the paper \(Figure 1: waiting does not help\)\. Nats per token against "
            rf"dropping all at once {TEST}: (.*)\.": self.is_waiting,
            rf"(.+) the paper \(Figure 3: (.+)\)\. Neighbouring pairs by delta_nll {TEST}: (.+)\.":
            self.is_trend,
            rf"No cell is told apart from the best {TEST}: .*": self.is_without_order,
            rf"Told apart from the best, (.+) {TEST}: (\d+) of the cells\. Of these (\d+|none) had "
            r"the lower curve at .* or later, by more than curves and table differ at the end "
            rf"\((\S+) nats\)(?:\.|: (.+) by (\S+) as late as .*; it ends (\S+) behind\. .*)":
            self.is_healing,
            r"What scores said before healing .* Kendall tau over (\d) sets of 4 layers, (\d) of "
            r"them told apart from the best: block-influence (\S+)\.": self.is_prediction,
            r"kd: a trial takes (\S+) device-hours .*, the pass of (\S+) shared by 1, 3 or 10 "
            r"trials, (\S+) for 1, (\S+) for 3, (\S+) for 10: as timed, (?:it is even at (\S+) "
            r"trials|reading takes no less .*)\.": self.is_price,
            r"Rows have different data seeds: the best is told on (.+), which all have\.":
            self.is_on_seeds,
            r"No data seed was finished in every row: no row is told apart from the best\.":
            self.is_without_seed,
        }  # fmt: skip

    def check(self):
        for sentence in self.block.words:
            matches = [(re.fullmatch(p, sentence), true) for p, true in self.known.items()]
            fitting = [(match, true) for match, true in matches if match]
            assert len(fitting) == 1, sentence
            ((match, true),) = fitting
            true(*match.groups())

    def drop(self, name):
        return self.rows[name].against_base.downstream_drop_pct

    def nll(self, name):
        entry = self.rows[name].against_base.delta_nll
        return round(entry.value, 3) if isinstance(entry, Estimate) else None

    def z(self, one, other, by_document):
        """Of the runs on one shared seed; none where there are several."""
        seeds = self.runs[one].keys() | self.runs[other].keys()
        if len(seeds) == 1:
            (seed,) = seeds
            return z_score(self.runs[one][seed], self.runs[other][seed], by_document)
        return None

    def are_told_apart(self, one, other, by_document):
        z = self.z(one, other, by_document)
        assert z is None or z > SURE, (one, other, z)
        assert len(next(iter(self.runs[one].values())).nll.units) >= MIN_DOCUMENTS

    def in_paper(self, checkpoint):
        printed = next(line for line in TABLE_5 if line.checkpoint == checkpoint)
        return {n: d for n, d in printed.downstream_drop_pct.items() if n in self.rows}

    def extreme_of_paper(self, checkpoint, name, which):
        of_paper = self.in_paper(checkpoint)
        assert of_paper[name] == (max if which == "most" else min)(of_paper.values())

    def is_extreme(self, checkpoint, name, which, pct):
        self.extreme_of_paper(checkpoint, name, which)
        assert f"{self.drop(name).value:+.1f}" == pct
        assert which == "least" or self.drop(name).low > 0
        for other in self.in_paper(checkpoint).keys() - {name}:
            assert (self.drop(other).value < self.drop(name).value) == (which == "most")
            self.are_told_apart(name, other, score_of)

    def is_further(self, checkpoint, name, which, ours, how, pct, again, own):
        self.extreme_of_paper(checkpoint, name, which)
        assert again == name
        assert how == {"most": "more", "least": "less"}[which]
        assert (float(pct) > float(own)) == (how == "more")
        assert float(pct) != float(own)
        for shown, location in ((pct, ours), (own, name)):
            assert abs(self.drop(location).value - float(shown)) < 0.051
        self.are_told_apart(ours, name, score_of)

    def is_tied(self, checkpoint, name, which, pct, ties):
        self.extreme_of_paper(checkpoint, name, which)
        assert abs(self.drop(name).value - float(pct)) < 0.051
        if ties == "no loss at all":
            assert round(self.drop(name).low, 1) <= 0
        else:
            assert name in re.split(", | and ", ties)

    def is_at_chance(self):
        assert all(row.best_downstream for row in self.rows.values() if row.role == "candidate")

    def is_tau(self, checkpoint, number, tau, apart):
        of_paper = self.in_paper(checkpoint)
        assert int(number) == len(of_paper)
        ours = [self.drop(name).value for name in of_paper]
        assert abs(kendall_tau(ours, list(of_paper.values())) - float(tau)) < 0.006
        assert int(apart) > 0

    def is_order(self, verdict, order, value, low, high):
        side = (float(low) > 0) - (float(high) < 0)
        kd = "kd" if verdict != "Here" else "kd-equal-flops"
        if order == "the two are not told apart":
            assert verdict in ("Neither for nor against", "Here")
            z = self.z("teacher-free", kd, nats_of)
            few = len(next(iter(self.runs[kd].values())).nll.units) < MIN_DOCUMENTS
            assert z is None or few or z < UNSURE or abs(float(value)) < 0.002
            return
        assert order == {1: "teacher-free ends below KD", -1: "KD ends below teacher-free"}[side]
        assert verdict in ("Here", {1: "As in", -1: "Unlike"}[side])
        self.are_told_apart("teacher-free", kd, nats_of)
        if self.runs["teacher-free"].keys() == self.runs[kd].keys():
            assert (self.nll(kd) - self.nll("teacher-free")) * side >= 0

    def is_waiting(self, verdict, groups):
        sides = {"above it": 1, "below it": -1, "not told apart from it": 0}
        signs = []
        for group in groups.split("; "):
            words = next(words for words in sides if group.startswith(words))
            for name, _, low, high in re.findall(rf"(gap \S+) {NATS}", group):
                signs.append(sides[words])
                if sides[words]:
                    assert (float(low) > 0) - (float(high) < 0) == sides[words]
                    self.are_told_apart("gap 0", name, nats_of)
        assert len(signs) <= 2
        self.is_verdict(verdict, agree=1 in signs, contradict=-1 in signs, untold=0 in signs)

    def is_verdict(self, verdict, *, agree, contradict, untold):
        assert verdict == {
            (True, False, False): "As in", (True, False, True): "Partly as in",
            (False, True, False): "Unlike", (False, True, True): "Partly unlike",
            (False, False, True): "Neither for nor against",
        }.get((agree, contradict, untold), "Partly as in, partly unlike")  # fmt: skip

    def is_trend(self, verdict, claim, counts):
        numbers = {
            words: int(number)
            for number, words in re.findall(
                r"(\d+) of \d+ (agree|contradict it|are not told apart)", counts
            )
        }
        agree, contradict, untold = (
            numbers.get(words, 0) for words in ("agree", "contradict it", "are not told apart")
        )
        self.is_verdict(
            verdict, agree=agree > 0, contradict=contradict > 0, untold=untold > 0
        )  # fmt: skip
        rising = [a < b for a, b in self.pairs(claim)]
        assert agree <= sum(rising)
        assert contradict <= len(rising) - sum(rising)
        assert agree + contradict + untold == len(rising)

    def pairs(self, claim):
        """The losses of neighbours by count, or by age, of all blocks."""
        axis = {"more layers cost more": 1, "the older base loses more": 0}[claim]
        neighbours = {("80B", "320B"), (2, 4), (4, 8)}
        return [
            (one, other)
            for first, one in self.all_nll.items()
            for second, other in self.all_nll.items()
            if (first[axis], second[axis]) in neighbours and first[1 - axis] == second[1 - axis]
        ]

    def is_without_order(self):
        candidates = [row for row in self.rows.values() if row.role == "candidate"]
        assert all(row.best_nll or self.nll(row.name) is not None for row in candidates)
        best = min(self.nll(row.name) for row in candidates if row.best_nll)
        assert all(row.best_nll or self.nll(row.name) <= best for row in candidates)

    def is_healing(self, best, number, crossed, wrong, name, ahead, behind):
        assert self.rows[best].best_nll
        told = [row.name for row in self.rows.values() if row.role == "candidate"]
        told = [other for other in told if not self.rows[other].best_nll]
        assert int(number) <= len(told)
        for other in told:
            self.are_told_apart(best, other, nats_of)
        if crossed != "none":
            assert name in told
            assert float(ahead) > float(wrong)
            assert abs(self.nll(name) - self.nll(best) - float(behind)) < 0.0021
            assert float(behind) > 0
            assert any(
                abs(self.curves[best][n] - self.curves[name][n] - float(ahead)) < 0.0006
                for n in self.curves[best]
            )

    def is_prediction(self, number, told, tau):
        measured = {
            row.layers: (row.against_base.delta_nll.value, row.best_nll)
            for row in self.rows.values()
            if row.role == "candidate"
        }
        assert (int(number), int(told)) == (
            len(measured), sum(not best for _, best in measured.values())
        )  # fmt: skip
        assert int(told) > 0
        sums = [sum(CHOICE.values[0][layer] for layer in layers) for layers in measured]
        expected = kendall_tau(sums, [value for value, _ in measured.values()])
        assert abs(expected - float(tau)) < 0.006

    def is_price(self, online, of_pass, one, three, ten, even):
        online, of_pass, one, three, ten = map(float, (online, of_pass, one, three, ten))
        cached, digits = one - of_pass, 0.01 * (one + online)
        assert abs(cached + of_pass / 3 - three) < digits
        assert abs(cached + of_pass / 10 - ten) < digits
        if even is None:
            assert online <= cached + digits
        else:
            saved, trials = online - cached, float(even)
            assert abs(saved * trials - of_pass) < 0.051 * abs(saved) + digits * (1 + trials)

    def is_on_seeds(self, seeds):
        assert seeds == " and ".join(map(str, self.block.seeds))

    def is_without_seed(self):
        assert not self.block.seeds
        assert all(row.best_nll for row in self.rows.values() if row.role == "candidate")


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(report=sweeps())
def test_every_sentence_is_true_of_the_numbers(report):
    table = build_table(report)
    blocks = [Sentences(c, b) for c, b in zip(row_blocks(report.cells), table.blocks, strict=True)]
    every = {
        (b.block.age, len(row.layers)): b.nll(row.name) for b in blocks for row in b.rows.values()
    }
    for sentences in blocks:
        sentences.all_nll = every
        sentences.check()
    few = [words for words in table.warnings if "no cell can be told apart" in words]
    for row in (row for block in table.blocks for row in block.rows if block.compares):
        assert not few or row.best_nll or row.role != "candidate"
