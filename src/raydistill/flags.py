"""What the flags of a sweep mean: text becomes a plan.

A value of an axis stands in place of the sweep's own values; of any other field it is the one
value that every cell gets.
"""

import argparse
import math
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from raydistill.brought import RECIPES, TESTS, Bring, revisions, scale_of
from raydistill.errors import UsageError
from raydistill.evaluate.catalogue import named_tasks
from raydistill.evaluate.task_data import with_sources
from raydistill.funnel import FINALISTS
from raydistill.locations import every_location, is_list
from raydistill.placement import check_placement, excerpt_of
from raydistill.recipe import check_recipe, with_settings
from raydistill.references import reference_cell
from raydistill.scales import Scale, load_scale
from raydistill.search import (
    FUNNEL,
    GRID,
    RANDOM,
    TPE,
    Searching,
    check_objectives,
    check_search,
    first_of_permutation,
)
from raydistill.spec import EvalSpec
from raydistill.store import Store
from raydistill.sweep import (
    FIELDS,
    REFERENCE,
    Cell,
    Options,
    Sweep,
    SweepPlan,
    Value,
)
