"""The oracles of rules that look beyond one coordinate: at a matrix, a leaf, or the whole tree.

muon, soap, cautious_sgd and cautious_adam take one leaf; prodigy, dadapt_adam, dog and dowg take
one vector that stands for the whole tree. dog returns the parameters and their averages,
schedule_free_sgd and schedule_free_adam the parameters to train and those to evaluate.
"""

from .cautious import cautious_adam, cautious_sgd
from .dadapt_adam import dadapt_adam
from .dog import dog
from .dowg import dowg
from .muon import muon
from .prodigy import prodigy
from .schedule_free import schedule_free_adam, schedule_free_sgd
from .soap import soap

TREE_ORACLES = {
    f.__name__: f
    for f in (
        muon,
        soap,
        prodigy,
        dadapt_adam,
        dog,
        dowg,
        schedule_free_sgd,
        schedule_free_adam,
        cautious_sgd,
        cautious_adam,
    )
}
