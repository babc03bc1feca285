"""A Gaussian model of accuracy that is additive over layers, and the search that draws from it and solves each draw
exactly."""
