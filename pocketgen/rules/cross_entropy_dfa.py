"""Direct Feedback Alignment with softmax cross-entropy: pocketgen's own, most accurate rule.

Source: Nokland 2016 (arXiv 1609.01596) for the feedback; the integer arithmetic is pocketgen's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pocketgen.errors import ModelError
from pocketgen.intmath import is_whole
from pocketgen.ir import Buffer, Step
from pocketgen.rules.cross_entropy_rule import CrossEntropyRule
from pocketgen.rules.feedback import check_feedback, project
from pocketgen.rules.rule import Learning, Scene
from pocketgen.rules.search import Space, Span


@dataclass(frozen=True)
class CrossEntropyDFA(CrossEntropyRule):
    """Softmax cross-entropy, whose error every hidden layer hears through a fixed random matrix.

    Hidden layers take the activation pocket_tanh, the output layer identity. feedback: "stored"
    keeps the matrices as constants in flash; "seeded" draws the same matrices again at every use,
    at zero bytes and more time. feedback_limit: entries are uniform in +-feedback_limit, 1..127.
    The other parameters: see CrossEntropyRule.
    """

    feedback: Literal["stored", "seeded"] = "stored"
    feedback_limit: int = 63

    def check(self) -> None:
        """Raise ModelError for parameters out of range."""
        super().check()
        check_feedback(self.rule_name, self.feedback)
        if not (is_whole(self.feedback_limit) and 1 <= self.feedback_limit <= 127):
            raise ModelError(
                f"{self.rule_name}: feedback_limit is {self.feedback_limit!r}; the range is 1..127"
            )

    def search(self) -> Space:
        """Also the size of the feedback."""
        return {**super().search(), "feedback_limit": Span(8, 127, even=False)}

    def describe(self) -> tuple[str, ...]:
        """The parameters in the model's canonical text."""
        return (*super().describe(), f"feedback {self.feedback} {self.feedback_limit}")

    def learning(self, scene: Scene) -> Learning:
        """e; delta = (e R) f before the output, e at it; then every W and b."""
        buffers, error = self.error(scene)
        added: list[Buffer] = [*self.arguments(), *buffers]
        train: list[Step] = [error]
        for site in scene.sites[:-1]:
            matrix, back, step = project(scene, site, self.feedback_limit, self.feedback)
            delta, slope = self.slope(scene, site, back.name)
            added += [*matrix, back, delta]
            train += [step, slope]
        keys, updates = self.updates(scene)
        return Learning((*added, *keys), self.init(scene), (*train, *updates), "e")
