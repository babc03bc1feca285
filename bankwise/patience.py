"""When a search has learned enough: whether its last trials found anything better."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Patience:
    """`limit` trials in a row may end without a better result, None: any number; `results` are accuracies by the
    numbers of trials, in the order in which these ended."""

    limit: int | None
    results: dict[int, float] = field(default_factory=dict)

    @property
    def waited(self) -> int:
        """Results since the best one, of equals the first.

        >>> Patience(2, {0: 0.5, 1: 0.7, 2: 0.7, 3: 0.6}).waited
        2
        """
        found = [*self.results.values()]
        return len(found) - 1 - found.index(max(found)) if found else 0

    @property
    def over(self) -> bool:
        """Whether no trial is to begin any more."""
        return self.limit is not None and self.waited >= self.limit
