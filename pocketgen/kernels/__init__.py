"""The registry of integer kernels: one file each, told the same way in C and numpy."""

from __future__ import annotations

from pocketgen.ir import Kernel
from pocketgen.kernels.copy_table import COPY_TABLE
from pocketgen.kernels.count_step import COUNT_STEP
from pocketgen.kernels.dense_forward import DENSE_FORWARD
from pocketgen.kernels.dense_forward_int8 import DENSE_FORWARD_INT8
from pocketgen.kernels.dense_forward_wide import DENSE_FORWARD_WIDE
from pocketgen.kernels.dense_input_gradient import DENSE_INPUT_GRADIENT
from pocketgen.kernels.dense_input_gradient_int8 import DENSE_INPUT_GRADIENT_INT8
from pocketgen.kernels.dense_update_bias import DENSE_UPDATE_BIAS
from pocketgen.kernels.dense_update_rows import DENSE_UPDATE_ROWS
from pocketgen.kernels.dense_update_weights import DENSE_UPDATE_WEIGHTS
from pocketgen.kernels.draw_uniform import DRAW_UNIFORM
from pocketgen.kernels.dropout import DROPOUT
from pocketgen.kernels.error_class import ERROR_CLASS
from pocketgen.kernels.error_softmax import ERROR_SOFTMAX
from pocketgen.kernels.error_vector import ERROR_VECTOR
from pocketgen.kernels.feedback_project import FEEDBACK_PROJECT
from pocketgen.kernels.feedback_project_seeded import FEEDBACK_PROJECT_SEEDED
from pocketgen.kernels.fill_zero import FILL_ZERO
from pocketgen.kernels.identity import IDENTITY
from pocketgen.kernels.master_step import MASTER_STEP
from pocketgen.kernels.master_step_noisy import MASTER_STEP_NOISY
from pocketgen.kernels.pocket_leakyrelu import POCKET_LEAKYRELU
from pocketgen.kernels.pocket_relu8bit import POCKET_RELU8BIT
from pocketgen.kernels.pocket_sigmoid import POCKET_SIGMOID
from pocketgen.kernels.pocket_tanh import POCKET_TANH
from pocketgen.kernels.pocket_tanh_int8 import POCKET_TANH_INT8
from pocketgen.kernels.scale_features import SCALE_FEATURES
from pocketgen.kernels.scale_input import SCALE_INPUT
from pocketgen.kernels.scale_kept import SCALE_KEPT
from pocketgen.kernels.sgd_step import SGD_STEP
from pocketgen.kernels.slope_divide import SLOPE_DIVIDE
from pocketgen.kernels.slope_multiply import SLOPE_MULTIPLY
from pocketgen.kernels.step_key import STEP_KEY

__all__ = [
    "COPY_TABLE",
    "COUNT_STEP",
    "DENSE_FORWARD",
    "DENSE_FORWARD_INT8",
    "DENSE_FORWARD_WIDE",
    "DENSE_INPUT_GRADIENT",
    "DENSE_INPUT_GRADIENT_INT8",
    "DENSE_UPDATE_BIAS",
    "DENSE_UPDATE_ROWS",
    "DENSE_UPDATE_WEIGHTS",
    "DRAW_UNIFORM",
    "DROPOUT",
    "ERROR_CLASS",
    "ERROR_SOFTMAX",
    "ERROR_VECTOR",
    "FEEDBACK_PROJECT",
    "FEEDBACK_PROJECT_SEEDED",
    "FILL_ZERO",
    "IDENTITY",
    "KERNELS",
    "MASTER_STEP",
    "MASTER_STEP_NOISY",
    "POCKET_LEAKYRELU",
    "POCKET_RELU8BIT",
    "POCKET_SIGMOID",
    "POCKET_TANH",
    "POCKET_TANH_INT8",
    "SCALE_FEATURES",
    "SCALE_INPUT",
    "SCALE_KEPT",
    "SGD_STEP",
    "SLOPE_DIVIDE",
    "SLOPE_MULTIPLY",
    "STEP_KEY",
]

KERNELS: dict[str, Kernel] = {
    kernel.name: kernel
    for kernel in (
        SCALE_INPUT,
        SCALE_FEATURES,
        SCALE_KEPT,
        DROPOUT,
        DENSE_FORWARD,
        DENSE_FORWARD_WIDE,
        DENSE_FORWARD_INT8,
        POCKET_TANH,
        POCKET_TANH_INT8,
        POCKET_SIGMOID,
        POCKET_RELU8BIT,
        POCKET_LEAKYRELU,
        IDENTITY,
        ERROR_CLASS,
        ERROR_VECTOR,
        ERROR_SOFTMAX,
        FEEDBACK_PROJECT,
        FEEDBACK_PROJECT_SEEDED,
        SLOPE_DIVIDE,
        SLOPE_MULTIPLY,
        DENSE_INPUT_GRADIENT,
        DENSE_INPUT_GRADIENT_INT8,
        DENSE_UPDATE_WEIGHTS,
        DENSE_UPDATE_BIAS,
        DENSE_UPDATE_ROWS,
        SGD_STEP,
        MASTER_STEP,
        MASTER_STEP_NOISY,
        STEP_KEY,
        COUNT_STEP,
        FILL_ZERO,
        COPY_TABLE,
        DRAW_UNIFORM,
    )
}
