"""Mutants that no test catches: name, the line that the fault makes, and why it is not seen.

"Same": no input can tell the two programs apart. "Missed": it could be told, and is not.
"""

from __future__ import annotations

SURVIVORS: dict[str, tuple[str, str]] = {
    "pocketgen/kernels/dropout.py:constant + 1:e899b1d4": (
        'gone = dropped.reshape(len(a), -2)[:, : sizes["n"]]',
        "Same: numpy takes any negative length as the one that remains.",
    ),
    "templates/intmath/div_pow2.c.j2:constant + 1:19bd98dc": (
        "const {{ f.unsigned }} magnitude = "
        "x < 1 ? 0u - ({{ f.unsigned }})x : ({{ f.unsigned }})x;",
        "Same: only x = 0 takes the other arm, and 0 - 0 is 0.",
    ),
    "templates/kernels/dense_update_bias.c.j2:no cast:dcf73d75": (
        "gradient += delta[sample * {{ k.fan_out }} + o]; /* 1. */",
        "Missed: the product of two 16-bit numbers leaves int only where delta has more elements "
        "than an int counts, which no 16-bit machine has room for and no test on 64 bits fills.",
    ),
    "templates/model.c.j2:loop start:08827795": (
        "for (c = 0; c < {{ plan.PREFIX }}_OUTPUT_SIZE; c++) {",
        "Same: the first output is compared with itself, and is not larger.",
    ),
}
