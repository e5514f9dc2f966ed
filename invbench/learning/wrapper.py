"""What methods around a learner have of it."""

from typing import ClassVar


class AroundLearner:
    """A method with a field `learner`: its budget is the learner's, and the rule that it takes is tuned."""

    family: ClassVar[str] = "rl"
    tuned: ClassVar[bool] = True

    @property
    def fast_mode(self) -> bool:
        """The learner's own."""
        return getattr(self.learner, "fast_mode", False)

    @property
    def simulates(self) -> int:
        """The learner's own."""
        return getattr(self.learner, "simulates", 0)
