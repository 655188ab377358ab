"""The registry of integer kernels: one file each, told the same way in C and numpy."""

from __future__ import annotations

from pocketgen.ir import Kernel
from pocketgen.kernels.copy_table import COPY_TABLE
from pocketgen.kernels.dense_forward import DENSE_FORWARD
from pocketgen.kernels.dense_forward_wide import DENSE_FORWARD_WIDE
from pocketgen.kernels.dense_input_gradient import DENSE_INPUT_GRADIENT
from pocketgen.kernels.dense_update_bias import DENSE_UPDATE_BIAS
from pocketgen.kernels.dense_update_weights import DENSE_UPDATE_WEIGHTS
from pocketgen.kernels.draw_uniform import DRAW_UNIFORM
from pocketgen.kernels.error_class import ERROR_CLASS
from pocketgen.kernels.error_vector import ERROR_VECTOR
from pocketgen.kernels.feedback_project import FEEDBACK_PROJECT
from pocketgen.kernels.feedback_project_seeded import FEEDBACK_PROJECT_SEEDED
from pocketgen.kernels.fill_zero import FILL_ZERO
from pocketgen.kernels.identity import IDENTITY
from pocketgen.kernels.pocket_leakyrelu import POCKET_LEAKYRELU
from pocketgen.kernels.pocket_relu8bit import POCKET_RELU8BIT
from pocketgen.kernels.pocket_sigmoid import POCKET_SIGMOID
from pocketgen.kernels.pocket_tanh import POCKET_TANH
from pocketgen.kernels.scale_features import SCALE_FEATURES
from pocketgen.kernels.scale_input import SCALE_INPUT
from pocketgen.kernels.sgd_step import SGD_STEP
from pocketgen.kernels.slope_divide import SLOPE_DIVIDE

__all__ = [
    "COPY_TABLE",
    "DENSE_FORWARD",
    "DENSE_FORWARD_WIDE",
    "DENSE_INPUT_GRADIENT",
    "DENSE_UPDATE_BIAS",
    "DENSE_UPDATE_WEIGHTS",
    "DRAW_UNIFORM",
    "ERROR_CLASS",
    "ERROR_VECTOR",
    "FEEDBACK_PROJECT",
    "FEEDBACK_PROJECT_SEEDED",
    "FILL_ZERO",
    "IDENTITY",
    "KERNELS",
    "POCKET_LEAKYRELU",
    "POCKET_RELU8BIT",
    "POCKET_SIGMOID",
    "POCKET_TANH",
    "SCALE_FEATURES",
    "SCALE_INPUT",
    "SGD_STEP",
    "SLOPE_DIVIDE",
]

KERNELS: dict[str, Kernel] = {
    kernel.name: kernel
    for kernel in (
        SCALE_INPUT,
        SCALE_FEATURES,
        DENSE_FORWARD,
        DENSE_FORWARD_WIDE,
        POCKET_TANH,
        POCKET_SIGMOID,
        POCKET_RELU8BIT,
        POCKET_LEAKYRELU,
        IDENTITY,
        ERROR_CLASS,
        ERROR_VECTOR,
        FEEDBACK_PROJECT,
        FEEDBACK_PROJECT_SEEDED,
        SLOPE_DIVIDE,
        DENSE_INPUT_GRADIENT,
        DENSE_UPDATE_WEIGHTS,
        DENSE_UPDATE_BIAS,
        SGD_STEP,
        FILL_ZERO,
        COPY_TABLE,
        DRAW_UNIFORM,
    )
}
