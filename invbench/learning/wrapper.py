"""What methods around a learner have of it."""

from typing import Any, ClassVar


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


class AroundMethod:
    """A method with a field `inner`, any other method: family, budget and the rest are those of that one."""

    inner: Any

    @property
    def family(self) -> str:
        """That of the method inside."""
        return self.inner.family

    @property
    def tuned(self) -> bool:
        """Whether the method inside is."""
        return getattr(self.inner, "tuned", False)

    @property
    def fast_mode(self) -> bool:
        """That of the method inside."""
        return getattr(self.inner, "fast_mode", False)

    @property
    def simulates(self) -> int:
        """Periods of one training of the method inside. Raises AttributeError where that is none that trains."""
        return self.inner.simulates
