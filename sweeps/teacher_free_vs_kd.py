"""Is a teacher worth its price?

Jha et al. (2023), section 5.1, Tables 3 and 4. Half of the layers leave from the input; each
student then trains on 20B more tokens, with the language modelling loss alone or with KD too.

    python sweeps/teacher_free_vs_kd.py                     # this machine, minutes
    python sweeps/teacher_free_vs_kd.py --loss lm,kd,minima,logits-only
    ray job submit -- python sweeps/teacher_free_vs_kd.py   # a cluster

Equal tokens are not equal FLOPs: the teacher's forward pass comes on top (`flops_paper`,
`flops_exact` and `train_s` of every cell are in MLflow).
"""

from raydistill.cli import main
from raydistill.locations import NONE
from raydistill.scales import Scale
from raydistill.spec import TEACHER_FREE, TrialRequest
from raydistill.sweep import Sweep
from raydistill.units import B


def trial(scale: Scale, age: int, location: str, loss: str) -> TrialRequest | None:
    """One arm; the control has no teacher but itself, so it is teacher-free."""
    if location == NONE and loss != TEACHER_FREE:
        return None
    return scale.trial(age=age, location=location, count=scale.model.num_layers // 2, loss=loss)


sweep = Sweep(
    name="teacher_free_vs_kd",
    question="Is a teacher worth its price?",
    axes={"age": (320 * B,), "location": (NONE, "input"), "loss": (TEACHER_FREE, "kd")},
    trial=trial,
    at={
        "paper_1b": (
            {"age": (160 * B,), "location": (NONE, "input"), "loss": (TEACHER_FREE, "kd")},
        ),
    },
)

if __name__ == "__main__":
    main(sweep)
