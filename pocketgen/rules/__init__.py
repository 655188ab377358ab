"""The registry of training rules. A rule moves errors and weights; it knows no layer kind."""

from __future__ import annotations

from pocketgen.rules.backprop import Backprop
from pocketgen.rules.dfa import DFA
from pocketgen.rules.rule import Learning, Rule, Scene

RULES: dict[str, type[Rule]] = {"DFA": DFA, "Backprop": Backprop}

__all__ = ["DFA", "RULES", "Backprop", "Learning", "Rule", "Scene"]
