/* Runs fashion_mnist_selftest on a computer; the exit status is its result. */
#include "fashion_mnist.h"

static fashion_mnist_t net;

int main(void)
{
    return fashion_mnist_selftest(&net);
}
