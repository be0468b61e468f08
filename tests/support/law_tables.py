"""Tables of made-up runs that lie on published laws, with a little noise."""

import numpy as np

from raydistill.laws.published import CAPACITY_GAP, STUDENT_SURFACE, TEACHER_GAP


def write_chinchilla_runs(file):
    """42 runs on Epoch's refit, in columns n, d, final_loss; one has no loss."""
    noise = np.random.default_rng(1)
    rows = ["n,d,final_loss", "1e8,1e9,"]
    for size in np.geomspace(5e7, 1e10, 7):
        for tokens in np.geomspace(1e9, 3e11, 6):
            loss = 1.8169 + 482 / size**0.3478 + 2085 / tokens**0.3659
            rows.append(f"{size:.5g},{tokens:.5g},{loss * np.exp(0.005 * noise.normal()):.5f}")
    file.write_text("\n".join(rows) + "\n")


def write_best_teachers(file):
    """Five students and their best teachers on the published line."""
    noise = np.random.default_rng(1)
    rows = ["student_params,teacher_params"]
    for size in (1e8, 2e8, 3e8, 5e8, 8e8):
        teacher = CAPACITY_GAP.teacher_params(size) * np.exp(0.02 * noise.normal())
        rows.append(f"{size:g},{teacher:.5g}")
    file.write_text("\n".join(rows) + "\n")


def write_distilled_runs(file):
    """Students alone and with four teachers each, on the published distillation law."""
    noise = np.random.default_rng(1)
    rows = ["run,student_params,student_tokens,teacher_loss,student_loss"]
    for size in (50e6, 143e6, 546e6, 1.8e9):
        for tokens in (4e9, 16e9, 64e9, 256e9):
            alone = float(STUDENT_SURFACE.loss(size, tokens))
            taught = [float(TEACHER_GAP.student_loss(size, tokens, t, alone)) for t in TEACHERS]
            for teacher, loss in zip(("none", *TEACHERS), (alone, *taught), strict=True):
                loss *= np.exp(0.003 * noise.normal())
                rows.append(f"r{len(rows)},{size:g},{tokens:g},{teacher},{loss:.5f}")
    file.write_text("\n".join(rows) + "\n")


TEACHERS = (1.9, 2.1, 2.3, 2.6)
