"""How long bootstraps of a Chinchilla fit take: ours, many at once, and scipy's L-BFGS-B beside it.

    OMP_NUM_THREADS=1 python benchmarks/law_bootstrap.py [--resamples 2000]

Both minimise the same sum of Huber losses (δ 1e-3) of log residuals on the same resamples of 100
points with 1 % noise, drawn from the published refit. Scipy has the analytic gradient, logarithms
of E, A and B as Epoch's notebook has them, and starts from the fit to all points, as a bootstrap
does, on some of the resamples; on one resample also from some of the 4,500 starts of Epoch's grid
(github.com/epoch-research/analyzing-chinchilla). What was not run is scaled up, and said to be.
"""

import argparse
import itertools
import time

import numpy as np
import scipy.optimize
from scipy.special import logsumexp

from raydistill.laws.fit import HUBER
from raydistill.laws.points import FloatArray, Points
from raydistill.laws.search.bootstrap import refits_over_runs
from raydistill.laws.search.problem import Problem, prepare

RUNS = 100
GRID = (  # Epoch's: logarithms of A, B, E, then the exponents
    np.arange(0, 30, 5),
    np.arange(0, 30, 5),
    np.arange(-1, 1.5, 0.5),
    np.arange(0, 2.5, 0.5),
    np.arange(0, 2.5, 0.5),
)


def refit_points(seed: int = 0) -> Points:
    """Runs on the published refit, with noise."""
    rng = np.random.default_rng(seed)
    params = np.exp(rng.uniform(np.log(5.7e7), np.log(1.6e10), RUNS))
    tokens = np.exp(rng.uniform(np.log(2.5e8), np.log(3.2e11), RUNS))
    loss = 1.8169 + 482.0 * params**-0.3478 + 2085 * tokens**-0.3659
    loss *= np.exp(0.01 * rng.standard_normal(RUNS))
    names = tuple(f"run-{i:03d}" for i in range(RUNS))
    return Points(inputs={"params": params, "tokens": tokens}, outputs=loss, names=names)


class Scipy:
    """The weighted sum of Huber losses over (ln A, ln B, ln E, alpha, beta), for L-BFGS-B."""

    def __init__(self, problem: Problem) -> None:
        units = problem.units
        self.log_n, self.log_d, self.log_loss = (
            np.log(problem.inputs["params"] * units["params"]),
            np.log(problem.inputs["tokens"] * units["tokens"]),
            problem.outputs + np.log(units["output"]),
        )

    def cost(self, theta: FloatArray, weights: FloatArray) -> tuple[float, FloatArray]:
        """The cost and its gradient."""
        a, b, e, alpha, beta = theta
        terms = np.stack([a - alpha * self.log_n, b - beta * self.log_d, e + 0 * self.log_n])
        law = logsumexp(terms, axis=0)
        share = np.exp(terms - law)
        off = law - self.log_loss
        inside = np.abs(off) <= HUBER
        losses = np.where(inside, off**2, HUBER * (2 * np.abs(off) - HUBER))
        slope = weights * 2 * np.clip(off, -HUBER, HUBER)
        by_alpha, by_beta = -share[0] * self.log_n, -share[1] * self.log_d
        return float(weights @ losses), np.stack([*share, by_alpha, by_beta]) @ slope

    def search(self, start: FloatArray, weights: FloatArray) -> float:
        """The cost where L-BFGS-B ends, told to go on as long as it can."""
        options = {"maxiter": 10_000, "maxfun": 100_000, "ftol": 1e-15, "gtol": 1e-12}
        return float(
            scipy.optimize.minimize(
                self.cost, start, args=(weights,), jac=True, method="L-BFGS-B", options=options
            ).fun
        )


def main() -> None:
    """Time both, and print who found the lower optimum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resamples", type=int, default=2_000)
    parser.add_argument("--scipy-resamples", type=int, default=200)
    parser.add_argument("--scipy-starts", type=int, default=225)
    args = parser.parse_args()
    problem = prepare("chinchilla", refit_points())
    starts = problem.form.starts(problem.inputs, problem.outputs)
    search = problem.minimise(starts, huber=HUBER)
    best = search.z_RK[np.argmin(search.cost_R)]

    began = time.perf_counter()
    refits = refits_over_runs(problem, best, resamples=args.resamples, huber=HUBER)
    ours_s = time.perf_counter() - began

    rng = np.random.default_rng(0)  # as refits_over_runs draws
    weights = rng.multinomial(RUNS, np.full(RUNS, 1 / RUNS), size=args.resamples).astype(float)
    scipys = Scipy(problem)
    E, A, B, alpha, beta = problem.form.named(best[None], problem.units)[0]
    theta = np.array([np.log(A), np.log(B), np.log(E), alpha, beta])
    began = time.perf_counter()
    theirs = [scipys.search(theta, weights[i]) for i in range(args.scipy_resamples)]
    one_start_s = (time.perf_counter() - began) * args.resamples / args.scipy_resamples

    grid = np.array(list(itertools.product(*GRID)), dtype=float)
    some = grid[:: len(grid) // args.scipy_starts]
    began = time.perf_counter()
    from_grid = [scipys.search(start, weights[0]) for start in some]
    grid_s = (time.perf_counter() - began) / len(some) * len(grid) * args.resamples

    ours = refits.cost_R[: args.scipy_resamples]
    lower = int(np.count_nonzero(ours <= np.array(theirs) * (1 + 1e-9)))
    print(
        f"| {args.resamples:,} bootstraps of {RUNS} points, one core | seconds | ours is faster |"
    )
    print("|---|---|---|")
    print(f"| ours | {ours_s:.2f} | |")
    print(
        f"| L-BFGS-B from the fit to all points ({args.scipy_resamples} run, scaled up) "
        f"| {one_start_s:.1f} | {one_start_s / ours_s:.1f}× |"
    )
    print(
        f"| L-BFGS-B from Epoch's {len(grid):,} starts ({len(some)} run once, scaled up) "
        f"| {grid_s:,.0f} | {grid_s / ours_s:,.0f}× |"
    )
    print(
        f"\nOurs is as low or lower on {lower} of {len(theirs)} resamples; by up to "
        f"{np.max(np.array(theirs) / ours - 1):.1e} of the cost. On the first one the best of "
        f"{len(some)} of Epoch's starts ended {min(from_grid) / ours[0] - 1:.1e} above ours. "
        f"{np.mean(refits.ended_R):.1%} of our searches converged."
    )


if __name__ == "__main__":
    main()
