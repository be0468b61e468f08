"""Where work runs: on Ray, here or on a cluster. The only door to `ray` and `optuna`.

work.py       what a piece of work is, and how often it is heard
cluster.py    joining a cluster or starting one, waiting for nodes, asking what it can hold
once.py       a function that runs once, as a Ray task
tune.py       the cells of a sweep as Tune trials
train.py      a trial on several devices: Ray Train inside Tune
in_order.py   which cell next, while Tune runs: as listed
study.py      which cell next, while Tune runs: by Optuna
funnel.py     many layer sets scored, few trained: stage by stage
tokenise.py   a large corpus, by Ray Data
stages.py     corpus, bases and trials: what is done on workers, and the driver's side of it
"""
