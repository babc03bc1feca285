"""NNI 3.0: an experiment's folder for `nnictl create`, its trial, a tuner over every strategy, results, the engine.

Nothing is imported here, so that a module that needs no NNI can be used without it.
"""
