"""The registry of training rules. A rule moves errors and weights; it knows no layer kind."""

from __future__ import annotations

from pocketgen.rules.backprop import Backprop
from pocketgen.rules.cross_entropy_backprop import CrossEntropyBackprop
from pocketgen.rules.cross_entropy_dfa import CrossEntropyDFA
from pocketgen.rules.dfa import DFA
from pocketgen.rules.rule import UPDATE_STREAM, Learning, Rule, Scene, update_streams

RULES: dict[str, type[Rule]] = {
    "DFA": DFA,
    "Backprop": Backprop,
    "CrossEntropyDFA": CrossEntropyDFA,
    "CrossEntropyBackprop": CrossEntropyBackprop,
}

__all__ = [
    "DFA",
    "RULES",
    "UPDATE_STREAM",
    "Backprop",
    "CrossEntropyBackprop",
    "CrossEntropyDFA",
    "Learning",
    "Rule",
    "Scene",
    "update_streams",
]
