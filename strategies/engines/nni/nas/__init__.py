"""Bank layers inside nni.nas: the search space, one-shot and multi-trial search, and the price as a profiler.

Import this before anything of nni.nas. Beside a CPU-only torch it makes nni.nas importable at all (it imports
torchmetrics, which imports torchvision, whose wheel may need CUDA).
"""

import warnings

from bankwise.search_space.torchvision_import import import_torchvision

import_torchvision()
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", ".*found to be not a nn.Module", RuntimeWarning)  # parts newer than NNI
    import nni.nas.strategy  # noqa: F401 - the first of nni.nas: after others it lacks the one-shot strategies

from bankwise.strategies.engines.nni.nas.best_of import best_of  # noqa: E402
from bankwise.strategies.engines.nni.nas.decode import most_probable  # noqa: E402
from bankwise.strategies.engines.nni.nas.multi_trial import Projection, experiment_config, trial_evaluator  # noqa: E402
from bankwise.strategies.engines.nni.nas.one_shot import OneShotSettings, search_one_shot, train_one_shot  # noqa: E402
from bankwise.strategies.engines.nni.nas.profiler import PriceProfiler  # noqa: E402
from bankwise.strategies.engines.nni.nas.space import BankSpace  # noqa: E402
from bankwise.strategies.engines.nni.nas.supernet import SharedBankLayer  # noqa: E402

__all__ = [
    "BankSpace",
    "OneShotSettings",
    "PriceProfiler",
    "Projection",
    "SharedBankLayer",
    "best_of",
    "experiment_config",
    "most_probable",
    "search_one_shot",
    "train_one_shot",
    "trial_evaluator",
]
